"""Pages of docs/ that benchmarks write into, between two marks of their own."""

import argparse
from pathlib import Path


class Page:
    """A page that has these marks; an error of the command line where it is not there or lacks one, before anything is run."""

    def __init__(self, path: str, start: str, end: str) -> None:
        self.path, self.start, self.end = Path(path), start, end
        if not self.path.is_file():
            raise argparse.ArgumentTypeError(
                f"{path} is no file: a page with the lines {start!r} and {end!r} is expected"
            )
        text = self.path.read_text()
        if start not in text or end not in text:
            raise argparse.ArgumentTypeError(f"{path} has no lines {start!r} and {end!r}")

    def write(self, lines: list[str]) -> None:
        """Put these lines between the marks."""
        before, _, rest = self.path.read_text().partition(self.start)
        self.path.write_text(before + "\n".join([self.start, *lines, self.end]) + rest.partition(self.end)[2])
