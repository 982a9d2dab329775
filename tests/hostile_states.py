"""`python hostile_states.py LEARNER SEED`: states with one number out of place, taken up and used. A process of its own, as
a kernel that trusts one can end it, or never end. Names each case before it begins; exits with 1 at the first that is
neither refused nor states finite numbers."""

import sys
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import OnlineLogit
from onlogit.config import Config, SgdConfig
from onlogit.errors import OnlogitError, StateError
from onlogit.model import of_state

PARTS = ("learner.", "memory.", "maturity.", "delays.", "encoder.name", "counts", "clock")
FLOATS = (np.nan, np.inf, -1.0, 0.0, 3e38)


def events(seed: int, first: int, n: int = 60) -> pa.RecordBatch:
    """Events with keys from `first` on, of which every third waits for its label."""
    draw = np.random.default_rng(seed)
    x, key = draw.normal(size=n), np.arange(first, first + n)
    y = (draw.random(n) < 1 / (1 + np.exp(-x))).astype(float)
    town = pa.array([f"town {t}" for t in draw.integers(0, 3, n)])
    return pa.record_batch({"key": key, "x": x, "town": town, "y": pa.array(y, mask=key % 3 == 0)})


def use(model: OnlineLogit) -> bool:
    """Score, step and tell outcomes; whether all that was stated is finite."""
    told = [model.score(events(1, 0)), model.step(events(2, 1000))]
    model.outcomes(pa.record_batch({"key": np.arange(0, 60), "y": np.arange(60) % 2.0}))
    told += [model.step(events(3, 2000)), model.score(events(4, 0))]
    model.state()
    return all(np.isfinite(step.z).all() and np.isfinite(step.p).all() for step in told)


def fits(header: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a state is refused, or is used and states finite numbers."""
    try:
        model = of_state(header, state, "here")
    except StateError:
        return True
    try:
        return use(model)
    except OnlogitError:
        return True


def main(learner: str, seed: int) -> int:
    batch = {"sgd": 16}.get(learner, 1)
    config = Config(learner=learner, slot_bits=8, names=16, sgd=SgdConfig(batch=batch))
    model = OnlineLogit(label="y", key="key", config=config)
    model.step(events(0, 0, 100))
    header, state = model.header(), model.state()
    draw, cases = np.random.default_rng(seed), 0
    assert use(of_state(header, {name: array.copy() for name, array in state.items()}, "here"))
    for name, array in state.items():
        if not name.startswith(PARTS) or not array.size or array.dtype.kind not in "fiu":
            continue
        limits = None if array.dtype.kind == "f" else np.iinfo(str(array.dtype))
        for value in FLOATS if limits is None else (limits.max, limits.min, 0):
            at = int(draw.integers(array.size))
            bad = {each: other.copy() for each, other in state.items()}
            bad[name].reshape(-1)[at] = value
            print(f"{name}[{at}] = {value}", flush=True)
            cases += 1
            if not fits(header, bad):
                return 1
    print(f"{cases} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
