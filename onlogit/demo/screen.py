"""The terminal as far as a report needs it: which characters it can show, whether in colour, and one line that changes.

Results go to `out`. The changing line goes to `err`, and only where both are terminals; it is wiped before anything else
is written. Colour only on a terminal, not with NO_COLOR, and never the sole carrier of meaning.
"""

import os
from typing import TextIO

from onlogit.report.text import UNICODE, glyphs_for
from onlogit.storage.atomic import writing

STYLES = {"bold": "1", "dim": "2", "first": "36", "second": "33", "alarm": "1;31", "good": "32"}
WIPE = "\r\x1b[2K"


class Screen:
    """Where the lines of a report go. `colour` None: as the terminal and the environment say."""

    def __init__(self, out: TextIO, err: TextIO | None = None, colour: bool | None = None) -> None:
        self._out, self._err = out, err
        terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = terminal and not os.environ.get("NO_COLOR") if colour is None else colour
        self.lively = terminal and err is not None and err.isatty()
        self.glyphs = glyphs_for(out.encoding)
        self._shown = False

    def say(self, *lines: str) -> None:
        """Write whole lines, at once. OutputError where they are not taken."""
        self.wipe()
        with writing("stdout"):
            self._out.write("".join(f"{line}\n" for line in lines))
            self._out.flush()

    def show(self, line: str) -> None:
        """Let the changing line be this one; nothing where there is no terminal."""
        if self.lively and self._err is not None:
            self._err.write(WIPE + line)
            self._err.flush()
            self._shown = True

    def wipe(self) -> None:
        """Take the changing line away."""
        if self._shown and self._err is not None:
            self._err.write(WIPE)
            self._err.flush()
            self._shown = False

    def paint(self, text: str, style: str) -> str:
        """Text in one of STYLES."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.colour else text

    def paint_marks(self, line: str) -> str:
        """A line in which the marks of both series have their colours; as it is, where letters serve as marks."""
        if self.glyphs is UNICODE:
            for mark, style in zip(self.glyphs.marks, ("first", "second"), strict=True):
                line = line.replace(mark, self.paint(mark, style))
        return line
