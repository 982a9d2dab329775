"""String hashes, places and the assembly of rows against their slow twins."""

from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import hash_of_bytes, mix64

from onlogit.kernels import hashing

NONE = np.zeros(0, np.uint8)
SEED = np.uint64(0x1234567890ABCDEF)
NULL = np.uint64(77)


def bitmap(valid: list[bool], shift: int) -> npt.NDArray[np.uint8]:
    """Arrow's validity bitmap, starting at bit `shift` after bits that are all set."""
    return np.packbits(np.array([True] * shift + valid, bool), bitorder="little")


def hashed(strings: list[bytes], offsets: type, pad: int = 0) -> list[int]:
    data = np.frombuffer(b"".join(strings) + b"\xff" * pad, np.uint8)
    ends: npt.NDArray[np.signedinteger] = np.cumsum([0] + [len(s) for s in strings]).astype(offsets)
    out = np.zeros(len(strings), np.uint64)
    hashing.hash_strings(data, ends, NONE, 0, SEED, NULL, out)
    return [int(h) for h in out]


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(st.binary(max_size=40), max_size=20),
    st.sampled_from([np.int32, np.int64]),
    st.integers(0, 9) | st.just(64),
)
def test_hash_is_that_of_python_integers_wherever_the_string_lies(
    strings: list[bytes], offsets: type, pad: int
) -> None:
    assert hashed(strings, offsets, pad) == [hash_of_bytes(s, int(SEED)) for s in strings]


@pytest.mark.parametrize("longest", [0, 1, 7, 8, 9, 16, 17, 31, 32, 33, 100])
def test_hash_is_that_of_python_integers_over_many_blocks(longest: int) -> None:
    """Blocks are hashed side by side where no string is too long or too near to the end, and one by one elsewhere."""
    random = Random(longest)
    strings = [random.randbytes(random.choice([0, longest, random.randint(0, longest)])) for _ in range(1000)]
    strings[300] = random.randbytes(500)  # in the second block of 256
    assert hashed(strings, np.int32) == [hash_of_bytes(s, int(SEED)) for s in strings]


def test_known_hashes_hold_for_ever() -> None:
    # a change of these numbers would silently remap every saved model
    assert hash_of_bytes(b"", 0) == 0
    assert hashed([b"red", b"crimson and clover"], np.int32) == [0xD81E562C8B343514, 0x11B61E621E1B1414]


def test_lengths_and_zero_bytes_are_told_apart() -> None:
    strings = [b"\0" * length for length in range(30)]
    assert len(set(hashed(strings, np.int32))) == len(strings)


def test_short_strings_of_one_length_never_collide_and_spread_evenly() -> None:
    strings = [b"%05d" % i for i in range(100_000)]
    hashes = np.array(hashed(strings, np.int64), np.uint64)
    assert len(np.unique(hashes)) == len(strings)
    for shift in (0, 20, 40):
        counts = np.bincount(((hashes >> np.uint64(shift)) & np.uint64(255)).astype(int), minlength=256)
        expected = len(strings) / 256
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert 160 < chi2 < 370  # 255 degrees of freedom: 1e-6 and 1 - 1e-6


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 17))
def test_null_strings_get_the_hash_of_null(valid: list[bool], shift: int) -> None:
    data = np.frombuffer(b"ab" * len(valid), np.uint8)
    offsets = np.arange(0, 2 * len(valid) + 1, 2, dtype=np.int32)
    out = np.zeros(len(valid), np.uint64)
    hashing.hash_strings(data, offsets, bitmap(valid, shift), shift, SEED, NULL, out)
    assert [int(h) for h in out] == [hash_of_bytes(b"ab", int(SEED)) if v else int(NULL) for v in valid]


@pytest.mark.parametrize("size", [4, 20, 90])
@pytest.mark.parametrize("offsets", [[0, 99, 100], [-5, 3, 3], [3, 1, 2], [2**40, 2**41, 2], [2**63 - 1, 3, 3]])
def test_offsets_outside_the_data_are_read_as_empty(offsets: list[int], size: int) -> None:
    out = np.zeros(2, np.uint64)
    hashing.hash_strings(np.zeros(size, np.uint8), np.array(offsets), NONE, 0, SEED, NULL, out)
    assert int(out[0]) == hash_of_bytes(b"", int(SEED))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_integers_are_mixed_one_to_one(values: list[int]) -> None:
    out = np.zeros(len(values), np.uint64)
    hashing.hash_integers(np.array(values, np.int64), out)
    assert [int(h) for h in out] == [mix64(v % 2**64) for v in values]
    assert len(set(out.tolist())) == len(set(values))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(-3, 6), st.booleans()), max_size=30), st.integers(0, 9))
def test_codes_take_the_hash_of_their_value(rows: list[tuple[int, bool]], shift: int) -> None:
    table = np.array([10, 11, 12, 99], np.uint64)
    codes = np.array([code for code, _ in rows], np.int32)
    out = np.zeros(len(rows), np.uint64)
    hashing.take_hashes(codes, bitmap([valid for _, valid in rows], shift), shift, table, out)
    assert out.tolist() == [10 + code if valid and 0 <= code < 3 else 99 for code, valid in rows]


def placed(hashes: list[int], weight: list[float]) -> tuple[list[int], list[int], int]:
    n = len(hashes)
    tags, out, prints = np.zeros(16, np.uint8), np.zeros((1, n + 3), np.int32), np.zeros((1, n), np.uint8)
    nulls = hashing.find_slots(np.array(hashes, np.uint64), np.array(weight), NULL, 16, out[0], prints[0])
    hashing.leave_marks(out, prints, np.array(weight), tags)
    return out[0, :n].tolist(), tags.tolist(), nulls


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from([0.0, 1.0, 2.5])), max_size=40), st.randoms())
def test_tags_tell_one_hash_from_several_in_any_order(rows: list[tuple[int, float]], random: Random) -> None:
    out, tags, _ = placed([h for h, _ in rows], [w for _, w in rows])
    assert out == [h % 16 for h, _ in rows]
    prints = {slot: {((h >> 40) * 127 >> 24) + 1 for h, w in rows if w > 0 and h % 16 == slot} for slot in range(16)}
    assert tags == [0 if not p else min(p) if len(p) == 1 else 255 for p in prints.values()]
    random.shuffle(rows)
    assert placed([h for h, _ in rows], [w for _, w in rows])[1] == tags


def test_nulls_of_positive_weight_are_counted() -> None:
    assert placed([77, 5, 77, 77], [1.0, 1.0, 0.0, 0.5])[2] == 2
