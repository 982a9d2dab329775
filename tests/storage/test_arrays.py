"""One safe file of arrays: round trips, an independent reader, and every way to damage or forge it."""

import hashlib
import io
import json
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onlogit.errors import StateError
from onlogit.storage.arrays import COMMENT, DIGEST_LENGTH, load, npy_header, pack, save, unpack

DTYPES = ["bool", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64", "S3", "U2", ">f8", ">i2"]
SAMPLE: dict[str, npt.NDArray[Any]] = {
    "mean": np.arange(6, dtype=np.float64).reshape(2, 3),
    "none": np.zeros((0, 3), np.float32),
    "scalar": np.array(5, np.int64),
    "column: price in €": np.array([True, False]),
    "words": np.array(["é", "bc"]),
}


def resealed(data: bytes) -> bytes:
    """`data` with the checksum that it ought to have, as a forger would write it."""
    body = data[:-DIGEST_LENGTH]
    return body + hashlib.sha256(body).hexdigest().encode()


def forged(header: object, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file with our frame and a right checksum around members of any kind."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = COMMENT + b"0" * DIGEST_LENGTH
    return resealed(out.getvalue())


def listing(dtype: object = "<f8", shape: object = (3,), **other: object) -> dict[str, object]:
    content: dict[str, object] = {"format": "onlogit arrays", "version": 1, "header": {}}
    return content | {"arrays": {"w": {"dtype": dtype, "shape": shape}}} | other


GOOD_MEMBER = npy_header("<f8", (3,)) + bytes(24)


@given(
    arrays=st.dictionaries(
        st.text(st.characters(min_codepoint=33, exclude_characters="/\\.", exclude_categories=["C", "Z"]), min_size=1),
        st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))),
        max_size=4,
    ),
    header=st.dictionaries(
        st.text(),
        st.recursive(
            st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none(),
            st.lists,
            max_leaves=5,
        ),
    ),
)
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_unpacked(arrays: dict[str, npt.NDArray[Any]], header: dict[str, Any]) -> None:
    data = pack(header, arrays)
    found_header, found = unpack(data, "x")
    assert found_header == header
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype.newbyteorder("<")
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.astype(found[name].dtype).tobytes()
        assert found[name].flags.writeable
    assert pack(header, dict(reversed(arrays.items()))) == data


def test_layout_in_memory_does_not_change_the_bytes() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    other = np.asfortranarray(array)
    assert pack({}, {"a": array}) == pack({}, {"a": other}) == pack({}, {"a": array.astype(">f8")})
    assert pack({}, {"a": np.arange(10.0)[::2]}) == pack({}, {"a": np.arange(0.0, 10.0, 2.0)})


def test_numpy_reads_the_file(tmp_path: Path) -> None:
    save(tmp_path / "m.onlogit", {"k": 1}, SAMPLE)
    with np.load(tmp_path / "m.onlogit", allow_pickle=False) as found:
        assert set(found.files) == {*SAMPLE, "header.json"}
        for name, array in SAMPLE.items():
            np.testing.assert_array_equal(found[name], array, strict=True)
        assert json.loads(found["header.json"])["header"] == {"k": 1}


def test_npy_header_is_what_numpy_writes() -> None:
    for shape in [(), (3,), (2, 3), (0, 5)]:
        out = io.BytesIO()
        np.save(out, np.zeros(shape, np.float32))
        assert np.lib.format.read_array(io.BytesIO(npy_header("<f4", shape) + bytes(24))).shape == shape
        assert len(npy_header("<f4", shape)) % 64 == 0
        assert out.getvalue()[:10][:8] == npy_header("<f4", shape)[:8]


def test_every_flipped_byte_is_found() -> None:
    data = pack({"a": 1}, {"w": np.arange(3.0), "n": np.array(1)})
    for place in range(len(data)):
        for change in (1, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= change
            with pytest.raises(StateError, match=r"^file: "):
                unpack(bytes(damaged), "file")


def test_every_truncation_and_any_addition_is_found() -> None:
    data = pack({"a": 1}, {"w": np.arange(3.0)})
    for length in range(len(data)):
        with pytest.raises(StateError, match=r"^file: "):
            unpack(data[:length], "file")
    for more in (b"\0", b"x" * 100, data):
        with pytest.raises(StateError):
            unpack(data + more, "file")


@pytest.mark.parametrize(
    ("content", "members", "message"),
    [
        (listing(), {"w.npy": GOOD_MEMBER}, None),
        (listing(dtype="|O"), {"w.npy": npy_header("|O", (3,)) + bytes(24)}, "dtype"),
        (listing(dtype="<f8 "), {"w.npy": GOOD_MEMBER}, "dtype"),
        (listing(dtype=["<f8"]), {"w.npy": GOOD_MEMBER}, "dtype"),
        (listing(dtype="<V8"), {"w.npy": GOOD_MEMBER}, "dtype"),
        (listing(shape=[1 << 60]), {"w.npy": GOOD_MEMBER}, "bytes"),
        (listing(shape=[-3]), {"w.npy": GOOD_MEMBER}, "shape"),
        (listing(shape=[1 << 70, 0]), {"w.npy": npy_header("<f8", (1 << 70, 0))}, "damaged"),
        (listing(shape=[True]), {"w.npy": GOOD_MEMBER}, "shape"),
        (listing(shape=[1] * 60), {"w.npy": GOOD_MEMBER}, "shape"),
        (listing(shape=3), {"w.npy": GOOD_MEMBER}, "shape"),
        (listing(shape=[4]), {"w.npy": GOOD_MEMBER}, "bytes"),
        (listing(dtype="<i8"), {"w.npy": GOOD_MEMBER}, "not stored as it is listed"),
        (listing(dtype="|b1"), {"w.npy": npy_header("|b1", (3,)) + b"\0\1\2"}, "bools"),
        (listing(dtype="<U1", shape=[1]), {"w.npy": npy_header("<U1", (1,)) + b"\xff" * 4}, "Unicode"),
        (listing(), {"w.npy": GOOD_MEMBER, "v.npy": GOOD_MEMBER}, "not the arrays it holds"),
        (listing(), {"w.npy": GOOD_MEMBER, "../v.npy": GOOD_MEMBER}, "absurdly"),
        (listing(), {"w.npy": GOOD_MEMBER, "a" * 300 + ".npy": GOOD_MEMBER}, "absurdly"),
        (listing(), {}, "not the arrays it holds"),
        (listing(arrays=[]), {}, "does not list"),
        (listing(header=3), {"w.npy": GOOD_MEMBER}, "does not list"),
        (listing(version=2), {"w.npy": GOOD_MEMBER}, "version 2"),
        (listing(format="other"), {"w.npy": GOOD_MEMBER}, "not an onlogit"),
        ([], {"w.npy": GOOD_MEMBER}, "not an onlogit"),
    ],
)
def test_forged_content_is_refused(content: object, members: dict[str, bytes], message: str | None) -> None:
    data = forged(content, members)
    if message is None:  # the forger's tools do make a good file, when nothing is wrong with it
        np.testing.assert_array_equal(unpack(data, "file")[1]["w"], np.zeros(3))
    else:
        with pytest.raises(StateError, match=f"file: .*{message}"):
            unpack(data, "file")


def test_forged_frames_are_refused() -> None:
    with pytest.raises(StateError, match="compressed"):
        unpack(forged(listing(), {"w.npy": GOOD_MEMBER}, zipfile.ZIP_DEFLATED), "file")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w.npy", GOOD_MEMBER)
        archive.comment = COMMENT + b"0" * DIGEST_LENGTH
    with pytest.raises(StateError, match=r"no header\.json"):
        unpack(resealed(out.getvalue()), "file")
    twins = forged(listing(), {"w.npy": GOOD_MEMBER, "v.npy": GOOD_MEMBER}).replace(b"v.npy", b"w.npy")
    with pytest.raises(StateError, match="twice"):
        unpack(resealed(twins), "file")


def test_deeply_nested_header_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.json", "[" * 200_000)
        archive.comment = COMMENT + b"0" * DIGEST_LENGTH
    with pytest.raises(StateError, match="damaged"):
        unpack(resealed(out.getvalue()), "file")


@given(
    cuts=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 8), st.binary(max_size=12)), min_size=1, max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_mutations_under_a_right_checksum_only_raise_state_errors(cuts: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(pack({"a": [1, 2]}, SAMPLE)[:-DIGEST_LENGTH])
    for start, length, new in cuts:
        at = start % len(body)
        body[at : at + length] = new
    data = resealed(bytes(body) + b"0" * DIGEST_LENGTH)
    tracemalloc.start()
    with suppress(StateError):
        unpack(data, "file")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_single_bytes_under_a_right_checksum_only_raise_state_errors(place: int, value: int) -> None:
    data = bytearray(pack({"a": [1, 2]}, SAMPLE))
    data[place % (len(data) - DIGEST_LENGTH)] = value
    try:
        _, arrays = unpack(resealed(bytes(data)), "file")
    except StateError:
        return
    assert all(np.asarray(array).tolist() is not None for array in arrays.values())


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("o", np.array([None])),
        ("v", np.zeros(2, "f8,i4")),
        ("t", np.zeros(2, "M8[us]")),
        ("../up", np.zeros(1)),
        ("", np.zeros(1)),
        ("a\nb", np.zeros(1)),
        ("/root", np.zeros(1)),
        ("x" * 201, np.zeros(1)),
    ],
)
def test_what_cannot_be_kept_is_not_packed(name: str, array: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"array|name"):
        pack({}, {name: array})
    with pytest.raises(ValueError, match="JSON"):
        pack({"x": float("nan")}, {})


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onlogit"
    with pytest.raises(StateError, match=r"cannot read .*m\.onlogit: No such file"):
        load(path)
    with pytest.raises(StateError, match="Is a directory"):
        load(tmp_path)
    for content in (b"", b"PK", b"PAR1" * 100, b"PK\x03\x04" * 100):
        path.write_bytes(content)
        with pytest.raises(StateError, match=r"m\.onlogit: "):
            load(path)
    save(path, {"a": 1}, SAMPLE)
    header, arrays = load(path)
    assert header == {"a": 1}
    np.testing.assert_array_equal(arrays["mean"], SAMPLE["mean"])


def test_a_large_foreign_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(1 << 34)  # sparse
    with pytest.raises(StateError, match="truncated, or not"):
        load(path)
