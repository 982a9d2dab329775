"""Records as text for a model that is there: dates, texts that look like dates or numbers, times of a zone."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

import onlogit as ol
from onlogit.cli.rows import row_of_json, types_of
from onlogit.errors import DataError, SchemaError

Call = Callable[..., Any]

RECORD = '{"n": 2, "town": "2024-01-01", "day": "2024-02-02", "at": "2024-02-02T23:30:00Z", "tags": ["2024-01-01"], "y": true}'


def learned(*drop: str) -> ol.OnlineLogit:
    zone = pa.timestamp("us", "Europe/Berlin")
    model = ol.OnlineLogit("y", drop=("other", *drop), config=ol.Config(slot_bits=8))
    model.step(pa.table({
        "n": [1, 2], "town": ["Ulm", "7"], "day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2)], "other": ["a", "b"],
        "at": pa.array([0, 1], zone), "tags": [["a"], ["b"]], "y": [True, False],
    }))  # fmt: skip
    return model


def test_a_row_is_read_as_the_model_has_its_columns() -> None:
    model = learned()
    row = row_of_json(RECORD, model)
    assert row.schema.names == ["n", "town", "day", "at", "tags"]
    assert row.to_pylist()[0]["day"] == dt.date(2024, 2, 2)
    named = {
        (name.coordinate, name.value) for names in model.pipeline.encoder.names_of(row)[0].values() for name in names
    }
    assert {("town", "2024-01-01"), ("hour(at)", "0"), ("weekday(day)", "4"), ("tags", "2024-01-01")} <= named
    assert types_of(model).names == ["town", "day", "at", "tags"]
    with pytest.raises(DataError, match="--row: line 1: field 'day' is 'soon', where date32"):
        row_of_json(RECORD.replace('2024-02-02"', 'soon"'), model)
    with pytest.raises(DataError, match="--row: line 1: field 'town' is 5, where string is expected"):
        row_of_json('{"town": 5}', model)
    for odd in ('{"town": "\\ud800"}', "[" * 20_000):
        with pytest.raises(DataError, match="--row is no JSON"):
            row_of_json(odd, model)
    with pytest.raises(SchemaError, match="no column 'wown'; near or known: town"):
        row_of_json('{"wown": 5}', model)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_numbers_of_a_model_may_be_whole_in_the_first_file_of_a_folder(
    onlogit: Call, tmp_path: Path, form: str
) -> None:
    model = ol.OnlineLogit("y", weight="w", config=ol.Config(slot_bits=8))
    model.step(pa.table({"x": [0.5, 1.5], "count": [1, 2], "w": [1.0, 0.5], "y": [0, 1]}))
    model.save(tmp_path / "m")
    (tmp_path / "in").mkdir()
    for name, x, w in (("a", 0, 1), ("b", 0.01, 1.5)):
        row = {"x": x, "count": 3, "w": w, "y": 1}
        text = json.dumps(row) if form == "ndjson" else f"{','.join(row)}\n{','.join(map(str, row.values()))}"
        (tmp_path / f"in/{name}.{form}").write_text(text + "\n")
    for command in (("run", "in", "--model", "m", "--state", "s"), ("score", "m", f"in/*.{form}")):
        told = onlogit(*command, "--out", "out.ndjson")
        assert told.returncode == 0, told.stderr
        rows = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
        assert [row["x"] for row in rows] == [0.0, 0.01]
        assert all(type(row["count"]) is int for row in rows)
        (tmp_path / f"in/b.{form}").write_text(
            (tmp_path / f"in/b.{form}").read_text().replace("1.5", "1")
        )  # score reads no w
    told = onlogit("score", "m", f"in/a.{form}")  # of one file what is passed on stays as it is
    assert type(json.loads(told.stdout)["x"]) is int
    told = onlogit("explain", "m", "in", "--event", "1", "--json")
    assert told.returncode == 0, told.stderr


def test_files_of_text_are_read_as_the_model_has_its_columns(onlogit: Call, tmp_path: Path) -> None:
    learned().save(tmp_path / "m")
    record = json.loads(RECORD)
    (tmp_path / "r.ndjson").write_text(RECORD + "\n")
    told = onlogit("score", "m", "r.ndjson")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert list(answer) == [*record, "p", "z", "z_sd"]
    assert {name: answer[name] for name in ("n", "town", "day", "tags")} == {
        name: record[name] for name in ("n", "town", "day", "tags")
    }
    told = onlogit("explain", "m", "r.ndjson", "--event", "0", "--json")
    assert json.loads(told.stdout)["p"] == pytest.approx(answer["p"])
    told = onlogit("run", "r.ndjson", "--model", "m", "--out", "out.ndjson", "--quiet")
    assert told.returncode == 0, told.stderr
    assert json.loads((tmp_path / "out.ndjson").read_text())["day"] == "2024-02-02"
    kept = ol.OnlineLogit("y", positive="1", key="id")
    kept.step(pa.table({"id": ["0007"], "code": ["01"], "x": [1.0], "y": ["1"]}))
    kept.save(tmp_path / "k")
    (tmp_path / "k.csv").write_text("id,code,x,y\n0008,02,1.5,0\n")
    command = ("run", "k.csv", "--out", "k.ndjson", "--quiet", "--state", "s")
    for more in (("--model", "k"), ()):  # begun, and gone on with
        told = onlogit(*command, *more)
        assert told.returncode == 0, told.stderr
        with open(tmp_path / "k.csv", "a") as file:
            file.write("0009,03,1.5,1\n")
    assert [json.loads(line)["id"] for line in (tmp_path / "k.ndjson").read_text().splitlines()] == ["0008", "0009"]
    learned("tags").save(tmp_path / "m")
    (tmp_path / "r.csv").write_text("n,town,day,at\n2,7,2024-02-02,2024-02-02T23:30:00Z\n")
    told = onlogit("score", "m", "r.csv")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["town"] == "7"
