"""A file appears whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from onlogit.errors import OutputError
from onlogit.storage.arrays import load, save
from onlogit.storage.atomic import AtomicFile


def test_the_name_appears_only_when_finished(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "x")
    assert file.write(b"one") == 3
    file.write(memoryview(b" two"))
    assert not (tmp_path / "x").exists()
    assert [name.startswith(".x.") and name.endswith(".tmp") for name in os.listdir(tmp_path)] == [True]
    file.finish()
    file.abort()
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"one two"


def test_abort_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    file = AtomicFile(tmp_path / "x")
    file.write(b"new")
    file.abort()
    file.abort()
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_permissions_are_those_of_the_old_file_or_of_the_umask(tmp_path: Path) -> None:
    for old in (None, 0o640):
        if old is not None:
            (tmp_path / "x").chmod(old)
        file = AtomicFile(tmp_path / "x")
        file.finish()
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == (0o666 & ~mask if old is None else old)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    file = AtomicFile(tmp_path / "link")
    file.write(b"new")
    file.finish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "model"
    save(path, {"old": True}, {"w": np.zeros(1000)})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OutputError, match=r"cannot write .*model: No space left on device"):
            save(path, {"old": False}, {"w": np.ones(1000)})
    assert os.listdir(tmp_path) == ["model"]
    assert load(path)[0] == {"old": True}


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, memoryview(data)[:7]))
    save(tmp_path / "m", {"a": 1}, {"w": np.arange(100.0)})
    np.testing.assert_array_equal(load(tmp_path / "m")[1]["w"], np.arange(100.0))


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no/x: No such file or directory"):
        AtomicFile(tmp_path / "no" / "x")
    with pytest.raises(OutputError, match="it is a folder"):
        AtomicFile(tmp_path)


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(OutputError, match="not a file that can be replaced"):
        AtomicFile("/dev/null")
