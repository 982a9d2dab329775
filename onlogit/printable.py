"""Text for a terminal: names and values come with the data, and may hold what moves a cursor or begins a line."""


def printable(text: str) -> str:
    """The text on one line, with every character that does not print in the form that it has in Python's literals.

    >>> printable("Ulm\\x1b[2J\\nall is well")
    'Ulm\\\\x1b[2J\\\\nall is well'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
