"""When a label is learned, and when the monitor sees it: against an event-by-event account in plain Python."""

import heapq

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from bench.workloads import drifting
from onlogit import Config, LabelConfig, OnlineLogit
from onlogit.learners.protocol import LEARN, SCORE, Tape

TABLE = drifting(300).table


def spoken(tape: Tape, events: dict[int, int]) -> list[tuple[str, int]]:
    """A tape as words: ("score" | "learn", event)."""
    out = []
    for row, act in zip(tape.row.tolist(), tape.act.tolist(), strict=True):
        out += [("score", events[row])] * bool(act & SCORE) + [("learn", events[row])] * bool(act & LEARN)
    return out


def recorded(model: OnlineLogit, table: pa.Table, cut: int) -> list[tuple[str, int]]:
    """What the fold tells its learner, in order, as events."""
    words: list[tuple[str, int]] = []
    model.begin(table.schema)
    fold = model.pipeline
    learn, take = fold.learner.learn, fold.memory.take
    taken: list[int] = []

    def note_take(event):  # type: ignore[no-untyped-def]
        taken[:] = event.tolist()
        return take(event)

    def note_learn(rows, tape, y, weight, memo):  # type: ignore[no-untyped-def]
        n = len(y) - len(taken)
        first = fold.counts.events
        words.extend(spoken(tape, {i: first + i if i < n else taken[i - n] for i in range(len(y))}))
        taken.clear()
        return learn(rows, tape, y, weight, memo)

    fold.memory.take, fold.learner.learn = note_take, note_learn  # type: ignore[method-assign]
    for low in range(0, table.num_rows, cut):
        model.step(table.slice(low, cut))
    return words


@pytest.mark.parametrize("cut", [1, 7, 300])
def test_labels_are_learned_when_their_time_has_come(cut: int) -> None:
    time, known = (TABLE[c].cast(pa.int64()).to_numpy() for c in ("at", "known_at"))
    expected: list[tuple[str, int]] = []
    sealed: list[tuple[int, int]] = []
    for i in range(300):
        while sealed and sealed[0][0] <= time[i]:
            expected.append(("learn", heapq.heappop(sealed)[1]))
        expected.append(("score", i))
        heapq.heappush(sealed, (int(known[i]), i))
    model = OnlineLogit("y", time="at", label_time="known_at", drop=["id"])
    assert recorded(model, TABLE, cut) == expected
    assert model.counts.learned + model.pipeline.memory.waiting == 300


@pytest.mark.parametrize("cut", [1, 7, 300])
@pytest.mark.parametrize("delay", [0, 1, 13])
def test_a_delay_is_counted_in_examples(cut: int, delay: int) -> None:
    expected = []
    for i in range(300):
        expected.append(("score", i))
        if i >= delay:
            expected.append(("learn", i - delay))
    config = Config(labels=LabelConfig(delay=delay))
    assert recorded(OnlineLogit("y", drop=["id", "at", "known_at"], config=config), TABLE, cut) == expected


def test_the_monitor_sees_prediction_order() -> None:
    model = OnlineLogit("y", key="id", drop=["at", "known_at"])
    rows = TABLE.slice(0, 50)
    model.step(rows.set_column(rows.schema.get_field_index("y"), "y", pa.nulls(50, pa.bool_())))
    seen: list[int] = []
    update = model.pipeline.monitor.update

    def note(event, *rest):  # type: ignore[no-untyped-def]
        seen.extend(event.tolist())
        return update(event, *rest)

    model.pipeline.monitor.update = note  # type: ignore[method-assign]
    for i in np.random.default_rng(1).permutation(50).tolist():
        model.outcomes(rows.select(["id", "y"]).slice(i, 1))
        assert seen == list(range(len(seen)))
    assert seen == list(range(50))
