"""The simulation of nulls and changes runs, its rivals are what they say, and its interval is right."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import detectors, draw_detectors
from bench.detector_rivals import NONE, e_cusum, e_detector, page_hinkley
from bench.detector_rivals import _ddm as ddm_kernel
from bench.detector_streams import BROKEN, CHANGE, CHANGES, NULLS, Stream, plain

SMALL = detectors.Told(nulls=3, power=4, river=1, horizon=600)


def test_every_stream_is_a_function_of_its_seed() -> None:
    for make in (NULLS | BROKEN | CHANGES).values():
        one, again, other = make(1, 6_000), make(1, 6_000), make(2, 6_000)
        assert np.array_equal(one.z, again.z)
        assert np.array_equal(one.y, again.y)
        assert np.array_equal(one.judged, again.judged)
        assert not np.array_equal(one.y, other.y)
        assert one.z.size == one.y.size == one.judged.size == 6_000
        assert np.isfinite(one.z).all()


def test_nulls_are_right_to_within_the_tolerance_on_average() -> None:
    for name, make in NULLS.items():
        streams = [make(seed, 10_000) for seed in range(5)]
        p = np.concatenate([1 / (1 + np.exp(-s.z[s.judged])) for s in streams])
        y = np.concatenate([s.y[s.judged] for s in streams])
        room = 0.1 * (p * (1 - p)).sum() + 4 * math.sqrt((p * (1 - p)).sum()) + 4
        assert abs((y - p).sum()) < room, name


def test_the_upper_limit() -> None:
    assert detectors.upper_limit(0, 100) == pytest.approx(1 - 0.05**0.01)
    assert detectors.upper_limit(5, 100) == pytest.approx(0.10225, abs=1e-4)
    assert detectors.upper_limit(3, 3) == 1.0


def test_rivals_are_those_of_river() -> None:
    drift = pytest.importorskip("river.drift", reason="River is not installed")
    binary = pytest.importorskip("river.drift.binary", reason="River is not installed")

    stream = CHANGES["level +.3"](3, 9_000)
    residual = stream.y - 1 / (1 + np.exp(-stream.z))
    wrong = ((stream.z > 0) != (stream.y == 1)).astype(np.float64)

    def first(found: Any, values: Any) -> int:
        for i, value in enumerate(values):
            found.update(value)
            if found.drift_detected:
                return i
        return -1

    make: Callable[..., Any] = drift.PageHinkley
    for threshold in (5.0, 15.0):
        assert page_hinkley(stream, threshold).row == first(make(threshold=threshold), residual.tolist())
    make = binary.DDM
    for threshold in (1.5, 3.0):
        found = first(make(drift_threshold=threshold), (wrong > 0).tolist())
        assert ddm_kernel(wrong, threshold)[0] == found


def test_the_sum_of_both_kinds_is_of_the_same_arms() -> None:
    stream = plain(-1.0, 1.0, 0.8)(0, 2_000)
    assert 0 < e_detector(0.1)(stream, 10_000.0).row < 1_000
    assert 0 < e_cusum(0.1)(stream, 100.0).row < 1_000
    nothing = Stream(NONE, np.zeros(0, np.int8), np.zeros(0, np.bool_))
    assert e_detector(0.1)(nothing, 10.0).row == -1


def test_the_picture_has_the_figures_of_the_page() -> None:
    page = draw_detectors.PAGE.read_text()
    changes, found = draw_detectors.delays(page)
    assert changes == list(CHANGES)
    picture = draw_detectors.draw(page)
    assert picture == draw_detectors.PAGE.with_suffix(".svg").read_text()
    for name, values in found.items():
        assert name in picture
        assert all(f"{value:,.0f}" in page for value in values)


@pytest.mark.slow
def test_a_page_with_all_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("river.drift", reason="River is not installed")
    monkeypatch.setattr(detectors, "CUT", 0.1)
    monkeypatch.setattr(detectors, "kswin_line", lambda *_: [])
    page = detectors.page(SMALL, say=False)
    for name in (*NULLS, *BROKEN, *CHANGES, "ADWIN", "Page-Hinkley", "DDM", "e-CUSUM", "One core"):
        assert name in page
    assert CHANGE == 5_000
