"""The exercises in words, read from `words.md`: hints, what to try next, and a sentence for each known mistake. And
sentences put together from parts, which come without a capital and a full stop."""

import re
from dataclasses import dataclass
from pathlib import Path

from kdtutor._text import one_line

# These begin a sentence as they are: a capital would make another name of them.
SMALL = {"alpha", "argmax", "exp", "lr"}


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
    """What a mistake in an exercise is, without a full stop; "this + that" is several at once. What follows a colon in
    its name distinguishes forms of one mistake, which share a sentence."""
    mistake_without_form, _, _ = mistake.partition(":")
    return together([EXERCISES[name].mistakes[part] for part in mistake_without_form.split(" + ")])


def together(sentences: list[str]) -> str:
    """Several mistakes in one sentence: of each what comes before its first full stop."""
    if len(sentences) == 1:
        return sentences[0]
    count = {2: "two", 3: "three", 4: "four"}[len(sentences)]
    numbered = []
    for number, sentence in enumerate(sentences, 1):
        first, _, _ = sentence.partition(". ")
        numbered.append(f"({number}) {first}")
    return f"{count} things at once: {'; '.join(numbered)}"


def as_sentence(text: str) -> str:
    """With a full stop, and a capital unless the text begins with a name or a formula."""
    first_word = re.match(r"\w*", text)[0]
    ordinary = first_word == "a" or (first_word.isalpha() and len(first_word) > 1 and first_word not in SMALL)
    if ordinary:
        text = text[0].upper() + text[1:]
    if text[-1] not in ".?!…":
        text += "."
    return text


def as_continuation(text: str) -> str:
    """As the later part of a sentence: with a small letter, unless it begins with a name or a formula."""
    first_word = re.match(r"\w*", text)[0]
    if first_word == "A" or first_word[1:].islower():
        return text[0].lower() + text[1:]
    return text


def shortened(text: str, length: int = 160) -> str:
    """On one line, and no longer than this."""
    text = one_line(text)
    if len(text) > length:
        return f"{text[: length - 1]}…"
    return text


def _read(text: str) -> dict[str, Exercise]:
    """Each section of the file, below "## name, notebook number": three lines and a table. ValueError, naming the
    section, if one isn't like that."""
    exercises = {}
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    for section in sections:
        title = section.partition("\n")[0]
        heading = re.fullmatch(r"(\w+), notebook (\d)", title)
        if heading is None:
            raise ValueError(f"words.md must have sections with headings like '## name, notebook 1', got '## {title}'")
        hints = re.findall(r"^- (Hint|More|Next): (.+)$", section, re.MULTILINE)
        if [label for label, _ in hints] != ["Hint", "More", "Next"]:
            raise ValueError(
                f"words.md must have one line each of Hint, More and Next, in this order, below '## {title}'"
            )
        rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
        if not rows:
            raise ValueError(f"words.md must have a table of mistakes below '## {title}'")

        name, notebook = heading.groups()
        hint, more, following = [sentence for _, sentence in hints]
        mistakes = dict(rows[1:])  # below the heads
        exercises[name] = Exercise(int(notebook), hint, more, following, mistakes)
    return exercises


EXERCISES = _read(Path(__file__).with_name("words.md").read_text(encoding="utf-8"))
