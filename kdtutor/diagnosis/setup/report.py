"""What `check_run` finds: collected check by check, then handed out as a `RunCheck`."""

from dataclasses import dataclass, field

from kdtutor.diagnosis.findings import Finding, Report


@dataclass(frozen=True, repr=False)
class RunCheck(Report):
    """What `check_run` found.

    Attributes:
        mistakes: what is wrong.
        notes: what may be meant, or can't be settled from outside.
        checked: what was looked at.
        not_checked: what wasn't, and why.
    """

    checked: tuple[str, ...]
    not_checked: tuple[str, ...]

    def lines_above(self, code: str) -> list[str]:
        return [] if self.mistakes else ["No known mistake found in what could be checked."]

    def lines_below(self) -> list[str]:
        return [f"Checked: {'; '.join(self.checked)}.", *(f"Not checked: {why}." for why in self.not_checked)]


@dataclass
class Findings:
    """What the checks have found so far."""

    mistakes: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def add(self, name: str, *, what: str, effect: str, fix: str, mistake: bool = True) -> None:
        """Add a mistake, or a note: what may be meant, or may come from elsewhere."""
        findings = self.mistakes if mistake else self.notes
        findings.append(Finding(name, what, effect, fix))

    def report(self) -> RunCheck:
        """All of it."""
        return RunCheck(tuple(self.mistakes), tuple(self.notes), tuple(self.checked), tuple(self.not_checked))
