"""A model file may hold any numbers: it is refused, or what it states is finite; and no process dies or hangs of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hostile_states import ACTS, events, watching

from onlogit import OnlineLogit
from onlogit.config import BeliefConfig, Config
from onlogit.errors import StateError
from onlogit.model import of_state
from onlogit.monitor.features import FeatureMonitor
from onlogit.patience import patience_of


@pytest.mark.parametrize("learner", [*forks.LEARNERS, *ACTS])
def test_one_number_out_of_place_is_refused_or_does_no_harm(learner: str) -> None:
    script = Path(__file__).with_name("hostile_states.py")
    command = [sys.executable, "-W", "ignore", str(script), learner, "1"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, env=forks.environment(), check=False)
    assert told.returncode == 0, (told.returncode, told.stdout[-200:], told.stderr[-2000:])


def model() -> OnlineLogit:
    made = OnlineLogit(label="y", key="key", config=Config(slot_bits=8))
    made.step(events(0, 0, 200))
    return made


def changed(array: Any, at: Any, value: Any) -> Any:
    """The array with one number of it, or some, replaced."""
    bad = array.copy()
    bad[at] = value
    return bad


HARM = [
    ("learner.rate", 0, 0.0), ("learner.rate", 0, -1.0), ("learner.rate", 0, np.inf), ("learner.u", 0, 0.0),
    ("learner.u", (0, 3), np.nan), ("learner.omega", 1, -0.1), ("learner.counted", 1, 0.0), ("learner.flight", 0, -1.0),
    ("learner.residuals", (1, 2), 0.0), ("learner.clock", 0, 0.0), ("learner.touched", 0, 1e9),
    ("learner.slots", 0, 256), ("learner.slots", 0, -1), ("learner.table", (0, 1, 0), -1.0),
    ("learner.table", (0, 0, 0), 3e38), ("learner.scales", (0, 1), 0.0), ("learner.cov", (0, 1, 1), -1.0),
    ("learner.cov", (0, 0, 1), 9.0), ("learner.stack_cov", (0, 0), np.nan), ("learner.stack_mean", 0, np.inf),
]  # fmt: skip


@pytest.mark.parametrize(("name", "at", "value"), HARM)
def test_a_belief_that_no_walk_can_have_left_changes_nothing(name: str, at: Any, value: float) -> None:
    learner = model().pipeline.learner
    before, name = learner.state(), name.removeprefix("learner.")
    with pytest.raises(StateError, match=repr(name)):
        learner.restore(before | {name: changed(before[name], at, value)})
    after = learner.state()
    assert all(np.array_equal(array, after[each]) for each, array in before.items())


def test_a_state_without_the_clocks_of_its_slots_is_refused_by_name() -> None:
    made = model()
    with pytest.raises(StateError, match="'touched' is missing"):
        of_state(made.header(), {k: v for k, v in made.state().items() if k != "learner.touched"}, "here")


REVERSED, ODD = object(), -(2**63)
ODDITIES = [
    ("beside.held_bins", ..., 127), ("beside.held_bins", 0, 32), ("beside.held_bins", 0, -2), ("beside.held_bins", (0, -1), -1),
    ("beside.held_slices", ..., 7), ("features.0.begins", ..., REVERSED), ("features.0.begins", 1, np.nan),
    ("features.0.begins", 0, np.inf), ("features.0.begins", 0, -np.inf), ("features.1.kind", 0, 1), ("features.0.kind", 0, 2),
    ("features.counts", ..., 0.0), ("features.counts", 0, -1.0), ("features.counts", (0, 2), 0.5), ("features.seen", 0, 1),
    ("features.drift.late", ..., 1e308), ("features.drift.late", ..., 0.0), ("features.drift.shares", ..., 1e-9),
    ("features.drift.shares", ..., -1.0), ("features.drift.high", ..., 0.0), ("features.drift.low", ..., 1.0),
    ("features.drift.ratio", ..., -1.0), ("features.drift.telling", 0, 2.0), ("features.drift.level", ..., 1e308),
    ("features.drift.warned", 0, 1e308), ("features.drift.due", 0, 7), ("features.drift.clock", 2, 0.0),
    ("features.residuals.seen", 0, 2**63 - 1), ("features.residuals.seen", 1, 7), ("features.residuals.sums", ..., 1e300),
    ("features.residuals.sums", ..., -1.0), ("features.residuals.events", 0, -1),
    ("beside.slices.0.totals", ..., -1.0), ("beside.slices.0.totals", (0, 1), 1e6), ("beside.slices.0.names", ..., 0),
    ("beside.slices.0.level", ..., -1e300), ("beside.slices.0.grades", ..., ODD), ("beside.slices.0.grade", 0, 3),
    ("beside.slices.0.slopes", ..., 0.0), ("beside.slices.0.before", ..., 1e9), ("beside.slices.0.seen", 0, 0),
    ("beside.decisions.scored_total", ..., 2**63 - 1), ("beside.decisions.scored_seen", 0, 2**62),
    ("beside.decisions.settled_total", ..., 2**63 - 1), ("beside.decisions.settled_marks", 0, 2**62),
    ("beside.decisions.settled_seen", 1, 9), ("repair.maps", ..., 1e308), ("repair.maps", (0, 0), 1e9),
    ("repair.cov", 0, -1.0), ("repair.mean", 0, np.inf), ("repair.capital", 1, -1.0), ("repair.heard", 0, 1e12),
    ("monitor.tally.totals", ..., 2**62), ("monitor.tally.totals", ..., 2**63 - 1), ("monitor.tally.totals", (1, 0), 2**40),
    ("monitor.tally.ranks", 0, -1), ("monitor.tally.ranks", 0, 1 << 20), ("monitor.tally.shares", (0, 0, 0), 2**40),
    ("monitor.recent.totals", ..., 2**40), ("monitor.recent.faded_totals", 0, -1.0), ("monitor.recent.ranks", 0, 2**60),
    ("monitor.timeline.totals", 0, 2**40), ("monitor.timeline.peak", 0, np.inf), ("monitor.change.width", 0, 9.0),
    ("monitor.evidence.totals", 0, -1.0), ("monitor.evidence.cells", ..., 0.0), ("monitor.evidence.edges", 0, 9.0),
    ("monitor.evidence.sums", 0, 1e308), ("monitor.evidence.runs", 0, np.nan), ("monitor.evidence.before", 0, 1e9),
]  # fmt: skip


@pytest.fixture(scope="module")
def watched() -> OnlineLogit:
    return watching("recalibrate")


@pytest.mark.parametrize(("name", "at", "value"), ODDITIES)
def test_what_no_stream_can_have_left_to_the_monitor_is_refused(
    watched: OnlineLogit, name: str, at: Any, value: Any
) -> None:
    state = watched.state()
    bad = state[name][::-1].copy() if value is REVERSED else changed(state[name], at, value)
    assert bad.size
    with pytest.raises(StateError):
        of_state(watched.header(), state | {name: bad}, "here")


def test_codes_of_other_events_than_wait_are_refused(watched: OnlineLogit) -> None:
    state = watched.state()
    short = {name: state[name][:, 1:] for name in ("beside.held_bins", "beside.held_slices")}
    with pytest.raises(StateError, match="not those of the events that wait"):
        of_state(watched.header(), state | short, "here")


def test_a_state_of_the_monitor_is_looked_through_once_for_all_columns() -> None:
    columns = 3_000
    monitor = FeatureMonitor(tuple(f"x{k}" for k in range(columns)), patience_of(1000.0), 200)
    state = Names(monitor.state())
    monitor.restore(state)
    assert state.looks <= 20 * len(state)  # of a scan for each column there were 3,000


class Names(dict[str, Any]):
    """A state that counts the names which are gone through."""

    looks = 0

    def items(self) -> Any:
        self.looks += len(self)
        return super().items()


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("slot", 0, 2**31 - 1), ("slot", 0, 256), ("slot", 0, -1), ("weight", 0, np.inf), ("weight", 0, 1e300),
        ("dense", 0, np.nan), ("value", 0, np.nan), ("y", 0, 5), ("length", 0, 2**62), ("event", 0, 7),
    ],
)  # fmt: skip
def test_events_that_none_can_have_remembered_change_nothing(name: str, at: int, value: float) -> None:
    memory = model().pipeline.memory
    before = memory.state()
    with pytest.raises(StateError, match="remembered events"):
        memory.restore(before | {name: changed(before[name], at, value)})
    after = memory.state()
    assert all(np.array_equal(array, after[each]) for each, array in before.items())


@pytest.mark.parametrize(
    ("name", "at", "value", "says"),
    [
        ("counts", 0, 201, "not the last"), ("counts", 0, -1, "counts and clock"), ("counts", 3, -1, "counts and clock"),
        ("counts", 2, 2**63 - 1, "counts and clock"), ("clock", 2, -(2**63), "counts and clock"),
        ("maturity.first", 0, -1, "prediction order"), ("maturity.first", 0, 5, "not the last"),
        ("maturity.z", 0, np.nan, "prediction order"), ("maturity.y", 0, 3, "prediction order"),
        ("memory.event", -1, 200, "not the last"), ("memory.memo", (0, -1), 0.0, "nothing that this learner states"),
        ("memory.memo", (0, -2), -1.0, "nothing that this"), ("memory.memo", (0, 8), -9.0, "nothing that this"),
    ],
)  # fmt: skip
def test_a_fold_whose_parts_contradict_each_other_is_refused(name: str, at: Any, value: float, says: str) -> None:
    made = model()
    state = made.state()
    with pytest.raises(StateError, match=says):
        of_state(made.header(), state | {name: changed(state[name], at, value)}, "here")


def test_what_waits_goes_on_after_a_load() -> None:
    made = model()
    again = of_state(made.header(), made.state(), "here")
    told = pa.record_batch({"key": np.arange(0, 200, 3), "y": np.arange(67) % 2.0})
    for each in (made, again):
        each.outcomes(told)
    np.testing.assert_array_equal(made.step(events(5, 900)).p, again.step(events(5, 900)).p)


def test_what_lanes_that_are_not_in_use_owe_is_no_fault() -> None:
    made = OnlineLogit(label="y", weight="w", config=Config(slot_bits=8, belief=BeliefConfig(stacking_half_life=1e3)))
    made.step(events(0, 0).append_column("w", pa.array([2.0**20] * 60)))
    state = made.state()
    scales = state["learner.stack_scales"]
    assert scales[0, 1:].tolist() == [1.0] * 7  # a lane of no belief does not forget
    assert scales[1, 1:].tolist() == [0.0] * 7
    scales[1, 1:] = np.inf  # as states were before
    again = of_state(made.header(), state, "here")
    more = events(1, 60)
    more = more.append_column("w", pa.array([1.0] * more.num_rows))
    np.testing.assert_array_equal(made.step(more).p, again.step(more).p)
    assert made.state()["learner.stack_scales"].tobytes() == again.state()["learner.stack_scales"].tobytes()
    np.testing.assert_array_equal(made.score(events(1, 0)).p, again.score(events(1, 0)).p)
