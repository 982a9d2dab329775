"""What docs/monitor.md says of recalibration, on one stream of each kind; its picture is drawn from the same curves."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.repair import BREAK, TAIL, N, draw, run, stream


@pytest.mark.parametrize("live", [False, True])
def test_one_stream(live: bool) -> None:
    data = stream("level +.5, slope .5", 3)
    warned, mended = (run(*data, on_alarm, live) for on_alarm in ("warn", "recalibrate"))
    if live:  # a model that learns on mends itself, and is left alone
        assert mended.acted is None
        assert (mended.excess == warned.excess).all()
    else:
        assert mended.acted is not None
        assert BREAK < mended.acted <= BREAK + 4_000
        assert mended.excess[-TAIL:].mean() < 0.1 * warned.excess[-TAIL:].mean()
        assert mended.error < 0.5 * warned.error


def test_the_picture() -> None:
    found = {on_alarm: run(*stream("slope .5", 1), on_alarm, False).excess for on_alarm in ("warn", "recalibrate")}
    curves = {name: excess.reshape(-1, 1_000).mean(axis=1) for name, excess in found.items()}
    lines = [each for each in ET.fromstring(draw(curves)).iter() if each.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [N // 1_000] * 2
    page = Path(__file__).parents[1] / "docs" / "monitor.md"
    assert "](repair.svg)" in page.read_text()
