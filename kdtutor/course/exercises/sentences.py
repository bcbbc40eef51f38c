"""Sentences put together from parts that come without a capital and a full stop."""

import re

# These begin a sentence as they are: a capital would make another name of them.
SMALL = {"alpha", "argmax", "exp", "lr"}


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
    text = " ".join(text.split())
    if len(text) > length:
        return f"{text[: length - 1]}…"
    return text
