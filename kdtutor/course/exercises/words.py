"""The exercises in words, read from `words.md`: hints, what to try next, and a sentence for each known mistake."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Exercise:
    """An exercise in words: its notebook, a hint, more of it, what to try next, and a sentence for each mistake."""

    notebook: int
    hint: str
    more: str
    next: str
    mistakes: dict[str, str]


def exercise(name: str) -> Exercise:
    """The exercise of this name. Raises ValueError for another name."""
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {', '.join(EXERCISES)}, got {name!r}")
    return EXERCISES[name]


def mistake_sentence(name: str, mistake: str) -> str:
    """What a mistake in an exercise is, without a full stop. What follows a colon in its name tells forms of one
    mistake apart, which share a sentence."""
    mistake_without_form, _, _ = mistake.partition(":")
    return EXERCISES[name].mistakes[mistake_without_form]


def _read(text: str) -> dict[str, Exercise]:
    """Each section of the file, below "## name, notebook number": three lines and a table."""
    exercises = {}
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    for section in sections:
        name, notebook = re.match(r"(\w+), notebook (\d)", section).groups()
        hint, more, following = re.findall(r"^- (?:Hint|More|Next): (.+)$", section, re.MULTILINE)
        _head, *mistakes = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
        exercises[name] = Exercise(int(notebook), hint, more, following, dict(mistakes))
    return exercises


EXERCISES = _read(Path(__file__).with_name("words.md").read_text(encoding="utf-8"))
