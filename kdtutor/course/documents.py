"""Sections of a document that a program writes, such as the README's tables."""


def insert(text: str, name: str, section: str) -> str:
    """`text` with `section` between the lines `<!-- name -->` and `<!-- end of name -->`, replacing what was there.

    Raises ValueError if the text lacks these lines.
    """
    start = f"<!-- {name} -->\n"
    end = f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(start)
    _, end_found, after = rest.partition(end)
    if not end_found:
        raise ValueError(f"text must have the lines {start.strip()} and {end.strip()}")
    if not section:
        return f"{before}{start}{end}{after}"
    return f"{before}{start}\n{section}\n\n{end}{after}"
