"""Labels that are wrong at known rates: what they do to probabilities, what the correction gives back, and how noise is
told from a feature that is missing. Simulated, so that the truth is known. About 5 seconds.

    python examples/noisy_labels.py
"""

from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import Config, OnlineLogit
from onlogit.config import LabelNoise

Array = np.ndarray[Any, Any]
N, FP, FN = 60_000, 0.2, 0.1
draw = np.random.default_rng(0)
x = draw.standard_normal((N, 3))
p = 1 / (1 + np.exp(-(x @ [3.0, -2.0, 1.5] - 0.5)))
truth = draw.random(N) < p
noisy = np.where(truth, draw.random(N) >= FN, draw.random(N) < FP)  # FP of the 0s become 1, FN of the 1s become 0


def stated(seen: int, label: Array, noise: LabelNoise | None = None) -> Array:
    """What a model states of the last two thirds of the events, of which it sees the first `seen` features."""
    table = pa.table({f"x{j}": x[:, j] for j in range(seen)} | {"label": label})
    return OnlineLogit("label", config=Config(label_noise=noise or LabelNoise())).step(table).p[N // 3 :]


def loss(said: Array) -> float:
    """Log loss against the true outcomes."""
    y = truth[N // 3 :]
    return float(-np.mean(np.log(np.where(y, said, 1 - said))))


def show(title: str, said: Array, *others: Array) -> None:
    """In parts by what is stated, from lowest to highest: its mean, and the mean of each of the others."""
    print(title)
    edges = np.quantile(said, [0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99])
    part = np.searchsorted(edges, said)
    for k in range(len(edges) + 1):
        print("".join(f"{each[part == k].mean():10.3f}" for each in (said, *others)))


late = slice(N // 3, None)
clean, plain, known = stated(3, truth), stated(3, noisy), stated(3, noisy, LabelNoise(fp=FP, fn=FN))
print(
    f"log loss of true outcomes: {loss(plain):.3f} plain, {loss(known):.3f} rates known, {loss(clean):.3f} clean labels"
)
show("   true p     plain     known     clean", p[late], plain, known, clean)
show("noise\n   stated  labelled", plain, noisy[late])
hidden = stated(1, truth)
show("two features missing\n   stated  labelled", hidden, truth[late])
