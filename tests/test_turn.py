"""One change of a model at a time, each whole; scores beside it change nothing."""

import copy
import pickle
import signal
import threading

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

import onlogit
from onlogit.errors import DataError, StateError


def batches(rows: int, size: int = 500) -> list[pa.RecordBatch]:
    rng = np.random.default_rng(5)
    x, gaps = rng.normal(size=(2, rows)), rng.random(rows) < 0.1
    town = pa.array(rng.choice(["Ulm", "Bonn", "Kiel"], rows))
    y = rng.random(rows) < 1 / (1 + np.exp(-x[0]))
    table = pa.table({"a": x[0], "b": pa.array(x[1], mask=gaps), "town": town, "y": y})
    cut: list[pa.RecordBatch] = table.to_batches(max_chunksize=size)
    return cut


def model(learner: str = "belief") -> onlogit.OnlineLogit:
    return onlogit.OnlineLogit(label="y", config=onlogit.Config(learner=learner, slot_bits=8))


@pytest.mark.parametrize("learner", ["belief", "sgd"])
@pytest.mark.parametrize("rows", [10, 300])
def test_scores_beside_learning_change_nothing(learner: str, rows: int) -> None:
    stream = batches(40_000)
    alone, beside = model(learner), model(learner)
    for batch in stream:
        alone.step(batch)
    beside.step(stream[0])
    done, scored = threading.Event(), 0
    few = stream[1].slice(0, rows)
    beside.predict_proba(few)  # compiled

    def score() -> None:
        nonlocal scored
        while not done.is_set():
            assert np.isfinite(beside.predict_proba(few)).all()
            scored += 1

    thread = threading.Thread(target=score)
    thread.start()
    for batch in stream[1:]:
        beside.step(batch)
    done.set()
    thread.join()
    assert scored > 3
    assert beside.to_bytes() == alone.to_bytes()


def test_two_threads_do_not_step_at_once() -> None:
    stream = batches(4_000, 1_000)
    here, alone = model(), model()
    here.step(stream[0])
    refused: list[str] = []
    inside = here.pipeline.learner

    class Slow:
        """Lets another thread try in the middle of a step."""

        def __getattr__(self, name: str) -> object:
            return getattr(inside, name)

        def begin(self, *args: object) -> object:
            for change in (lambda: here.step(stream[2]), here.to_bytes, here.finish, here.freeze, here.watch_afresh):
                thread = threading.Thread(target=attempt, args=(change,))
                thread.start()
                thread.join()
            return inside.begin(*args)  # type: ignore[arg-type]

    def attempt(change: object) -> None:
        with pytest.raises(StateError, match="another thread is changing this model") as caught:
            change()  # type: ignore[operator]
        refused.append(str(caught.value))

    here.pipeline.learner = Slow()  # type: ignore[assignment]
    here.step(stream[1])
    here.pipeline.learner = inside
    assert len(refused) == 5
    for batch in stream[:2]:
        alone.step(batch)
    assert here.to_bytes() == alone.to_bytes()


def interrupting(there: onlogit.OnlineLogit, times: int) -> None:
    """Ctrl-C so many times in the middle of the next step."""
    inside = there.pipeline.learner

    class Interrupted:
        def __getattr__(self, name: str) -> object:
            return getattr(inside, name)

        def begin(self, *args: object) -> object:
            there.pipeline.learner = inside
            scores = inside.begin(*args)  # type: ignore[arg-type]
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
            return scores

    there.pipeline.learner = Interrupted()  # type: ignore[assignment]


def test_ctrl_c_waits_until_the_step_is_whole() -> None:
    stream = batches(2_000, 1_000)
    there, alone = model(), model()
    there.step(stream[0])
    interrupting(there, 1)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        there.step(stream[1])
    assert signal.getsignal(signal.SIGINT) is handler
    for batch in stream:
        alone.step(batch)
    assert there.to_bytes() == alone.to_bytes()


def test_a_second_ctrl_c_breaks_the_step_off_and_the_model_says_so() -> None:
    stream = batches(2_000, 1_000)
    there = model()
    there.step(stream[0])
    interrupting(there, 2)
    with pytest.raises(KeyboardInterrupt):
        there.step(stream[1])
    for change in (there.to_bytes, there.state, lambda: there.step(stream[1]), lambda: copy.deepcopy(there).state()):
        with pytest.raises(StateError, match="broken off in the middle by KeyboardInterrupt: load the file saved last"):
            change()


def test_copies_have_turns_of_their_own() -> None:
    first, second = batches(2_000, 1_000)
    there = model()
    there.step(first)
    for twin in (copy.deepcopy(there), pickle.loads(pickle.dumps(there))):
        twin.step(second)
        assert twin.counts.events == 2_000
    assert there.counts.events == 1_000


def test_a_first_batch_that_is_refused_settles_nothing() -> None:
    there = model()
    with pytest.raises(DataError, match="label 2"):
        there.step(pa.table({"a": [1.0, 2.0], "y": [2, 0]}))
    assert not there.settled
    there.step(pa.table({"a": [1.0, 2.0], "y": [True, False]}))
    assert there.counts.events == 2


@pytest.mark.parametrize("now", ["noon", 1.5, 1 << 63])
def test_a_wrong_time_is_refused_and_breaks_nothing(now: object) -> None:
    there = onlogit.OnlineLogit(label="y", config=onlogit.Config(labels=onlogit.LabelConfig(horizon="2d")))
    batch = batches(10)[0]
    with pytest.raises(DataError, match="a whole number of microseconds"):
        there.step(batch, now=now)  # type: ignore[arg-type]
    there.step(batch, now=0)
    assert there.counts.events == 10
