"""The findings that `diagnose` knows, from findings.md, and a collection of those that hold for a loss."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from kdtutor.diagnosis.findings import Finding

ENTRY = re.compile(r"## (\w+)\n\n- What: (.+)\n- Effect: (.+)(?:\n- Fix: (.+))?")


def _read(section: str, lines: Mapping[str, str]) -> dict[str, Finding]:
    """Findings by name, with braces where words of a loss belong. lines: what a fix of one word stands for."""
    findings = {}
    for name, what, effect, fix in ENTRY.findall(section):
        findings[name] = Finding(name, what, effect, lines.get(fix, fix.strip("`")))
    return findings


_introduction, _mistakes, _notes = Path(__file__).with_name("findings.md").read_text(encoding="utf-8").split("\n# ")
_lines = dict(re.findall(r"- (\w+): `(.+)`", _introduction))
POLICY = ("reverse_kl", "temperature_differs")  # methods of their own: notes, unless what is meant is Hinton's loss
MISTAKES, NOTES = _read(_mistakes, _lines), _read(_notes, _lines)


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

    def add_where(self, **holds: bool) -> None:
        """Add those findings, by name, that are said to hold."""
        for name, is_so in holds.items():
            if is_so:
                self.add(name)
