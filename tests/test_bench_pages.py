"""Pages that benchmarks write into."""

import argparse
from pathlib import Path

import pytest

from bench.pages import Page


def test_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("above\n<begin>\nold\n<end>\nbelow\n")
    Page(str(path), "<begin>", "<end>").write(["new", "lines"])
    assert path.read_text() == "above\n<begin>\nnew\nlines\n<end>\nbelow\n"


def test_a_page_that_is_not_there_or_has_no_marks_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"absent\.md is no file"):
        Page(str(tmp_path / "absent.md"), "<begin>", "<end>")
    (tmp_path / "plain.md").write_text("nothing <begin>")
    with pytest.raises(argparse.ArgumentTypeError, match=r"plain\.md has no lines '<begin>' and '<end>'"):
        Page(str(tmp_path / "plain.md"), "<begin>", "<end>")
