"""Strings, codes and keys -> 64-bit hashes -> slots.

`hash_strings` mixes eight bytes at a time (multiply and xor-shift, as MurmurHash2 does) and ends with the finaliser of
splitmix64 (Stafford's variant 13); every step is a bijection, so that two strings of one length up to 8 bytes never
share a hash under one seed. It is no cryptographic hash: whoever may choose the values can make slots collide.

Reads stay inside the arrays given: an offset or a code that points outside them, which Arrow forbids, is read as an
empty string or a null. Validity is Arrow's bitmap, least significant bit first, starting at bit `shift`; an empty array
means that all is valid. Measured on one core: strings of up to 8 bytes 1 ns each and .6 ns more for each further 8, up to 32;
3 to 8 ns one by one, where a block of 256 has a longer one; codes 2 ns each.
"""

import numpy as np
import numpy.typing as npt

from onlogit.kernels.jit import inline, kernel, part, unsigned
from onlogit.kernels.lanes import prefetch, word

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

BLOCK = np.uint64(0xC6A4A7935BD1E995)  # multiplier of MurmurHash2
LENGTH = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
MIX_A = np.uint64(0xBF58476D1CE4E5B9)
MIX_B = np.uint64(0x94D049BB133111EB)
WORD = 8  # bytes
ABREAST = 256  # strings that are hashed side by side, where none has MANY words
MANY = 5
ONES = np.uint64((1 << 64) - 1)
EMPTY = 0  # states of a tag, beside the fingerprints 1..127
SHARED = 255
AHEAD = 192  # tags that are on their way to the cache; with 16 they came too late, at twice the time


@inline
def mix(x: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every bit of x moves half of the result's bits (splitmix64's finaliser)."""
    x = (x ^ (x >> np.uint64(30))) * MIX_A
    x = (x ^ (x >> np.uint64(27))) * MIX_B
    return x ^ (x >> np.uint64(31))


@inline
def is_valid(validity: U8, bit: int) -> bool:
    """Whether Arrow's bitmap has this bit set."""
    return bool((validity[bit >> 3] >> np.uint8(bit & 7)) & np.uint8(1))


@part
def _most_words(offsets: I32 | I64, first: int, n: int, size: int) -> int:
    """How many words the longest of strings first .. first + n has; MANY where it has more than that, or where so many words
    from the beginning of some string are not all inside the data."""
    below = longest = last = np.int64(0)
    for i in range(n):
        at = np.int64(offsets[unsigned(first + i)])
        length = np.int64(offsets[unsigned(first + i + 1)]) - at
        below, longest, last = below | at | length, max(longest, length), max(last, at)
    if below < 0 or longest > WORD * MANY or last > size - WORD * MANY:
        return MANY
    return int((longest + WORD - 1) // WORD)


@part
def _hash_abreast(
    data: U8, offsets: I32 | I64, first: int, n: int, most: int, seed: np.uint64, words: U64, h: U64, out: U64
) -> None:
    """The hashes of n strings of at most `most` words each, word by word. Words are fetched before they are mixed, as
    mixing alone vectorises."""
    for i in range(n):
        h[i] = seed ^ ((np.uint64(offsets[unsigned(first + i + 1)]) - np.uint64(offsets[unsigned(first + i)])) * LENGTH)
    for w in range(most):
        for i in range(n):
            words[i] = word(data, np.int64(offsets[unsigned(first + i)]) + WORD * w)
        for i in range(n):
            length = int(offsets[unsigned(first + i + 1)]) - int(offsets[unsigned(first + i)])
            left = length - WORD * w
            outside = np.uint64(8 * max(WORD - left, 0)) & np.uint64(63)  # bits; any where nothing is left
            mixed = (h[i] ^ (words[i] & (ONES >> outside))) * BLOCK
            h[i] = mixed ^ (mixed >> np.uint64(32)) if left > 0 else h[i]
    for i in range(n):
        out[unsigned(first + i)] = mix(h[i])


@inline
def _hash_one(data: U8, at: int, stop: int, seed: np.uint64) -> np.uint64:
    """The hash of data[at:stop], or of an empty string where that lies outside."""
    size = data.size
    if at < 0 or stop > size or at > stop:
        at = stop = 0
    h = seed ^ (np.uint64(stop - at) * LENGTH)
    while at < stop:
        if size >= WORD:  # one load; what comes before and after the string is shifted and masked away
            begin = min(at, size - WORD)
            some = word(data, begin) >> np.uint64(8 * (at - begin))
            some &= ONES >> np.uint64(8 * (WORD - min(stop - at, WORD)))
        else:
            some = np.uint64(0)
            for j in range(at, stop):
                some |= np.uint64(data[j]) << np.uint64(8 * (j - at))
        h = (h ^ some) * BLOCK
        h ^= h >> np.uint64(32)
        at += WORD
    return mix(h)


@kernel
def hash_strings(
    data: U8, offsets: I32 | I64, validity: U8, shift: int, seed: np.uint64, null: np.uint64, out: U64
) -> None:
    """out[i] = hash of string i, data[offsets[i]:offsets[i + 1]], or `null` where it is null. out: u64[n].

    h = seed ^ length c; for each word of 8 bytes, little endian, the last filled up with zeros:
    h = (h ^ word) b, h ^= h >> 32; the hash is mix(h).
    """
    words, h = np.empty(ABREAST, np.uint64), np.empty(ABREAST, np.uint64)
    for first in range(0, out.size, ABREAST):
        n = min(ABREAST, out.size - first)
        most = _most_words(offsets, first, n, data.size)
        if most < MANY:
            _hash_abreast(data, offsets, first, n, most, seed, words, h, out)
        else:
            for i in range(first, first + n):
                out[unsigned(i)] = _hash_one(data, int(offsets[unsigned(i)]), int(offsets[unsigned(i + 1)]), seed)
    if validity.size > 0:
        for i in range(out.size):
            if not is_valid(validity, shift + i):
                out[unsigned(i)] = null


@kernel
def hash_integers(values: I64, out: U64) -> None:
    """out[i] = mix(bits of values[i]): a bijection, so that two different keys never meet. Both [n]."""
    for i in range(out.size):
        out[i] = mix(np.uint64(values[i]))


@kernel
def take_hashes(codes: I32, validity: U8, shift: int, table: U64, out: U64) -> None:
    """out[i] = table[codes[i]]; the last entry of `table` stands for null. codes: i32[n]; out: u64[n]."""
    null = table.size - 1
    all_valid = validity.size == 0
    for i in range(out.size):
        code = np.int64(codes[i])
        known = 0 <= code < null and (all_valid or is_valid(validity, shift + i))
        out[i] = table[code if known else null]


@inline
def _fingerprint(h: np.uint64) -> np.uint8:
    """1..127, of bits that no slot is made of."""
    return np.uint8(((h >> np.uint64(40)) * np.uint64(127) >> np.uint64(24)) + np.uint64(1))


@inline
def _leave_mark(own: np.uint8, slot: np.uint64, tags: U8) -> None:
    """EMPTY -> this fingerprint; another fingerprint -> SHARED."""
    tag = tags[slot]
    if (tag != own) & (tag != SHARED):  # seldom: a branch that is foreseen
        tags[slot] = own if tag == EMPTY else np.uint8(SHARED)


@kernel
def find_slots(hashes: U64, weight: F64, null: np.uint64, size: int, slots: I32, prints: U8) -> int:
    """slots[i] = hashes[i] mod size, a power of two, and the fingerprint of each hash; returns how many rows of weight > 0 have
    the hash `null`. All [n]."""
    mask, nulls = np.uint64(size - 1), 0
    for i in range(hashes.size):
        h = hashes[i]
        slots[i], prints[i] = np.int32(h & mask), _fingerprint(h)
        nulls += (h == null) & (weight[i] > 0.0)
    return nulls


@kernel
def leave_marks(slots: I32, prints: U8, weight: F64, tags: U8) -> None:
    """Rows of weight > 0 leave their mark in `tags` (u8[slots]): EMPTY, the fingerprint 1..127 of the one hash seen there,
    or SHARED. The mark does not depend on the order of arrival. Two hashes share a fingerprint once in 127 times.

    slots: i32[k, >= n] and prints: u8[k, n], as `find_slots` gives them.
    """
    n = weight.size
    for j in range(prints.shape[0]):
        for i in range(n):
            prefetch(tags, np.int64(slots[j, min(i + AHEAD, n - 1)]))
            if weight[i] > 0.0:
                _leave_mark(prints[j, i], np.uint64(slots[j, i]), tags)


@kernel
def place_valued(hashes: U64, values: F32, weight: F64, tags: U8, out: I32) -> None:
    """The slot of each hash whose value is not 0, marked as in `leave_marks`; the slots of the others mean nothing. All [n]."""
    mask = np.uint64(tags.size - 1)
    for i in range(out.size):
        h = hashes[i]
        slot = h & mask
        out[i] = np.int32(slot)
        if weight[i] > 0.0 and values[i] != 0.0:
            _leave_mark(_fingerprint(h), slot, tags)


@kernel
def place_lists(
    hashes: U64, starts: I64, stops: I64, values: F32, weight: F64, null: np.uint64, tags: U8, out: I32
) -> int:
    """Like `place_valued` for lists: row i owns hashes, values and out from starts[i] to stops[i]; returns its nulls."""
    mask = np.uint64(tags.size - 1)
    nulls = 0
    for i in range(starts.size):
        for j in range(starts[i], stops[i]):
            h = hashes[j]
            slot = h & mask
            out[j] = np.int32(slot)
            if weight[i] > 0.0 and values[j] != 0.0:
                nulls += h == null
                _leave_mark(_fingerprint(h), slot, tags)
    return nulls


@kernel
def hash_numbered(values: I64, validity: U8, shift: int, seed: np.uint64, null: np.uint64, out: U64) -> None:
    """out[i] = mix(seed ^ mix(values[i])), or `null` where it is null: the indices of a list column. Both [n]."""
    all_valid = validity.size == 0
    for i in range(out.size):
        valid = all_valid or is_valid(validity, shift + i)
        out[i] = mix(seed ^ mix(np.uint64(values[i]))) if valid else null


@kernel
def join(hashes: U64, joined: U64) -> None:
    """joined[i] = mix(joined[i] ^ hashes[i]): one factor more in a product of categories. Both [n]."""
    for i in range(joined.size):
        joined[i] = mix(joined[i] ^ hashes[i])
