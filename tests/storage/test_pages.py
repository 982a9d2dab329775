"""Large arrays in checkpoints: what did not change is not written again, and a damaged page has a twin."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from onlogit.errors import StateError
from onlogit.storage import pages
from onlogit.storage.arrays import Array
from onlogit.storage.checkpoints import Checkpoints


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 1000)


def grown(number: int) -> dict[str, Array]:
    rows = 500 + 100 * number
    return {
        "wide": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3), "told": np.arange(rows) % (number + 2) == 0,
        "small": np.arange(number), "text": np.array([f"t{n}" for n in range(300)]),
    }  # fmt: skip


def count(path: Path) -> int:
    with sqlite3.connect(path) as reader:
        found = int(reader.execute("SELECT count(*) FROM page").fetchone()[0])
    reader.close()
    return found


def test_what_grew_is_written_and_read_back_and_old_pages_go(tmp_path: Path) -> None:
    held = Checkpoints(tmp_path)
    counts = []
    for number in range(8):
        held.save({"n": number}, grown(number), {})
        counts.append(count(held.path))
        found = held.latest()
        assert found is not None
        assert set(found.arrays) == set(grown(number))
        for name, array in grown(number).items():
            assert found.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(found.arrays[name], array)
            assert found.arrays[name].flags.writeable
    assert [kept.header["n"] for kept in held.kept()] == [7, 6, 5]
    whole = sum(-(-array.nbytes // 1000) for array in grown(7).values() if array.nbytes > 1000)
    assert counts[-1] < 2 * whole + 20  # twice each, and what is at the end of two older ones
    assert counts[-1] - counts[-2] < 10
    held.save({"n": 8}, {"wide": np.ones(1000)}, {})
    held.save({"n": 9}, {"wide": np.ones(1000)}, {})
    held.save({"n": 10}, {"wide": np.ones(1000)}, {})
    assert count(held.path) == 2  # eight pages alike
    held.close()


def test_a_damaged_page_has_a_twin_and_two_damaged_ones_are_told(tmp_path: Path) -> None:
    held = Checkpoints(tmp_path)
    held.save({"n": 1}, grown(1), {})
    held.save({"n": 2}, grown(9), {})
    spoil = "UPDATE page SET data = zeroblob(length(data)) WHERE id % 7 = ? AND id {} (SELECT max(id) / 2 FROM page)"
    held._connection.execute(spoil.format("<="), (3,))
    found = held.latest()
    assert found is not None
    assert (found.header, found.warning) == ({"n": 2}, None)
    np.testing.assert_array_equal(found.arrays["wide"], grown(9)["wide"])
    held._connection.execute("UPDATE page SET data = x'00' WHERE digest = (SELECT digest FROM page ORDER BY id DESC)")
    found = held.latest()
    assert found is not None
    assert found.header == {"n": 1}
    assert found.warning is not None
    assert "page" in found.warning
    held._connection.execute("DELETE FROM page")
    with pytest.raises(StateError, match=r"no checkpoint is whole: .*pages are missing"):
        held.latest()
    held.close()


@pytest.mark.parametrize(
    "listed",
    [
        {}, {"dtype": "|O", "shape": [3], "pages": ""}, {"dtype": "<f8", "shape": [1 << 60], "pages": "00" * 32},
        {"dtype": "<f8", "shape": [-1], "pages": ""}, {"dtype": "<f8", "shape": [], "pages": "00" * 32},
        {"dtype": "<f8", "shape": [2], "pages": "zz"}, {"dtype": "<f8", "shape": [2], "pages": "00" * 32},
    ],
)  # fmt: skip
def test_nothing_is_allocated_from_a_claim(tmp_path: Path, listed: dict[str, object]) -> None:
    held = Checkpoints(tmp_path)
    with pytest.raises(StateError, match="array 'w'"):
        pages.read(held._connection, {"w": listed}, "here")
    held.close()
