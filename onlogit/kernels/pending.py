"""The index from the key of an event that waits to its number: open addressing with linear probing.

Capacities are powers of two, at most half full; a place is the top bits of key times 2^64/phi (Fibonacci hashing, Knuth,
TAOCP vol. 3, 6.4). Removing moves what follows back into the hole (algorithm R there), so that nothing is left to be passed
over. Cost: some 20 ns a key; 16 bytes a place.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

SPREAD = np.uint64(0x9E3779B97F4A7C15)
NONE = -1


@inline
def place_of(key: np.uint64, shift: np.uint64) -> np.int64:
    """Where the search for a key begins; shift is 64 less the bits of the capacity."""
    return np.int64((key * SPREAD) >> shift)


@kernel
def find_keys(
    keys: U64,  # [c] the table
    events: I64,  # [c] NONE where a place is free
    shift: np.uint64,
    wanted: U64,  # [n]
    out: I64,  # [n] written: the event of each, or NONE
) -> None:
    """Look keys up."""
    mask = keys.size - 1
    for i in range(wanted.size):
        at = place_of(wanted[i], shift)
        while events[at] != NONE and keys[at] != wanted[i]:
            at = (at + 1) & mask
        out[i] = events[at]


@kernel
def add_keys(
    keys: U64,  # [c] changed
    events: I64,  # [c] changed
    shift: np.uint64,
    new: U64,  # [n]
    number: I64,  # [n] their events; the last one holds where a key comes twice
) -> int:
    """Put keys in; how many places that took. The table has to have room."""
    mask, taken = keys.size - 1, 0
    for i in range(new.size):
        at = place_of(new[i], shift)
        while events[at] != NONE and keys[at] != new[i]:
            at = (at + 1) & mask
        taken += events[at] == NONE
        keys[at], events[at] = new[i], number[i]
    return taken


@kernel
def remove_keys(
    keys: U64,  # [c] changed
    events: I64,  # [c] changed
    shift: np.uint64,
    old: U64,  # [n]
    number: I64,  # [n] their events; a key that another event has by now stays
) -> int:
    """Take keys out; how many places that freed."""
    mask, freed = keys.size - 1, 0
    for i in range(old.size):
        at = place_of(old[i], shift)
        while events[at] != NONE and keys[at] != old[i]:
            at = (at + 1) & mask
        if events[at] == NONE or events[at] != number[i]:
            continue
        freed += 1
        hole = at
        while True:
            events[hole] = NONE
            at = (at + 1) & mask
            while events[at] != NONE and (at - place_of(keys[at], shift)) & mask < (at - hole) & mask:
                at = (at + 1) & mask  # it would come before its own place
            if events[at] == NONE:
                break
            keys[hole], events[hole] = keys[at], events[at]
            hole = at
    return freed
