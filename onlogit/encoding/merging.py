"""The encoders of several workers as one: what each of them saw since their common base is added up.

Counts add exactly, and the slots' marks combine as if one encoder had seen every row. Means and variances are pooled. A
base whose guards against junk were still at work (its first rows, see kernels/gather.py) may be gone from a worker's
moments, so it is not taken off again: its rows, some thousand at most, then count once for every worker. A worker that is
itself at that stage moves the pool no further than 7 sd of those that are past it. Edges of buckets and knots of splines
name slots, so all workers need the same ones: a base that has them settled.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import ConfigError, DataError
from onlogit.kernels import derive, gather, hashing, naming

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
State = dict[str, np.ndarray[Any, Any]]

MOMENTS = ("moments", "list_moments", "term_moments")
COUNTS = ("odd", "nulls", "list_odd", "term_odd", "outside")
KNOTS = ("held", "warmed", "knots")
TAGS, NEGATIVE, RANGE = "tags", "negative", "range"
NAMES = ("name_slots", "name_counts", "name_coordinates", "name_sizes", "name_values", "nameless")


def merge(base: State, parts: Mapping[str, State], names: int = 0) -> State:
    """The state of an encoder that saw what all parts saw since the base. `parts` by the names that errors use; at most
    `names` names of slots are kept.

    DataError where two parts settled on different negative labels, ConfigError where they set knots of their own.
    """
    states = list(parts.values())
    merged: State = {}
    for name in base:
        own = [state[name] for state in states]
        if name in MOMENTS:
            merged[name] = pool_moments(base[name], own)
        elif name in COUNTS:
            merged[name] = base[name] + sum((each - base[name] for each in own), np.zeros_like(base[name]))
        elif name == RANGE:
            stacked = np.stack(own)
            merged[name] = np.stack([stacked[:, :, 0].min(axis=0), stacked[:, :, 1].max(axis=0)], axis=1)
        elif name in KNOTS:
            merged[name] = _agreed_knots(name, parts)
        elif name == TAGS:
            merged[name] = _combined_tags(own)
        elif name == NEGATIVE:
            merged[name] = _agreed_label(parts)
        elif name in NAMES:
            continue
        else:
            raise NotImplementedError(f"encoder: no rule to merge {name!r}")
    return merged | _joined_names(base, states, names)


def follows(base: State, part: State) -> bool:
    """Whether an encoder in the state `base` can have become `part`: what only grows is no less."""
    tags, own = base[TAGS], part[TAGS]
    settled, set_in_base = base[NEGATIVE], base["warmed"][:, derive.KNOTS] >= 0
    return bool(
        all((part[name] >= base[name]).all() for name in COUNTS)
        and (part[RANGE][:, 0] <= base[RANGE][:, 0]).all()
        and (part[RANGE][:, 1] >= base[RANGE][:, 1]).all()
        and ((tags == hashing.EMPTY) | (own == tags) | (own == hashing.SHARED)).all()
        and (not len(settled) or np.array_equal(settled, part[NEGATIVE]))
        and all(np.array_equal(base[name][set_in_base], part[name][set_in_base]) for name in ("warmed", "knots"))
        and _names_follow(base, part)
    )


def _names_follow(base: State, part: State) -> bool:
    """Whether counts of names are no less. One that is gone is none: a merge keeps those of the most events."""
    _, before, after = np.intersect1d(base["name_slots"], part["name_slots"], return_indices=True)
    return bool((part["name_counts"][after] >= base["name_counts"][before]).all())


def _joined_names(base: State, parts: list[State], most: int) -> State:
    """The names of all parts, those of the most events where there are too many; counts add."""
    found: dict[int, tuple[int, int, bytes]] = {}
    before = dict(zip(base["name_slots"].tolist(), base["name_counts"].tolist(), strict=True))
    counts = before.copy()
    for state in (base, *parts):
        ends = np.cumsum(np.maximum(state["name_sizes"], 0)).tolist()
        data, sizes = state["name_values"].tobytes(), state["name_sizes"].tolist()
        for j, slot in enumerate(state["name_slots"].tolist()):
            text = data[ends[j] - max(sizes[j], 0) : ends[j]]
            name = (int(state["name_coordinates"][j]), sizes[j], text)
            found[slot] = min(found.get(slot, name), name)  # whatever the order of the parts
            if state is not base:  # a part that has let the name go adds nothing
                counts[slot] = counts.get(slot, 0) + int(state["name_counts"][j]) - before.get(slot, 0)
    kept = sorted(found, key=lambda slot: (-counts[slot], slot))[:most]
    return {
        "name_slots": np.array(kept, np.int64),
        "name_counts": np.array([min(counts[slot], naming.MOST - 1) for slot in kept], np.int64),
        "name_coordinates": np.array([found[slot][0] for slot in kept], np.int64),
        "name_sizes": np.array([found[slot][1] for slot in kept], np.int64),
        "name_values": np.frombuffer(b"".join(found[slot][2] for slot in kept), np.uint8).copy(),
        "nameless": np.setdiff1d(np.concatenate([state["nameless"] for state in parts]), kept).astype(np.int64),
    }


def _combined_tags(tags: list[U8]) -> U8:
    """Two different marks of one slot make it shared."""
    merged = tags[0].copy()
    for other in tags[1:]:
        clash = (merged != other) & (merged != hashing.EMPTY) & (other != hashing.EMPTY)
        merged = np.where(clash, np.uint8(hashing.SHARED), np.maximum(merged, other))
    return merged


def _agreed_label(parts: Mapping[str, State]) -> U8:
    settled = {name: state[NEGATIVE] for name, state in parts.items() if len(state[NEGATIVE])}
    (first, found), *others = settled.items() or [("", np.zeros(0, np.uint8))]
    for name, other in others:
        if not np.array_equal(found, other):
            texts = [label.tobytes()[1:].decode(errors="replace") for label in (found, other)]
            raise DataError(
                f"the negative label is {texts[0]!r} in {first} and {texts[1]!r} in {name}; merging needs workers "
                "whose labels mean the same"
            )
    return found.copy()


def _agreed_knots(name: str, parts: Mapping[str, State]) -> np.ndarray[Any, Any]:
    (first, state), *others = parts.items()
    for other, theirs in others:
        if not np.array_equal(state[name], theirs[name]):
            raise ConfigError(
                f"{first} and {other} set the edges of buckets or the knots of splines each by its own rows; start all "
                "workers from one base that has seen 1,024 rows, and merge with that base"
            )
    return state[name].copy()


def pool_moments(base: F64, parts: list[F64]) -> F64:
    """Moments f64[d, 8], as in kernels/gather.py, of what the parts saw since the base.

    A column that at most one part has seen anything of is that part's, to the bit.
    """
    changed = (np.stack(parts) != base).any(axis=2)
    pooled = _pooled(base, parts)
    for j in np.flatnonzero(changed.sum(axis=0) <= 1):
        pooled[j] = parts[int(np.argmax(changed[:, j]))][j]
    return pooled


def _pooled(base: F64, parts: list[F64]) -> F64:
    base, *parts = (_entered(moments) for moments in (base, *parts))
    stacked = np.stack(parts)
    past = np.isinf(stacked[:, :, gather.NEXT])  # [K, d] whose guards are no longer needed
    exact = np.isinf(base[:, gather.NEXT])[:, None]
    nothing = np.zeros((len(base), 3))
    trial = slice(gather.TRIAL_WEIGHT, gather.TRIAL_VAR + 1)
    going = ~past.any(axis=0)
    merged = np.zeros_like(base)
    merged[:, :3] = np.where(exact, _sum(base[:, :3], stacked[:, :, :3]), _sum(nothing, _bounded(stacked, past)))
    merged[:, trial] = _sum(nothing, stacked[:, :, trial])
    for column in (gather.WEIGHT, gather.TRIAL_WEIGHT, gather.ROWS):  # at least as much as any part has
        own = stacked[:, :, column]
        grown = base[:, column] + (own - base[:, column]).sum(axis=0)
        merged[:, column] = np.maximum(grown, own.max(axis=0))
    merged[~going, trial] = 0.0
    doublings = np.floor(np.log2(np.maximum(merged[:, gather.ROWS] / gather.FIRST_TRIAL, 0.5))) + 1.0
    merged[:, gather.NEXT] = np.where(going, gather.FIRST_TRIAL * 2.0**doublings, np.inf)
    return merged


def _entered(moments: F64) -> F64:
    """The moments after what settled columns have gathered entered them, as in kernels/gather.py."""
    m = moments.copy()
    settled = np.isinf(m[:, gather.NEXT])
    n = m[:, gather.GATHERED] * settled
    some, weight = np.maximum(n, 1.0), m[:, gather.WEIGHT] + n
    r = n / np.where(weight > 0.0, weight, 1.0)
    d = r * np.sqrt(m[:, gather.VAR]) * m[:, gather.SUM] / (gather.UNIT * some)
    spread = m[:, gather.SQUARES] / (gather.UNIT**2 * some) - 1.0
    m[:, gather.VAR] = np.maximum(m[:, gather.VAR] * (1.0 + r * spread) - d * d, 0.0)
    m[:, gather.MEAN] += d
    m[:, gather.WEIGHT] = weight
    m[settled, gather.GATHERED : gather.SQUARES + 1] = 0.0
    return m


def _sum(base: F64, parts: F64) -> F64:
    """(weight, mean, variance) [d, 3] of Σ parts [K, d, 3] less (K - 1) times the base."""
    terms = np.concatenate([parts, base[None]])
    share = terms[:, :, 0].copy()
    share[-1] *= 1 - len(parts)
    total = share.sum(axis=0)
    share = share / np.where(total > 0.0, total, 1.0)
    origin = parts[0, :, 1]
    mean = origin + (share * (terms[:, :, 1] - origin)).sum(axis=0)
    variance = (share * (terms[:, :, 2] + (terms[:, :, 1] - mean) ** 2)).sum(axis=0)
    return np.stack([total, mean, np.maximum(variance, 0.0)], axis=1)


def _bounded(parts: F64, past: npt.NDArray[np.bool_]) -> F64:
    """(weight, mean, variance) [K, d, 3], those under guard held within 7 sd of those past it."""
    trusted = parts[:, :, :3] * past[:, :, None]
    pool = _sum(np.zeros_like(trusted[0]), trusted)
    held = parts[:, :, :3].copy()
    reach = gather.REACH * np.sqrt(pool[:, 2])
    apply = ~past & (reach > 0.0)
    held[:, :, 1] = np.where(apply, np.clip(held[:, :, 1], pool[:, 1] - reach, pool[:, 1] + reach), held[:, :, 1])
    held[:, :, 2] = np.where(apply, np.minimum(held[:, :, 2], reach**2), held[:, :, 2])
    return held
