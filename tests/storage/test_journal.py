"""The journal: in order, whole, checked, bounded."""

import sqlite3
from pathlib import Path

import pytest

from onlogit.errors import OutputError, StateError
from onlogit.storage.journal import OVERHEAD, Journal, New


def entries(count: int, size: int = 10) -> list[New]:
    return [New("events", n, bytes([n % 256]) * size, b"shape %d" % (n % 2)) for n in range(count)]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_what_was_appended_is_read_in_order(tmp_path: Path, durability: str) -> None:
    journal = Journal(tmp_path, durability)
    assert (journal.append(entries(3)), journal.append(entries(200))) == (1, 4)
    journal.close()
    again = Journal(tmp_path, durability)
    assert (again.first, again.last, again.size) == (1, 203, 203 * (10 + OVERHEAD))
    found = list(again.read(0))
    assert [entry.seq for entry in found] == list(range(1, 204))
    assert [(e.kind, e.now, e.data, e.shape) for e in found] == [tuple(e) for e in entries(3) + entries(200)]
    assert [entry.seq for entry in again.read(5, until=8)] == [6, 7, 8]
    assert again.append(entries(1)) == 204
    again.close()


def test_a_damaged_or_missing_entry_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(entries(5))
    journal.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as raw:
        raw.execute("UPDATE entry SET data = x'00' WHERE seq = 3")
    raw.close()
    journal = Journal(tmp_path)
    with pytest.raises(StateError, match="entry 3 is damaged"):
        list(journal.read(0))
    assert [entry.seq for entry in journal.read(3)] == [4, 5]
    journal.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as raw:
        raw.execute("DELETE FROM entry WHERE seq = 4")
    raw.close()
    journal = Journal(tmp_path)
    with pytest.raises(StateError, match="entry 4 is damaged or missing"):
        list(journal.read(3))
    journal.close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as raw:
        raw.execute("PRAGMA user_version = 9")
    raw.close()
    with pytest.raises(StateError, match="format version 9; this onlogit reads 1"):
        Journal(tmp_path)
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StateError):
        Journal(tmp_path)


def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(entries(3))
    journal.limit(1)
    with pytest.raises(OutputError, match="full"):
        journal.append(entries(2, 1 << 20))
    with pytest.raises(OutputError):
        journal.probe()
    assert [entry.seq for entry in journal.read(0)] == [1, 2, 3]
    journal.limit(1 << 20)
    journal.probe()
    assert journal.append(entries(2, 1 << 20)) == 4
    journal.close()


def test_old_entries_go_by_age_and_by_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(entries(2000, 100))
    assert journal.trim(keep_from=1, oldest=1 << 60, most_bytes=0) == 0
    assert journal.trim(keep_from=100, oldest=20, most_bytes=1 << 40) == 20
    assert journal.trim(keep_from=1500, oldest=0, most_bytes=1500 * (100 + OVERHEAD)) == 480
    assert (journal.first, journal.size) == (501, 1500 * (100 + OVERHEAD))
    with pytest.raises(StateError, match="no longer kept"):
        list(journal.read(10))
    assert next(iter(journal.read(500))).seq == 501
    journal.close()


def test_an_entry_that_breaks_the_fold_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(entries(4))
    journal.skip(2, "it broke")
    assert [entry.seq for entry in journal.read(0)] == [1, 3, 4]
    assert journal.skipped() == {2: "it broke"}
    journal.close()
