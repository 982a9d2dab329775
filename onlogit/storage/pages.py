"""Large arrays of checkpoints as pages of 1 MB, each kept under its SHA-256: what did not change is not written again.

An array that only grew since the last checkpoint costs its hash (1.4 GB/s where the processor has instructions for it) and
its new pages. Each page is kept twice, as all checkpoints share it: a damaged one is found by its digest, and its twin is
taken. Reading fills arrays that have room to grow, a page at a time while the next one is fetched.
"""

import hashlib
import math
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from onlogit.errors import StateError
from onlogit.storage.arrays import DTYPE, MOST_DIMENSIONS, Array, check_values, little_endian

PAGE = 1 << 20
COPIES = 2
ROOM = 1.25  # rows that are allocated for each that is read; what is not written to takes no memory
TABLES = """
    CREATE TABLE page (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, data BLOB NOT NULL);
    CREATE INDEX page_digest ON page (digest);
    CREATE TABLE page_use (generation INTEGER, digest BLOB NOT NULL);
"""

Paged = dict[str, dict[str, Any]]  # by name: dtype, shape, and pages as hexadecimal digests, one after the other
Pages = dict[bytes, memoryview]  # by digest


def cut(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], Paged, Pages]:
    """Arrays smaller than a page, the description of the others, and their pages."""
    small: dict[str, Array] = {}
    paged: Paged = {}
    pages: Pages = {}
    for name, array in arrays.items():
        if array.nbytes <= PAGE:
            small[name] = array
            continue
        plain = little_endian(name, array)
        view = plain.reshape(-1).view(np.uint8).data
        digests = []
        for start in range(0, plain.nbytes, PAGE):
            page = view[start : start + PAGE]
            digests.append(hashlib.sha256(page).digest())
            pages[digests[-1]] = page
        paged[name] = {"dtype": plain.dtype.str, "shape": list(plain.shape), "pages": b"".join(digests).hex()}
    return small, paged, pages


def write(connection: sqlite3.Connection, generation: int, pages: Pages) -> None:
    """Within a transaction: keep the pages that are not kept yet, and note which ones the checkpoint needs."""
    kept = {digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM page")}
    for _ in range(COPIES):  # apart from one another
        new = ((digest, page) for digest, page in pages.items() if digest not in kept)
        connection.executemany("INSERT INTO page (digest, data) VALUES (?, ?)", new)
    connection.executemany("INSERT INTO page_use VALUES (?, ?)", ((generation, digest) for digest in pages))


def forget(connection: sqlite3.Connection, generation: int) -> None:
    """Within a transaction: let go of what only checkpoints up to this one need."""
    connection.execute("DELETE FROM page_use WHERE generation <= ?", (generation,))
    connection.execute("DELETE FROM page WHERE digest NOT IN (SELECT digest FROM page_use)")


def read(connection: sqlite3.Connection, paged: Paged, where: str) -> dict[str, Array]:
    """The arrays that `cut` described; a StateError where one of their pages is neither whole nor has a whole twin."""
    return {name: _array(connection, listed, f"{where}: array {name!r}") for name, listed in paged.items()}


def _array(connection: sqlite3.Connection, listed: Mapping[str, Any], what: str) -> Array:
    try:
        text, shape, digests = listed["dtype"], [int(n) for n in listed["shape"]], bytes.fromhex(listed["pages"])
        fits = DTYPE.fullmatch(text) and 0 < len(shape) <= MOST_DIMENSIONS and min(shape) > 0 and len(digests) % 32 == 0
        dtype = np.dtype(text)
        size = math.prod(shape) * dtype.itemsize
        if not fits or len(digests) // 32 != -(-size // PAGE):
            raise ValueError("its pages are not what its dtype and shape need")
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"{what} is not described: {error!r}") from error
    (known,) = connection.execute("SELECT count(DISTINCT digest) FROM page").fetchone()
    if known < len({digests[k : k + 32] for k in range(0, len(digests), 32)}):
        raise StateError(f"{what}: damaged: pages are missing")
    array = np.empty((int(ROOM * shape[0]) + 1, *shape[1:]), dtype)[: shape[0]]
    target = array.reshape(-1).view(np.uint8)
    with ThreadPoolExecutor(1) as pool:
        done = [
            pool.submit(_take, digests[32 * k : 32 * k + 32], data, target[k * PAGE : (k + 1) * PAGE])
            for k, data in enumerate(_fetch(connection, digests))
        ]
        broken = [k for k, each in enumerate(done) if not each.result()]
    for k in broken:
        digest = digests[32 * k : 32 * k + 32]
        twins = connection.execute("SELECT data FROM page WHERE digest = ? ORDER BY id DESC", (digest,))
        if not any(_take(digest, data, target[k * PAGE : (k + 1) * PAGE]) for (data,) in twins):
            raise StateError(f"{what}: damaged: page {k} does not match its checksum")
    check_values(array, what)
    return array


def _fetch(connection: sqlite3.Connection, digests: bytes) -> Any:
    query = "SELECT data FROM page WHERE digest = ? ORDER BY id LIMIT 1"
    for k in range(0, len(digests), 32):
        row = connection.execute(query, (digests[k : k + 32],)).fetchone()
        yield row[0] if row else b""


def _take(digest: bytes, data: Any, target: Array) -> bool:
    """Copy a page to its place if it is whole."""
    if not isinstance(data, bytes) or len(data) != len(target) or hashlib.sha256(data).digest() != digest:
        return False
    target[:] = np.frombuffer(data, np.uint8)
    return True
