"""Checkpoints: what was saved is found after any death, damage is told, and a folder has one holder."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from onlogit.errors import ConfigError, OnlogitError, OutputError, StateError
from onlogit.storage import checkpoints
from onlogit.storage.checkpoints import Checkpoints

ROOT = Path(__file__).parents[2]


def save_some(folder: Path, count: int) -> None:
    held = Checkpoints(folder)
    for number in range(1, count + 1):
        arrays = {"w": np.full(3000, number, np.float64)}
        assert held.save({"n": number}, arrays, {"events": {"file": "a.csv", "row": number}}) == number
    held.close()


def damage(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def test_the_newest_is_returned_and_three_are_kept(tmp_path: Path) -> None:
    held = Checkpoints(tmp_path / "deep" / "state")
    assert held.latest() is None
    held.close()
    save_some(tmp_path / "deep" / "state", 5)
    held = Checkpoints(tmp_path / "deep" / "state")
    found = held.latest()
    assert found is not None
    assert (found.header, found.generation, found.warning) == ({"n": 5}, 5, None)
    assert found.positions == {"events": {"file": "a.csv", "row": 5}}
    np.testing.assert_array_equal(found.arrays["w"], np.full(3000, 5.0))
    held.close()
    held.close()
    with sqlite3.connect(held.path) as reader:
        assert reader.execute("SELECT generation FROM checkpoint").fetchall() == [(3,), (4,), (5,)]
        assert reader.execute("SELECT DISTINCT generation FROM chunk ORDER BY 1").fetchall() == [(3,), (4,), (5,)]
    reader.close()


def test_blobs_are_cut_into_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHUNK", 1000)
    held = Checkpoints(tmp_path)
    held.save({}, {"w": np.arange(5000.0)}, {})
    found = held.latest()
    assert found is not None
    np.testing.assert_array_equal(found.arrays["w"], np.arange(5000.0))
    with sqlite3.connect(held.path) as other:
        assert other.execute("SELECT count(*) > 40 FROM chunk").fetchone() == (1,)
        other.execute("DELETE FROM chunk WHERE number = 7")
    other.close()
    with pytest.raises(StateError, match=r"no checkpoint is whole: .*chunks"):
        held.latest()
    held.close()


HOLDER = """
import os, sys
import numpy as np
from onlogit.storage import Checkpoints
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
held = Checkpoints(sys.argv[1])
held.save({}, {"w": np.ones(10)}, {})
before = resident()
held.save({}, {f"w{k}": np.ones(1 << 17) for k in range(40)}, {})  # 40 MB, each small enough to be in the blob
print((resident() - before) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory in use is read from /proc")
def test_what_was_saved_is_not_held_until_the_next_save(tmp_path: Path) -> None:
    returned = {"MALLOC_MMAP_THRESHOLD_": "262144"}  # large blocks go back when they are freed, as in the daemon
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | returned
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(told.stdout) < 10  # megabytes


def test_a_damaged_newest_gives_the_one_before_with_a_warning(tmp_path: Path) -> None:
    save_some(tmp_path, 4)
    damage(tmp_path / "state.sqlite", np.full(100, 4.0).tobytes(), np.full(100, 4.5).tobytes())
    held = Checkpoints(tmp_path)
    found = held.latest()
    assert found is not None
    assert found.header == {"n": 3}
    assert found.warning is not None
    assert "checkpoint 4: damaged" in found.warning
    assert "continuing from checkpoint 3" in found.warning
    assert held.save({"n": 5}, {}, {}) == 5
    assert held.latest() is not None
    held.close()


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
    save_some(tmp_path, 1)
    damage(tmp_path / "state.sqlite", np.full(100, 1.0).tobytes(), np.full(100, 1.5).tobytes())
    held = Checkpoints(tmp_path)
    with pytest.raises(StateError, match="no checkpoint is whole"):
        held.latest()
    held.close()


def test_a_flipped_byte_anywhere_never_gives_another_state(tmp_path: Path) -> None:
    save_some(tmp_path, 4)
    path = tmp_path / "state.sqlite"
    whole = path.read_bytes()
    outcomes = set()
    for place in [*range(0, 200, 3), *range(200, len(whole), 997)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            held = Checkpoints(tmp_path)
            try:
                found = held.latest()
            finally:
                held.close()
        except OnlogitError as error:
            outcomes.add(type(error).__name__)
            continue
        assert found is not None
        assert np.all(found.arrays["w"] == found.header["n"])
        assert found.header["n"] == found.positions["events"]["row"] == found.generation
        assert found.generation == 4 or found.warning
        outcomes.add("older" if found.warning else "newest")
    assert {"newest", "older", "StateError"} <= outcomes


def test_foreign_garbage_and_newer_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    for content in (b"garbage " * 1000, b""):
        path.write_bytes(content)
        with pytest.raises(StateError, match=r"state\.sqlite"):
            Checkpoints(tmp_path)
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StateError, match="not a state file of onlogit"):
        Checkpoints(tmp_path)
    path.unlink()
    save_some(tmp_path, 1)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 9")
    other.close()
    with pytest.raises(StateError, match="format version 9; this onlogit reads 2"):
        Checkpoints(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StateError, match=r"state\.sqlite"):
        Checkpoints(tmp_path).latest()


def test_a_folder_that_cannot_be_made_or_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/state: Not a directory"):
        Checkpoints(tmp_path / "file" / "state")
    held = Checkpoints(tmp_path / "state")
    held.save({"n": 1}, {"w": np.zeros(10)}, {})
    held._connection.execute("PRAGMA max_page_count = 20")  # a disk that is full
    with pytest.raises(OutputError, match=r"state\.sqlite: database or disk is full"):
        held.save({"n": 2}, {"w": np.zeros(100_000)}, {})
    found = held.latest()
    assert found is not None
    assert found.header == {"n": 1}
    held._connection.execute("PRAGMA query_only = 1")  # a disk that is read-only
    with pytest.raises(OutputError, match="readonly"):
        held.save({"n": 2}, {}, {})
    held.close()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first = Checkpoints(tmp_path)
    with pytest.raises(ConfigError, match="in use by another process"):
        Checkpoints(tmp_path)
    code = f"from onlogit.storage import Checkpoints; Checkpoints({str(tmp_path)!r})"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "in use by another process" in other.stderr
    first.save({"n": 1}, {}, {})
    first.close()
    second = Checkpoints(tmp_path)
    assert second.latest() is not None
    second.close()


WRITER = """
import sys
import numpy as np
from onlogit.storage import Checkpoints
held = Checkpoints(sys.argv[1])
found = held.latest()
number = found.generation if found else 0
assert found is None or (found.warning is None and np.all(found.arrays["w"] == number))
assert found is None or np.array_equal(found.arrays["grows"], np.arange(200_000 + 1000 * number))  # as pages
while True:
    number += 1
    arrays = {"w": np.full(40_000, number, np.float64), "grows": np.arange(200_000 + 1000 * number)}
    held.save({"n": number}, arrays, {"s": {"row": number}})
    print(number, flush=True)
"""


def test_killed_at_any_instant_the_last_acknowledged_is_there(tmp_path: Path) -> None:
    acknowledged = 0
    pause = np.random.default_rng(5)
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        line = child.stdout.readline()
        time.sleep(float(pause.uniform(0, 0.05)))
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        seen = [int(text) for text in (line + rest).split("\n")[:-1]]
        assert seen[0] > acknowledged
        held = Checkpoints(tmp_path)  # the lock died with its holder
        found = held.latest()
        held.close()
        assert found is not None
        assert found.warning is None
        assert found.generation in (seen[-1], seen[-1] + 1)
        assert np.all(found.arrays["w"] == found.generation)
        acknowledged = seen[-1]
    assert acknowledged > 12
