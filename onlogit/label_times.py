"""When each label is learned: the order of scores and labels in a batch. Plain arrays, no learner, no I/O.

A label in the record is learned at once; or after `delay` further events; or when the stream's time reaches its label time
(arrival); or when it reaches the event's `due` time, by which the label was sure to be known. Due times keep a stream
honest whose labels come soon for one outcome and late for the other: on arrival such a stream shows the learner too many of
the fast ones (docs/labels.md has figures). They are a column known at scoring, or the event's time + `horizon`. What is
told by then, in the record or by key, is learned at due, in prediction order among equal dues; what is not is dropped, or
is a negative, as `unresolved` says.

The stream's time is the latest event time so far, or what the caller passes as `now`. A label is learned before the first
event that is scored at or after its time, and never before its own event. Cost: a sort of what waits, each batch.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from onlogit.config import LabelConfig
from onlogit.encoding import Encoded
from onlogit.encoding.event_columns import NO_TIME
from onlogit.errors import ConfigError
from onlogit.fixed import constant, counting
from onlogit.memory import NEVER, Memory, repeated
from onlogit.schema import Schema

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NO_EVENTS = np.zeros(0, np.int64)


class Plan(NamedTuple):
    """The order of things in a batch of n events numbered from `first`. What has place q comes before the q-th event."""

    event: I64  # [m] events whose label is learned, in order
    place: I64  # [m] the place of each, 0..n
    lost: I64  # [l] remembered or own events that no label can reach any more
    lost_place: I64  # [l] the place from which each is
    kept: I64  # [r] own events that wait for a label after the batch, ascending
    due: I64  # [n] on the stream's clock, NEVER where no label is sealed or awaited until then
    unresolved: I64  # [u] remembered or own events that came to be due without a label, in order
    unresolved_place: I64  # [u] the place of each
    hopeless: int  # own events without a due time, or without a label that could come by then

    def waits_until(self, event: I64, n: int) -> I64:
        """The place from which each of these events [m], which wait at some time, waits no more; n where it waits on."""
        over, place = np.concatenate([self.event, self.lost]), np.concatenate([self.place, self.lost_place])
        order = np.append(np.argsort(over), -1)
        at = order[np.searchsorted(over, event, sorter=order[:-1])]
        return np.where(np.append(over, -1)[at] == event, np.append(place, n)[at], n)


class Awaited(NamedTuple):
    """Of each row [n] of a batch the event of its key that may still wait for its label when the row comes."""

    event: I64  # -1 where there is none
    place: I64  # of the row: how many new events come before it
    until: I64  # the place from which the event waits no more


class LabelTimes:
    """Settles when labels are learned; state: the stream's time so far. A ConfigError for what contradicts itself."""

    def __init__(self, schema: Schema, labels: LabelConfig) -> None:
        self.delay, self.remember = labels.delay, labels.remember
        self.horizon = labels.horizon_us
        self.negative = labels.unresolved == "negative"
        self.keyed = schema.with_role("key") is not None
        due, label_time = (schema.with_role(role) is not None for role in ("due", "label_time"))
        self.by_due = due or self.horizon > 0
        self.by_time = label_time or self.by_due
        self.sealing = self.by_time or labels.delay > 0
        self.has_time = schema.with_role("time") is not None
        self.on_arrival = not self.by_due and (label_time or self.keyed)  # fast labels of one class may come first
        self.clock = NO_TIME
        for one, other, both in (
            ("a label time", "a label delay", label_time and labels.delay),
            ("a due time", "a label delay", self.by_due and labels.delay),
            ("a due column", "a horizon", due and self.horizon),
        ):
            if both:
                raise ConfigError(f"{one} and {other} contradict each other; give one of them")
        if self.negative and not self.by_due:
            raise ConfigError(
                "unresolved events become negatives when they are due: name a due column, or give a horizon"
            )

    def require_time(self, now: int | None) -> None:
        """A ConfigError where labels come by time and this batch has none."""
        if self.by_time and now is None and not self.has_time:
            raise ConfigError("labels come at a time, so events need one: name a time column (or give `now` to a step)")

    def plan(self, encoded: Encoded, memory: Memory, event: I64, first: int, scored: int, now: int | None) -> Plan:
        """The order of things in a batch of these events, `first` and on; `scored` of those before it had a weight. The
        stream's time goes on to the end of the batch."""
        plan = self.foresee(encoded, memory, event, first, scored, now)
        if self.by_time:
            self.clock = int(self._time(encoded, now).max(initial=self.clock))
        return plan

    def foresee(self, encoded: Encoded, memory: Memory, event: I64, first: int, scored: int, now: int | None) -> Plan:
        """What `plan` would say; nothing is changed."""
        if not self.sealing:
            return self._open(encoded, memory, event, first)
        return self._sealed(encoded, memory, event, first, self._read_clock(encoded, scored, now))

    def waiting(self, encoded: Encoded) -> Bools:
        """Which events [n] of a stream with keys, with due times as settled, have to wait for their label: not those of no
        weight, nor those whose label is learned with its record, or that no label can reach."""
        counted = encoded.weight > 0
        if not self.sealing:
            return counted & (encoded.y < 0)
        return counted & (encoded.due != NEVER) if self.by_due else counted

    def awaited(
        self, encoded: Encoded, new: Bools, memory: Memory, first: int, scored: int, now: int | None
    ) -> Awaited | None:
        """Of each row the last event of its key that has to wait: one remembered, or an earlier of those rows [n] that are
        `new` events. None where no row brings a key that waits or that an earlier row brings."""
        key = encoded.key
        assert key is not None
        event, n = memory.find(key), int(np.count_nonzero(new))
        if (event < 0).all() and not repeated(key).any():
            return None
        place: I64 = np.cumsum(new) - new
        order = np.argsort(key, kind="stable")
        at, ordered = np.arange(len(key)), key[order]
        begins = np.maximum.accumulate(np.where(np.append(True, ordered[1:] != ordered[:-1]), at, 0))
        waits = (self.waiting(encoded) & new)[order]
        last = np.append(-1, np.maximum.accumulate(np.where(waits, at, -1))[:-1])
        found = last >= begins
        event[order[found]] = first + place[order[last[found]]]
        columns = [None if column is None else column[new] for column in encoded[1:-1]]
        own = Encoded._make([encoded.rows, *columns, None])
        plan = self.foresee(own, memory, np.arange(first, first + n), first, scored, now)
        return Awaited(event, place, plan.waits_until(event, n + 1))

    def _open(self, encoded: Encoded, memory: Memory, event: I64, first: int) -> Plan:
        """Every label in a record is learned at once; without one the event may wait for an outcome by key."""
        counted = encoded.weight > 0
        labelled = (encoded.y >= 0) & counted
        whole = bool(labelled.all())
        learned, place = (event, counting(len(event) + 1)[1:]) if whole else (
            event[labelled], np.flatnonzero(labelled) + 1
        )  # fmt: skip
        if not self.keyed:
            return Plan(learned, place, NO_EVENTS, NO_EVENTS, NO_EVENTS, NO_EVENTS, NO_EVENTS, NO_EVENTS, 0)
        waits = event[counted & ~labelled]
        horizon = first + len(event) - self.remember
        lost = np.concatenate([memory.expiring(horizon), waits[waits < horizon]])
        never = constant(np.int64(NEVER), len(event))
        kept = waits[waits >= horizon]
        return Plan(learned, place, lost, lost - first + self.remember + 1, kept, never, NO_EVENTS, NO_EVENTS, 0)

    def _sealed(self, encoded: Encoded, memory: Memory, event: I64, first: int, clock: I64) -> Plan:
        """Which labels are learned in this batch and where, which events are remembered, and which are given up."""
        n = len(event)
        counted = encoded.weight > 0
        awaited = counted & ((encoded.y >= 0) | (self.by_due & (self.keyed | self.negative)))
        due = np.where(awaited, self._own_due(encoded, clock), NEVER)
        old_due, old_event, old_y = memory.sealed()
        all_due, all_event = np.concatenate([old_due, due]), np.concatenate([old_event, event])
        all_y = np.concatenate([old_y, encoded.y])
        place = np.searchsorted(clock, all_due)  # what the clock has not reached waits for the next batch
        here = (place < len(clock)) & (all_due != NEVER)
        place = np.maximum(place, all_event - first + 1)
        comes = here & (place < len(clock)) & (place < all_event - first + self.remember + 1)
        come = np.flatnonzero(comes)
        come = come[np.lexsort((all_event[come], all_due[come], place[come]))]  # prediction order among equal dues
        unresolved = come[all_y[come] < 0]
        learned, dropped = (come, NO_EVENTS) if self.negative else (come[all_y[come] >= 0], unresolved)
        waits = ((due != NEVER) | (self.keyed & counted & (not self.by_due))) & ~comes[len(old_due) :]
        horizon = first + n - self.remember
        expired = np.setdiff1d(memory.expiring(horizon), all_event[comes], assume_unique=True)
        expired = np.concatenate([expired, event[waits & (event < horizon)]])
        return Plan(
            all_event[learned],
            place[learned],
            np.concatenate([expired, all_event[dropped]]),
            np.concatenate([expired - first + self.remember + 1, place[dropped]]),
            event[waits & (event >= horizon)],
            due,
            all_event[unresolved],
            place[unresolved],
            int(np.count_nonzero(counted & (due == NEVER))) if self.by_due else 0,
        )

    def settle(self, encoded: Encoded, now: int | None) -> Encoded:
        """The batch with due times, and with only those labels that are known when they are due."""
        if not self.by_due:
            return encoded
        due = encoded.due
        if due is None:
            due = np.minimum(self._time(encoded, now), NEVER - 1 - self.horizon) + self.horizon
        y = encoded.y
        if encoded.label_time is not None:
            y = np.where(encoded.label_time <= due, y, np.int8(-1))
        return encoded._replace(due=due, y=y)

    def _own_due(self, encoded: Encoded, clock: I64) -> I64:
        if self.by_time:
            own = encoded.due if self.by_due else encoded.label_time
            assert own is not None
            return own
        return clock[: len(encoded.y)] + self.delay + 1

    def _time(self, encoded: Encoded, now: int | None) -> I64:
        return np.full(len(encoded.y), now, np.int64) if encoded.time is None else encoded.time

    def _read_clock(self, encoded: Encoded, scored: int, now: int | None) -> I64:
        """The stream's time at each of the n events; where labels do not come by time, how many events with a weight
        were scored before each and, n + 1st, after all of them."""
        if not self.by_time:
            return scored + np.concatenate([[0], np.cumsum(encoded.weight > 0)])
        clock: I64 = np.maximum.accumulate(np.concatenate([[self.clock], self._time(encoded, now)]))
        return clock[1:]
