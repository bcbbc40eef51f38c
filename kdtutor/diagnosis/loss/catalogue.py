"""The findings that `diagnose` knows, from findings.md, and a collection of those that hold for a loss."""

from collections.abc import Collection, Mapping
from pathlib import Path

from kdtutor.diagnosis.findings import Finding


def _read(text: str) -> tuple[dict[str, Finding], dict[str, Finding]]:
    """Mistakes and notes by name, with braces where words of a loss belong."""
    introduction, mistakes, notes = text.split("\n# ")[-3:]
    lines = _entry(introduction)
    return _entries(mistakes, lines), _entries(notes, lines)


def _entries(section: str, lines: Mapping[str, str]) -> dict[str, Finding]:
    findings = {}
    for part in section.split("\n## ")[1:]:
        name = part.partition("\n")[0]
        entry = _entry(part)
        fix = entry.get("Fix", "")
        findings[name] = Finding(name, entry["What"], entry["Effect"], lines.get(fix, fix).strip("`"))
    return findings


def _entry(part: str) -> dict[str, str]:
    """The list "- key: value" in a part of the text."""
    entry = {}
    for line in part.splitlines():
        if line.startswith("- "):
            key, _, entry[key] = line[2:].partition(": ")
    return entry


MISTAKES, NOTES = _read(Path(__file__).with_name("findings.md").read_text(encoding="utf-8"))


class Findings:
    """The findings that hold for a loss, each once.

    words: the loss's own names and numbers, which all sentences may hold.
    meant: names of mistakes that are as they are meant: they become notes.
    """

    def __init__(self, words: Mapping[str, str], meant: Collection[str]) -> None:
        self.words = words
        self.meant = meant
        self.mistakes: dict[str, Finding] = {}
        self.notes: dict[str, Finding] = {}

    def add(self, name: str, *, as_note: bool = False, **words: str) -> None:
        """Add a finding of the catalogue; `words` fill the braces that are its own. as_note: it is no sure mistake."""
        template = MISTAKES.get(name) or NOTES[name]
        is_note = as_note or name in NOTES or name in self.meant
        findings = self.notes if is_note else self.mistakes
        if name not in findings:
            words = {**self.words, **words}
            texts = [text.format(**words) for text in (template.what, template.effect, template.fix)]
            findings[name] = Finding(name, *texts)
