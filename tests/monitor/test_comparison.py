"""Comparison of two: the interval covers at all looks, the sums are a function of the stream, the arithmetic is the source's."""

import math

import numpy as np
import pytest

from onlogit.errors import StateError
from onlogit.monitor.comparison import BOUND, SCALE, Comparison, excess, losses


def drawn(seed: int, n: int, drift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds of two, labels, and the conditional mean of the difference of their losses: [n] each."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(-2.0, 1.5, n)
    first = truth + draw.normal(0.0, 1.0, n)
    second = truth + draw.normal(0.0, 1.0, n) + drift * np.linspace(0.0, 1.0, n)
    p = 1.0 / (1.0 + np.exp(-truth))
    y = (draw.random(n) < p).astype(np.int8)
    one, zero = np.ones(n, np.int8), np.zeros(n, np.int8)
    gaps = [losses(first, label) - losses(second, label) for label in (one, zero)]
    return first, second, y, p * gaps[0] + (1.0 - p) * gaps[1]


@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_the_interval_covers_at_every_look(drift: float) -> None:
    streams, n, missed, narrow, pointwise = 200, 4000, 0, 0, 0
    looks = np.unique(np.geomspace(1, n, 40).astype(int))
    for seed in range(streams):
        first, second, y, mean = drawn(seed, n, drift)
        true = np.cumsum(mean) / np.arange(1, n + 1)
        comparison, at, out, fooled = Comparison(), 0, False, False
        for look in looks.tolist():
            comparison.add(first[at:look], second[at:look], y[at:look])
            at = look
            told = comparison.read()
            assert told.low is not None
            assert told.high is not None
            width = told.high - told.low
            out = out or not told.low <= true[look - 1] <= told.high
            spread = 1.96 * math.sqrt(comparison.sums[3]) / look
            fooled = fooled or (look >= 30 and abs((told.low + told.high) / 2 - true[look - 1]) > spread)
        missed += out
        pointwise += fooled
        narrow += width < 0.2
    assert missed <= 0.05 * streams
    assert pointwise > 0.1 * streams  # one for a single look does not do
    assert narrow == streams  # covering is no feat for an interval that is wide


def test_a_better_one_is_found_and_an_equal_one_is_not() -> None:
    first, _, y, _ = drawn(1, 30_000)
    comparison = Comparison()
    comparison.add(first, first * 0.5 - 0.5, y)
    told = comparison.read()
    assert told.low is not None
    assert told.low > 0.0
    assert told.second_better > 1e3 > 1.0 > told.first_better
    assert told.first == pytest.approx(losses(first, y).mean())
    assert told.second == pytest.approx(losses(first * 0.5 - 0.5, y).mean())
    assert comparison.read(0.001).low < told.low  # type: ignore[operator]
    equal = Comparison()
    equal.add(first, first, y)
    assert equal.read().mean == 0.0
    assert equal.read().second_better == pytest.approx(1.0)


def test_the_sums_do_not_depend_on_cuts_and_are_those_of_a_plain_loop() -> None:
    first, second, y, _ = drawn(3, 700)
    first[5], second[6], y[6] = 800.0, -np.inf, 1  # clipped
    whole, cut = Comparison(), Comparison()
    whole.add(first, second, y)
    for start in range(0, 700, 37):
        part = slice(start, start + 37)
        cut.add(first[part], second[part], y[part])
        kept, cut = cut.state(), Comparison()
        cut.restore(kept)
    assert whole.sums.tobytes() == cut.sums.tobytes()
    count = loss = total = variance = 0.0
    for a, b, label in zip(first, second, y, strict=True):
        one, two = (-math.log(max(min(1 / (1 + math.exp(-min(max(z, -50), 50))), 1 - 1e-6), 1e-6) if label
                              else 1 - max(min(1 / (1 + math.exp(-min(max(z, -50), 50))), 1 - 1e-6), 1e-6))
                    for z in (a, b))  # fmt: skip
        guess = max(min(total / max(count, 1.0), 1.0), -1.0)
        variance += (one - two - guess) ** 2
        count, loss, total = count + 1, loss + one, total + one - two
    assert whole.sums == pytest.approx([count, loss, total, variance], rel=1e-9)
    with pytest.raises(StateError):
        cut.restore({"sums": np.zeros(3)})


def test_the_bound_solves_its_equation() -> None:
    for variance in (0.0, 1.0, 1e4, 1e9):
        u, weight, mean = excess(variance, 0.05), [1 / ((k + 1) * (k + 2)) for k in range(28)], 0.0
        for k in range(28):
            share = 0.95 * 2 ** (-k / 2)
            psi = (-math.log(1 - share) - share) / SCALE**2
            mean += weight[k] / sum(weight) * math.exp(share / SCALE * u - psi * variance)
        assert mean == pytest.approx(2 / 0.05, rel=1e-6)
    assert pytest.approx(math.log(1e6)) == BOUND
