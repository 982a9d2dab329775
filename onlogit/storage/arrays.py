"""Arrays and a JSON header in one safe file.

The file is a plain `.npz`: a zip of uncompressed `.npy` members and a `header.json`, so `numpy.load` reads it. What
makes it safe is that nothing in it is believed before it is checked:

- the zip's end comment holds a SHA-256 of every byte before it, so any flipped byte and any truncation is found;
- the header lists each array's dtype and shape, and a member must have exactly the bytes that these imply, so nothing
  is allocated from a claim, and no parser but `json` and `zipfile` sees the content. No pickle, no object arrays.

The same header and arrays give the same bytes. Cost: one pass of SHA-256 and CRC-32 over the data each way (about
300 MB/s), and memory of two or three times the arrays while packing or unpacking.
"""

import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.errors import StateError
from onlogit.storage.atomic import AtomicFile

VERSION = 1
FORMAT = "onlogit arrays"
MAGIC = b"PK\x03\x04"
COMMENT = b"onlogit sha256 "
DIGEST_LENGTH = 64
HEADER = "header.json"
DTYPE = re.compile(r"\|b1|\|[iu]1|<[iu][248]|<f[248]|\|S[1-9][0-9]{0,5}|<U[1-9][0-9]{0,5}")
LONGEST_NAME = 200
MOST_DIMENSIONS = 32

Array = npt.NDArray[Any]
Header = dict[str, Any]


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """The file's bytes: a function of `header` (JSON values) and `arrays` (numbers, bools, fixed-length text) alone.

    Errors: ValueError for a name, a dtype or a header value that the file cannot hold.
    """
    plain = {name: little_endian(name, arrays[name]) for name in sorted(arrays)}
    listed = {name: {"dtype": array.dtype.str, "shape": list(array.shape)} for name, array in plain.items()}
    content = {"format": FORMAT, "version": VERSION, "header": header, "arrays": listed}
    text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        add_member(archive, HEADER, text.encode(), b"")
        for name, array in plain.items():
            data = array.reshape(-1).view(np.uint8).data if array.size else b""
            add_member(archive, f"{name}.npy", npy_header(array.dtype.str, array.shape), data)
        archive.comment = COMMENT + b"0" * DIGEST_LENGTH
    with out.getbuffer() as view:
        view[-DIGEST_LENGTH:] = hashlib.sha256(view[:-DIGEST_LENGTH]).hexdigest().encode()
    return out.getvalue()


def unpack(data: bytes, where: str) -> tuple[Header, dict[str, Array]]:
    """The header and the arrays (writable, C order) of `data`. `where` names the file in a StateError."""
    check_frame(data[: len(MAGIC)], data[-len(COMMENT) - DIGEST_LENGTH :], where)
    digest = hashlib.sha256(memoryview(data)[:-DIGEST_LENGTH]).hexdigest().encode()
    if digest != data[-DIGEST_LENGTH:]:
        raise StateError(f"{where}: damaged: its bytes do not match their checksum")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = check_members(archive.infolist(), len(data), where)
            content = read_header(archive, members, where)
            arrays = {
                name: read_array(archive, members[f"{name}.npy"], name, listed, where)
                for name, listed in content["arrays"].items()
            }
    except StateError:
        raise
    # zipfile raises a dozen kinds of error on a forged directory; each means the same to a user.
    except Exception as error:
        raise StateError(f"{where}: damaged: {error}") from error
    return content["header"], arrays


def save(path: str | os.PathLike[str], header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Writes the file whole or not at all: on an OutputError the old file is untouched and nothing is left behind."""
    data = pack(header, arrays)
    file = AtomicFile(path)
    file.write(data)
    file.finish()


def load(path: str | os.PathLike[str]) -> tuple[Header, dict[str, Array]]:
    """The header and the arrays of the file at `path`. Errors: StateError. A foreign file is refused unread."""
    tail = len(COMMENT) + DIGEST_LENGTH
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(len(MAGIC))
            file.seek(max(size - tail, 0))
            check_frame(head, file.read(tail), str(path))
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror or error}") from error
    return unpack(data, str(path))


def little_endian(name: str, array: Array) -> Array:
    """`array` as the file keeps it: C order, little-endian."""
    plain = np.asarray(array, order="C")
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    if not DTYPE.fullmatch(plain.dtype.str):
        raise ValueError(f"array {name!r} has dtype {plain.dtype}; a state file holds numbers, bools and plain text")
    if not is_plain_name(name):
        raise ValueError(f"{name!r} is no name for an array in a state file")
    return plain


def is_plain_name(name: str) -> bool:
    """Short, printable, and no path out of a folder, should someone unzip the file."""
    steps = name.split("/")
    return len(name) <= LONGEST_NAME and name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(steps)


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The bytes before the data of an `.npy` file, version 1.0 (NumPy's format specification, NEP 1)."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def add_member(archive: zipfile.ZipFile, name: str, head: bytes, data: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # the same bytes on every system
    info.external_attr = 0o644 << 16
    info.file_size = len(head) + len(data)
    with archive.open(info, "w") as member:
        member.write(head)
        member.write(data)


def check_frame(head: bytes, tail: bytes, where: str) -> None:
    """Refuses what is not a state file, or is cut short, by its first and last bytes alone."""
    if head != MAGIC:
        raise StateError(f"{where}: not an onlogit state file")
    if len(tail) < len(COMMENT) + DIGEST_LENGTH or not tail.startswith(COMMENT):
        raise StateError(f"{where}: truncated, or not an onlogit state file")


def check_members(infos: list[zipfile.ZipInfo], size: int, where: str) -> dict[str, zipfile.ZipInfo]:
    """The members by name, once none of them is compressed, encrypted, repeated or larger than the file."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if info.filename in members or info.filename != info.orig_filename or not is_plain_name(info.filename[:-4]):
            raise StateError(f"{where}: refused: a member is named {info.filename[:40]!r}, twice or absurdly")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ~0x800 or info.file_size != info.compress_size:
            raise StateError(f"{where}: refused: member {info.filename!r} is compressed or encrypted")
        members[info.filename] = info
    if sum(info.file_size for info in infos) > size:
        raise StateError(f"{where}: refused: its members claim more bytes than the file has")
    return members


def read_header(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], where: str) -> dict[str, Any]:
    """The content of header.json, checked: our format, a version we know, and exactly the arrays that are there."""
    if HEADER not in members:
        raise StateError(f"{where}: refused: it has no {HEADER}")
    content = json.loads(archive.read(members[HEADER]))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError(f"{where}: not an onlogit state file")
    if content.get("version") != VERSION:
        raise StateError(f"{where}: has format version {content.get('version')!r}; this onlogit reads {VERSION}")
    if not isinstance(content.get("arrays"), dict) or not isinstance(content.get("header"), dict):
        raise StateError(f"{where}: refused: its {HEADER} does not list its arrays")
    if {f"{name}.npy" for name in content["arrays"]} | {HEADER} != set(members):
        raise StateError(f"{where}: refused: the arrays it lists are not the arrays it holds")
    return content


def read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, listed: Any, where: str) -> Array:
    """One array, allocated only once its dtype and shape account for every byte of its member."""
    what = f"{where}: refused: array {name!r}"
    if not isinstance(listed, dict) or set(listed) != {"dtype", "shape"}:
        raise StateError(f"{what} is not listed by dtype and shape")
    text, shape = listed["dtype"], listed["shape"]
    if not isinstance(text, str) or not DTYPE.fullmatch(text):
        raise StateError(f"{what} has dtype {str(text)[:40]!r}; numbers, bools and plain text are accepted")
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise StateError(f"{what} has no valid shape")
    dtype = np.dtype(text)
    head = npy_header(text, tuple(shape))
    if len(head) + math.prod(shape) * dtype.itemsize != member.file_size:
        raise StateError(f"{what} has {member.file_size} bytes, which is not what its dtype and shape need")
    data = archive.read(member)
    if not data.startswith(head):
        raise StateError(f"{what} is not stored as it is listed")
    array: Array = np.frombuffer(data, dtype=dtype, offset=len(head)).reshape(shape).copy()
    check_values(array, what)
    return array


def check_values(array: Array, what: str) -> None:
    """Refuses bytes that are no value of their dtype, which NumPy would take and trip over later."""
    if array.dtype.kind == "b" and array.size and array.reshape(-1).view(np.uint8).max() > 1:
        raise StateError(f"{what} holds bools that are neither 0 nor 1")
    if array.dtype.kind == "U" and array.size and array.reshape(-1).view(np.uint32).max() > 0x10FFFF:
        raise StateError(f"{what} holds text that is not Unicode")
