"""Vectors: each function against NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels import lane_math
from onlogit.kernels import lanes as v
from onlogit.kernels.jit import inline, kernel

F32 = npt.NDArray[np.float32]
ZERO = np.float32(0)


@kernel
def exponentials(x: F32, out: F32) -> None:
    for i in range(0, x.size, 8):
        v.store(out, i, lane_math.exponential(v.load(x, i, v.lanes(ZERO, 8))))


@kernel
def logarithms(x: F32, out: F32) -> None:
    for i in range(0, x.size, 8):
        v.store(out, i, lane_math.logarithm(v.load(x, i, v.lanes(ZERO, 8))))


@kernel
def sigmoids(x: F32, out: F32) -> None:
    for i in range(0, x.size, 16):
        v.store(out, i, lane_math.sigmoid(v.load(x, i, v.lanes(ZERO, 16))))


@kernel
def arithmetic(a: F32, b: F32, out: F32) -> tuple[float, float]:
    x, y = v.load(a, 0, v.lanes(ZERO, 8)), v.load(b, 0, v.lanes(ZERO, 8))
    v.store(out, 0, x + y)
    v.store(out, 8, x - y)
    v.store(out, 16, x * y)
    v.store(out, 24, x / y)
    v.store(out, 32, v.fma(x, y, v.spread(a, 2, x)))
    v.store(out, 40, v.larger(x, y))
    v.store(out, 48, v.smaller(x, -y))
    v.store(out, 56, v.square_root(x * x))
    v.store(out, 64, v.place(v.splat(np.float32(7), x), 3, np.float32(9)))
    return v.total(x), v.highest(y)


@kernel
def with_scalars(a: F32, scalar: float, out: F32) -> None:
    x = v.load(a, 0, v.lanes(ZERO, 8))
    v.store(out, 0, 1.0 - x)
    v.store(out, 8, x / scalar)
    v.store(out, 16, v.fma(scalar, x, 2.0))
    v.store(out, 24, v.larger(x, 0.25))
    v.store(out, 32, v.where_above(x, 0.0, scalar, -1.0))


@inline
def halved_root(x: Any) -> Any:
    """Of a scalar, or of lanes."""
    return v.signed(v.square_root(v.absolute(x)) * v.splat(0.5, x), x)


@kernel
def halved_roots(a: F32, wide: F32, narrow: F32) -> None:
    v.store(wide, 0, halved_root(v.load(a, 0, v.lanes(ZERO, 8))))
    for i in range(a.size):
        v.store(narrow, i, halved_root(v.load(a, i, ZERO)))


@kernel
def first(a: F32, i: int, n: int, out: F32) -> None:
    v.store(out, 0, v.load_first(a, i, n, v.lanes(ZERO, 8)))


@kernel
def turn(a: F32, out: F32) -> None:
    like = v.lanes(ZERO, 4)
    rows = v.turned(v.load(a, 0, like), v.load(a, 4, like), v.load(a, 8, like), v.load(a, 12, like))
    v.store(out, 0, rows[0])
    v.store(out, 4, rows[1])
    v.store(out, 8, rows[2])
    v.store(out, 12, rows[3])


def test_a_square_is_turned() -> None:
    a, out = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    turn(a, out)
    assert out.reshape(4, 4).tolist() == a.reshape(4, 4).T.tolist()


def test_arithmetic_is_that_of_numpy() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 8)).astype(np.float32)
    out = np.zeros(72, np.float32)
    total, highest = arithmetic(a, b, out)
    placed = np.full(8, 7.0)
    placed[3] = 9.0
    expected = [a + b, a - b, a * b, a / b, a * b + a[2], np.maximum(a, b), np.minimum(a, -b), np.abs(a), placed]
    np.testing.assert_allclose(out, np.concatenate(expected), rtol=1e-6, atol=1e-7)
    assert total == pytest.approx(a.sum(), abs=1e-5)
    assert highest == b.max()


def test_a_scalar_stands_in_every_lane_in_their_precision() -> None:
    a, out = np.random.default_rng(1).normal(size=8).astype(np.float32), np.zeros(40, np.float32)
    with_scalars(a, 3.3, out)
    scalar = np.float32(3.3)
    expected = [1 - a, a / scalar, scalar * a + 2, np.maximum(a, 0.25), np.where(a > 0, scalar, np.float32(-1))]
    np.testing.assert_allclose(out, np.concatenate(expected), rtol=2e-7)


def test_what_is_said_of_a_scalar_is_said_of_lanes() -> None:
    a = np.array([-4, -0.5, -0.0, 0, 0.1, 2, 9, 1e30], np.float32)
    wide, narrow = np.zeros((2, 8), np.float32)
    halved_roots(a, wide, narrow)
    assert wide.tobytes() == narrow.tobytes()
    np.testing.assert_allclose(wide, np.copysign(np.sqrt(np.abs(a)) / 2, a), rtol=2e-7)


@pytest.mark.parametrize("n", [-3, 0, 1, 5, 8, 20])
def test_the_first_few_are_read_and_no_more(n: int) -> None:
    count = min(max(n, 0), 8)
    a, out = np.arange(1, 4 + count, dtype=np.float32), np.full(8, 9, np.float32)
    first(a, 3, n, out)
    assert out.tolist() == [*a[3:], *[0] * (8 - count)]


def test_exponential_is_right_to_float32_and_held_at_its_ends() -> None:
    x = np.concatenate([np.linspace(-86, 87, 8000), [0, -0.0, -1e-9, 1e-9, -1e30, 1e30, -np.inf, np.inf]]).astype(
        np.float32
    )
    out = np.zeros_like(x)
    exponentials(x, out)
    np.testing.assert_allclose(out, np.exp(np.clip(x.astype(float), -87, 88)), rtol=4e-7)


def test_logarithm_is_right_to_float32() -> None:
    x = np.concatenate([np.geomspace(1e-37, 1e37, 8000), np.linspace(0.5, 1.5, 800)]).astype(np.float32)
    out = np.zeros_like(x)
    logarithms(x, out)
    np.testing.assert_allclose(out, np.log(x.astype(float)), rtol=3e-7, atol=3e-7)


def test_sigmoid_is_right_in_both_tails() -> None:
    x = np.linspace(-80, 80, 1600).astype(np.float32)
    out = np.zeros_like(x)
    sigmoids(x, out)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-x.astype(float))), rtol=6e-7)
