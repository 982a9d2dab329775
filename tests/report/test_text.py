"""Figures drawn with characters, against exact pictures."""

import numpy as np
import pytest

from onlogit.report.text import (
    ASCII,
    UNICODE,
    Curve,
    glyphs_for,
    histogram_row,
    paragraph,
    reliability_diagram,
    scale,
)

NAN = float("nan")
LIVE = Curve("live", np.array([0.0, 0.25, 0.5, NAN]), np.array([0.0, 0.25, 0.75, NAN]), np.array([400.0, 800, 200, 0]))
FROZEN = Curve("frozen", np.array([0.1, 0.25, 0.6, 0.9]), np.array([0.5, 0.25, 1.0, 0.1]), np.array([200.0, 50, 0, 99]))


def test_reliability_diagram_in_ascii() -> None:
    drawn = reliability_diagram(LIVE, FROZEN, ASCII, columns=17, rows=5, fewest=50)
    assert drawn == [
        "  came",
        " 100 % +              ...",
        "  75 % +        * ....",
        "  50 % +  o   ....",
        "  25 % +  ..@.",
        "   0 % +*.            o",
        "       +----+---+---+---+",
        "        0 25 %50 %75 %100 %  stated",
        "  live |=====%%%%::::",
        "frozen |%%%%%::::    ====",
    ]


def test_one_curve_without_the_other() -> None:
    drawn = reliability_diagram(LIVE, None, UNICODE, columns=17, rows=5)
    assert sum(line.count("●") for line in drawn) == 3
    assert not any("○" in line or "◉" in line for line in drawn)


def test_bins_of_too_few_examples_have_no_mark() -> None:
    marks = ["".join(reliability_diagram(FROZEN, None, UNICODE, fewest=n)).count("●") for n in (1, 60, 150, 300)]
    assert marks == [3, 2, 1, 0]


def test_marks_on_the_diagonal_where_stated_is_what_came() -> None:
    p = np.linspace(0.0, 1.0, 21)
    drawn = reliability_diagram(Curve("x", p, p, np.full(21, 1e3)), None, UNICODE)
    dots = reliability_diagram(Curve("x", p, p, np.zeros(21)), None, UNICODE)
    for line, without in zip(drawn[1:18], dots[1:18], strict=True):
        assert line.replace("●", "·") == without


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ((0.0, 1.0), "*....o"),
        ((0.4, 0.41), "..@..."),
        ((0.2, None), ".*...."),
        ((None, 7.0), ".....o"),
        ((None, None), "......"),
        ((-1.0, 0.0), "@....."),
    ],
)
def test_scale(values: tuple[float | None, float | None], drawn: str) -> None:
    assert scale(values, 1.0, 6, ASCII) == drawn


def test_histogram_shows_whatever_is_there() -> None:
    assert histogram_row([0.0, 1e-9, 0.5, 1.0], 8, UNICODE) == "  ▁▁▄▄██"
    assert histogram_row([0.0, 0.0], 4, UNICODE) == "    "


@pytest.mark.parametrize("encoding", [None, "ascii", "latin-1", "cp1252", "no such"])
def test_ascii_where_the_rest_cannot_be_encoded(encoding: str | None) -> None:
    assert glyphs_for(encoding) is ASCII
    assert "".join(part if isinstance(part, str) else "".join(part) for part in ASCII).isascii()
    assert glyphs_for("utf-8") is UNICODE


def test_paragraphs_keep_to_their_width() -> None:
    text = "word " * 50
    assert max(map(len, paragraph(text, 33, indent="  "))) <= 33
    assert " ".join(line.strip() for line in paragraph(text, 33)) == text.strip()
