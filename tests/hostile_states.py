"""`python hostile_states.py LEARNER SEED`, or an act on alarms instead of a learner: states with one number out of place, or
all numbers of an array, taken up and used; of a learner, or of what is watched. A process of its own, as
a kernel that trusts one can end it, or never end. Names each case before it begins; exits with 1 at the first that is
neither refused nor states finite numbers."""

import json
import sys
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit import OnlineLogit
from onlogit.config import Config, MonitorConfig, SgdConfig
from onlogit.errors import OnlogitError, StateError
from onlogit.model import of_state
from onlogit.monitor.beside import Beside

PARTS = ("learner.", "memory.", "maturity.", "delays.", "encoder.name", "counts", "clock")
WATCHED = ("monitor.", "features.", "predictions.", "beside.", "repair.")
ACTS = ("recalibrate", "forget", "freeze")
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
    told_again = json.dumps([model.quality()._asdict(), *(part.figures() for part in beside(model))], allow_nan=False)
    of_state(model.header(), model.state(), "here")
    return bool(told_again) and all(np.isfinite(step.z).all() and np.isfinite(step.p).all() for step in told)


def beside(model: OnlineLogit) -> list[Beside]:
    """What is watched beside, where anything is."""
    own = model.pipeline.beside
    return [] if own is None else [own]


def watching(act: str) -> OnlineLogit:
    """A model that watches all that can be watched, acts so, and had alarms; some events wait for labels."""
    watched = MonitorConfig(
        by=("town",), slices=2, thresholds=(0.3,), costs=(1.0, 2.0), features=True, reference=200, warm_up=20,
        on_alarm=act, patience=100.0,
    )  # fmt: skip
    model = OnlineLogit(label="y", key="key", config=Config(slot_bits=6, names=16, monitor=watched))
    alarms = 0
    for k in range(8):  # labels turn halfway; all come, but those of the last events
        batch = events(k, 1000 * k, 300)
        y = batch["y"].fill_null(0.0) if k < 4 else pa.array(1.0 - np.asarray(batch["y"].fill_null(1.0)))
        batch = batch.set_column(batch.schema.get_field_index("y"), "y", y)
        alarms += len(model.step(batch).alarms)
    model.step(events(9, 9000))
    assert alarms
    return model


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
    acts = learner in ACTS
    if acts:
        model = watching(learner)
    else:
        batch = {"sgd": 16}.get(learner, 1)
        config = Config(learner=learner, slot_bits=8, names=16, sgd=SgdConfig(batch=batch))
        model = OnlineLogit(label="y", key="key", config=config)
        model.step(events(0, 0, 100))
    header, state = model.header(), model.state()
    draw, cases = np.random.default_rng(seed), 0
    assert use(of_state(header, {name: array.copy() for name, array in state.items()}, "here"))
    for name, array in state.items():
        if not name.startswith(WATCHED if acts else PARTS) or not array.size or array.dtype.kind not in "fiu":
            continue
        limits = None if array.dtype.kind == "f" else np.iinfo(str(array.dtype))
        for value in FLOATS if limits is None else (limits.max, limits.min, 0):
            at = int(draw.integers(array.size))
            bad = {each: other.copy() for each, other in state.items()}
            if acts and cases % 2:
                bad[name][...] = value
            else:
                bad[name].reshape(-1)[at] = value
            print(f"{name}[{':' if acts and cases % 2 else at}] = {value}", flush=True)
            cases += 1
            if not fits(header, bad):
                return 1
    print(f"{cases} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
