"""Vectors: each function against NumPy."""

import numpy as np
import numpy.typing as npt
import pytest

from onlogit.kernels import lanes as v
from onlogit.kernels.jit import kernel

F32 = npt.NDArray[np.float32]
ZERO = np.float32(0)


@kernel
def exponentials(x: F32, out: F32) -> None:
    for i in range(0, x.size, 8):
        v.store(out, i, v.exponential(v.load(x, i, v.lanes(ZERO, 8))))


@kernel
def logarithms(x: F32, out: F32) -> None:
    for i in range(0, x.size, 8):
        v.store(out, i, v.logarithm(v.load(x, i, v.lanes(ZERO, 8))))


@kernel
def sigmoids(x: F32, out: F32) -> None:
    for i in range(0, x.size, 16):
        v.store(out, i, v.sigmoid(v.load(x, i, v.lanes(ZERO, 16))))


@kernel
def arithmetic(a: F32, b: F32, out: F32) -> tuple[float, float]:
    x, y = v.load(a, 0, v.lanes(ZERO, 8)), v.load(b, 0, v.lanes(ZERO, 8))
    v.store(out, 0, v.add(x, y))
    v.store(out, 8, v.subtract(x, y))
    v.store(out, 16, v.multiply(x, y))
    v.store(out, 24, v.divide(x, y))
    v.store(out, 32, v.fma(x, y, v.spread(a, 2, x)))
    v.store(out, 40, v.larger(x, y))
    v.store(out, 48, v.smaller(x, v.negative(y)))
    v.store(out, 56, v.square_root(v.multiply(x, x)))
    v.store(out, 64, v.place(v.splat(np.float32(7), x), 3, np.float32(9)))
    return v.total(x), v.highest(y)


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
