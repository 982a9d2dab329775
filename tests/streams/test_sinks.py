"""Sinks: whole or not at all in one go, cut back exactly when resumed, and every failure told."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from onlogit.errors import ConfigError, OutputError, SchemaError
from onlogit.streams import Position, Sink, Source, open_sink, open_source

ROOT = Path(__file__).parents[2]
NAMES = ["o.arrow", "o.arrows", "o.feather", "o.ipc", "o.parquet", "o.csv", "o.ndjson", "o.jsonl"]
RESUMABLE = ["o.arrow", "o.feather", "o.parquet", "o.csv", "o.ndjson"]

Events = Callable[..., pa.Table]
ReadAll = Callable[[Source], pa.Table]
WriteAll = Callable[..., Sink]


def independent(path: Path) -> pa.Table:
    """What pyarrow, csv or json read from a file or a folder of parts."""
    if path.is_dir():
        return pa.concat_tables([independent(part) for part in sorted(path.iterdir())])
    if path.suffix in (".arrow", ".arrows"):
        return ipc.open_stream(path.read_bytes()).read_all()
    if path.suffix in (".feather", ".ipc"):
        return ipc.open_file(path.read_bytes()).read_all()
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".csv":
        return pa.Table.from_pylist(list(csv.DictReader(io.StringIO(path.read_text()))))
    return pa.Table.from_pylist([json.loads(line) for line in path.read_text().splitlines()])


@pytest.mark.parametrize("name", NAMES)
def test_a_file_appears_whole(name: str, tmp_path: Path, events: Events, writing_all: WriteAll) -> None:
    table = events(300)
    sink = writing_all(open_sink(tmp_path / name, table.schema), table)
    assert sink.commit() == {"row": 300}
    assert not (tmp_path / name).exists()
    sink.close()
    sink.close()
    sink.abort()
    assert os.listdir(tmp_path) == [name]
    found = independent(tmp_path / name)
    if name.endswith((".csv", "json", "jsonl")):
        assert [float(x) if x else None for x in found["x"].to_pylist()] == table["x"].to_pylist()
        assert [s or None for s in found["city"].to_pylist()] == table["city"].to_pylist()
    else:
        assert found.equals(table)


@pytest.mark.parametrize("name", NAMES)
def test_abort_leaves_no_trace(name: str, tmp_path: Path, events: Events, writing_all: WriteAll) -> None:
    (tmp_path / name).write_text("old")
    table = events(300)
    sink = writing_all(open_sink(tmp_path / name, table.schema), table)
    sink.abort()
    sink.abort()
    sink.close()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "old"


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_make_a_file_too(name: str, tmp_path: Path, events: Events) -> None:
    schema = events(1).schema
    open_sink(tmp_path / name, schema).close()
    assert (tmp_path / name).exists()
    if not name.endswith((".ndjson", ".jsonl")):
        source = open_source(tmp_path / name)
        assert source.schema.names == schema.names
        assert source.read() is None
        source.close()


def outputs(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}


@pytest.mark.parametrize("name", RESUMABLE)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["write", "write", "commit", "crash", "finish"]), st.integers(0, 40))),
    data=st.randoms(use_true_random=False),
)
def test_killed_and_resumed_is_never_killed(
    name: str, tmp_path_factory: pytest.TempPathFactory, events: Events, steps: list[tuple[str, int]], data: object
) -> None:
    folder = tmp_path_factory.mktemp("run")
    table = events(200)
    path = folder / name
    sink, done, position, saved = open_sink(path, table.schema, resume=True), 0, Position(), 0
    for step, rows in steps:
        if step == "write":
            for batch in table.slice(done, rows).to_batches():
                sink.write(batch)
                done += batch.num_rows
        elif step == "commit":
            position, saved = json.loads(json.dumps(sink.commit())), done
            assert position["row"] == done
        else:
            if step == "finish":
                sink.close()
            else:
                sink.abort()  # all that a killed process leaves is what abort leaves, or a tail that seek cuts
                if path.is_file():
                    with open(path, "ab") as file:
                        file.write(b"torn")
            sink, done = open_sink(path, table.schema, resume=True), saved
            sink.seek(position)
    for batch in table.slice(done).to_batches(max_chunksize=30):
        sink.write(batch)
    sink.commit()
    sink.close()
    found = independent(path)
    if name in ("o.csv", "o.ndjson"):
        straight = open_sink(folder / f"straight{path.suffix}", table.schema)
        for batch in table.to_batches():
            straight.write(batch)
        straight.close()
        assert path.read_bytes() == (folder / f"straight{path.suffix}").read_bytes()
    else:
        assert found.equals(table)


@pytest.mark.parametrize("name", ["o.arrow", "o.csv", "o.ndjson"])
def test_what_is_appended_to_is_checked(name: str, tmp_path: Path, events: Events) -> None:
    table = events(10)
    path = tmp_path / name
    sink = open_sink(path, table.schema, resume=True)
    sink.write(table.to_batches()[0])
    position = sink.commit()
    sink.close()
    written = path.read_bytes()
    sink = open_sink(path, table.schema, resume=True)
    with pytest.raises(OutputError, match="but 1000000 were written before"):
        sink.seek({"byte": 1_000_000, "row": 3})
    sink.close()
    assert path.read_bytes() == written  # opened and closed, never begun
    if name != "o.ndjson":
        sink = open_sink(path, table.schema.remove(0), resume=True)
        with pytest.raises(OutputError, match="has other columns"):
            sink.seek(position)
        sink.close()
    sink = open_sink(path, table.schema, resume=True)
    sink.close()
    sink.close()
    with pytest.raises(OutputError, match="is closed"):
        sink.commit()
    with pytest.raises(OutputError, match="is closed"):
        sink.seek({})


def test_parts_are_one_a_commit(tmp_path: Path, events: Events) -> None:
    table = events(30)
    path = tmp_path / "o.parquet"
    sink = open_sink(path, table.schema, resume=True)
    assert sink.commit() == {"part": 0, "row": 0}
    positions: list[Position] = []
    for batch in table.to_batches(max_chunksize=10):
        sink.write(batch.slice(0, 0))
        assert sink.commit() == (positions[-1] if positions else {"part": 0, "row": 0})
        sink.write(batch)
        positions.append(sink.commit())
    assert positions == [{"part": n, "row": 10 * n} for n in (1, 2, 3)]
    sink.write(table.to_batches()[0])
    assert sum(name.startswith(".") for name in os.listdir(path)) == 1  # killed here: a hidden file stays
    (path / "notes.txt").write_text("mine")
    other = open_sink(path, table.schema, resume=True)
    other.close()
    assert len(os.listdir(path)) == 5  # opened and closed, never begun
    other.seek(positions[1])
    assert sorted(os.listdir(path)) == ["notes.txt", "part-000000001.parquet", "part-000000002.parquet"]
    sink.abort()
    (tmp_path / "file.parquet").write_text("old")
    with pytest.raises(OutputError, match="folder of parts, and this is a file"):
        open_sink(tmp_path / "file.parquet", table.schema, resume=True)


def test_a_run_killed_at_any_instant_is_continued(tmp_path: Path) -> None:
    """A real process, really killed, that keeps its positions in a file of its own."""
    lives: list[int] = []
    code = """
import json, os, sys
import pyarrow as pa
from onlogit.streams import open_sink
schema = pa.schema([("n", pa.int64()), ("x", pa.float64())])
sinks = {name: open_sink(name, schema, resume=True) for name in ("o.csv", "o.ndjson", "o.arrow", "o.parquet")}
kept = json.load(open("kept")) if os.path.exists("kept") else {"n": 0, "at": {}, "lives": 0}
for name, sink in sinks.items():
    sink.seek(kept["at"].get(name, {}))
pa.record_batch({"n": [1]}, schema.remove(1))  # imports what it needs
print("on", flush=True)
n, lives = kept["n"], kept["lives"] + 1
while n < 20_000:
    for step in range(5):
        for sink in sinks.values():
            sink.write(pa.record_batch({"n": list(range(n, n + 20)), "x": [m / 7 for m in range(n, n + 20)]}, schema))
        n += 20
    kept = {"n": n, "at": {name: sink.commit() for name, sink in sinks.items()}, "lives": lives}
    with open("kept.new", "w") as file:
        json.dump(kept, file)
    os.replace("kept.new", "kept")
for sink in sinks.values():
    sink.close()
"""
    kills = 8
    for kill in range(kills + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=-1
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"on\n"
        if kill < kills:
            time.sleep(0.01 + 0.03 * (kill % 4))
            child.kill()
        lives.append(child.wait())
        child.stdout.close()
    assert lives[0] == -signal.SIGKILL
    assert lives[-1] == 0
    assert json.loads((tmp_path / "kept").read_text())["lives"] > 1  # some were killed in mid-run
    rows = [{"n": n, "x": n / 7} for n in range(20_000)]
    assert (tmp_path / "o.ndjson").read_text() == "".join(f'{{"n":{r["n"]},"x":{r["x"]!r}}}\n' for r in rows)
    assert (tmp_path / "o.csv").read_text().count("\n") == 20_001
    for name in ("o.arrow", "o.parquet", "o.ndjson"):
        assert independent(tmp_path / name).to_pylist() == rows


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", RESUMABLE)
def test_a_full_disk(
    name: str, resume: bool, tmp_path: Path, events: Events, writing_all: WriteAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = events(1000)
    room = 3000
    write = os.write

    def until_full(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        length = write(descriptor, memoryview(data)[:room])
        room -= length
        return length

    def run() -> None:
        sink = open_sink(tmp_path / name, table.schema, resume=resume)
        try:
            writing_all(sink, table)
            sink.close()
        finally:
            sink.abort()

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", until_full)
        with pytest.raises(OutputError, match=rf"cannot write .*{name}.*: No space left on device"):
            run()
    if resume:
        run()
    else:
        assert os.listdir(tmp_path) == []


def test_a_device_that_is_full(events: Events) -> None:
    with pytest.raises(OutputError, match="cannot write /dev/full: No space left on device"):
        open_sink("/dev/full", events(1).schema, format="csv")
    sink = open_sink("/dev/full", events(1).schema)
    with pytest.raises(OutputError, match="cannot write /dev/full: No space left on device"):
        sink.write(events(1).to_batches()[0])
    sink.close()
    assert not os.path.isfile("/dev/full")


@pytest.mark.parametrize("format", [None, "arrow", "arrow-file", "parquet", "csv", "ndjson"])
def test_stdout(
    format: str | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    events: Events,
    writing_all: WriteAll,
    reading_all: ReadAll,
) -> None:
    table, stdout = events(200), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=stdout))
    sink = writing_all(open_sink("-", table.schema, format=format), table)
    if format in (None, "ndjson"):
        assert stdout.getvalue().count(b"\n") == 200  # each batch at once
    assert sink.commit() == {"row": 200}
    sink.seek({"row": 200})
    with pytest.raises(ConfigError, match="stdout is written in one go"):
        sink.seek({"row": 100})
    sink.close()
    (tmp_path / "out").write_bytes(stdout.getvalue())
    assert reading_all(open_source(tmp_path / "out")).cast(table.schema).equals(table)


def test_a_closed_pipe(events: Events) -> None:
    code = """
import pyarrow as pa
from onlogit.errors import OutputError
from onlogit.streams import open_sink
import os, sys
sink = open_sink("-", pa.schema([("n", pa.int64())]))
try:
    while True:
        sink.write(pa.record_batch({"n": list(range(1000))}))
except OutputError as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(7)
"""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == '{"n":0}\n'
    child.stdout.close()
    assert child.stderr.read() == "cannot write stdout: its reader has closed the pipe\n"
    child.stderr.close()
    assert child.wait() == 7


def test_what_cannot_be_opened_is_told(tmp_path: Path, events: Events) -> None:
    schema = events(1).schema
    with pytest.raises(ConfigError, match=r"format of 'x\.txt' from its name: end it in one of \.arrow, "):
        open_sink("x.txt", schema)
    with pytest.raises(ConfigError, match="unknown format"):
        open_sink("x.csv", schema, format="tsv")
    with pytest.raises(SchemaError, match="two columns have the same name"):
        open_sink("x.csv", pa.schema([("a", pa.int8()), ("a", pa.int8())]))
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"cannot write .*no/x\.csv: No such file or directory"):
            open_sink(tmp_path / "no" / "x.csv", schema, resume=resume)
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises((OutputError, ConfigError), match=r"folder\.csv"):
            open_sink(tmp_path / "folder.csv", schema, resume=resume)
    assert os.listdir(tmp_path) == ["folder.csv"]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", RESUMABLE)
def test_a_batch_of_another_schema_is_refused(name: str, resume: bool, tmp_path: Path, events: Events) -> None:
    sink = open_sink(tmp_path / name, events(1).schema, resume=resume)
    with pytest.raises(SchemaError, match=rf"{name} was opened for the columns id int64, x double.*the batch has z"):
        sink.write(pa.record_batch({"z": [1]}))
    sink.abort()


@pytest.mark.parametrize("name", ["o.arrow", "o.feather", "o.parquet", "o.csv", "o.ndjson"])
def test_dictionaries_may_change(name: str, tmp_path: Path, reading_all: ReadAll) -> None:
    batches = [pa.record_batch({"c": pa.array(words).dictionary_encode()}) for words in (["x", "y"], ["z", "x"])]
    sink = open_sink(tmp_path / name, batches[0].schema)
    for batch in batches:
        sink.write(batch)
    sink.close()
    assert reading_all(open_source(tmp_path / name))["c"].to_pylist() == ["x", "y", "z", "x"]
