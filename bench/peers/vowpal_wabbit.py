"""Vowpal Wabbit: nine settings, its own C++ driver reading its own binary cache (two threads: one parses, one learns).

The text file and the cache are made beforehand and no clock sees that. A number is `name:value`, a category `name=value`,
a null is absent. A late label is put into the file where it becomes known: an event that still waits is a line without
a label, which Vowpal Wabbit scores and does not learn, and its label comes with a second, labelled, line.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from bench.peers.protocol import I64, STEADY, Answer, Feed, Limits, Warm, Watch, peak_mb

SETTINGS: dict[str, list[str]] = {
    "default": [],
    "-l .05": ["-l", "0.05"],
    "-l .1": ["-l", "0.1"],
    "-l 2": ["-l", "2"],
    "-l 5": ["-l", "5"],
    "--power_t 0": ["--power_t", "0"],
    "--power_t .25": ["--power_t", "0.25"],  # 1 is far worse than .5, the default, on every real stream
    "--coin": ["--coin"],
    "--ftrl": ["--ftrl"],
}


def setting(name: str) -> Callable[[Feed, Limits, Warm], Answer]:
    """The competitor with that setting: a run from the cache for the clock, one that writes its predictions, and one
    that only scores."""

    def run(feed: Feed, limits: Limits, warm: Warm) -> Answer:
        vw = import_module("vowpalwabbit")
        _keep_memory()
        told, stated = SETTINGS[name], feed.folder / f"stated.{os.getpid()}"
        warm()
        _drive(vw, feed, [*told, "--examples", str(STEADY)]).finish()
        with Watch() as learning:
            model = _drive(vw, feed, [*told, "-f", f"{stated}.model"])
        model.finish()
        with Watch() as scoring:
            model = _drive(vw, feed, ["-t", "-i", f"{stated}.model"])
        model.finish()
        Path(f"{stated}.model").unlink()
        answer = Answer(None, feed.rows, learning.seconds, scoring.seconds, peak_mb=peak_mb())
        if not feed.at_once:  # it passed over every event twice
            answer = answer._replace(seconds=None, score_seconds=None)
        if limits.again:
            return answer
        _drive(vw, feed, [*told, "-p", str(stated)]).finish()
        z = np.loadtxt(stated, dtype=np.float64)[_scored(feed)]
        stated.unlink()
        return answer._replace(p=0.5 * (1.0 + np.tanh(0.5 * z)))

    return run


def _keep_memory() -> None:
    """Have glibc's malloc keep what the throw-away model lets go for the one that is timed, as onlogit does by itself: 10 %
    on the categorical stream."""
    m_trim_threshold, m_mmap_max = -1, -4
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_trim_threshold, (1 << 31) - 1)
        mallopt(m_mmap_max, 0)


def _drive(vw: Any, feed: Feed, told: list[str]) -> Any:
    """One pass of the driver over the cache; the text beside it is empty by then."""
    files = ["-d", str(feed.folder / "vw.txt"), "--cache_file", str(feed.folder / "vw.cache")]
    return vw.Workspace(arg_list=[*files, "--loss_function", "logistic", "-b", str(feed.slot_bits), "--quiet", *told])


def make_cache(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """Not a competitor: writes the text, has Vowpal Wabbit make its cache, and empties the text."""
    text = feed.folder / "vw.txt"
    if not (feed.folder / "vw.cache").exists():
        scored, learned = _lines(feed)
        event, is_label = _tape(feed)
        with text.open("w") as file:
            for start in range(0, len(event), 1 << 16):
                part, labelled = event[start : start + (1 << 16)], is_label[start : start + (1 << 16)]
                lines = pc.if_else(pa.array(labelled), learned.take(pa.array(part)), scored.take(pa.array(part)))
                file.write("\n".join(lines.to_pylist()) + "\n")
        _drive(import_module("vowpalwabbit"), feed, []).finish()
        text.write_text("")
        os.utime(text, (0, 0))  # older than the cache, so that the cache is read
    return Answer(None, feed.rows, None)


def _lines(feed: Feed) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Each event as a line without and with its label."""
    chunks = []
    for batch in feed.batches():
        parts: list[Any] = [pa.repeat("|", len(batch))]
        for name in feed.numbers:
            parts.append(pc.binary_join_element_wise(_safe(name), pc.cast(batch[name], pa.string()), ":"))
        for name in feed.categories:
            value = pc.replace_substring_regex(pc.cast(batch[name], pa.string()), r"[\s:|]", "_")
            parts.append(pc.binary_join_element_wise(_safe(name), value, "="))
        chunks.append(pc.binary_join_element_wise(*parts, " ", null_handling="skip"))
    scored = pa.chunked_array(chunks).combine_chunks()
    sign = pa.array(np.where(feed.y() == 1, "1 ", "-1 ").astype(object), pa.string())
    return scored.cast(pa.large_string()), pc.binary_join_element_wise(sign, scored, "").cast(pa.large_string())


def _safe(name: str) -> str:
    return name.replace(" ", "_").replace(":", "_").replace("|", "_")


def _tape(feed: Feed) -> tuple[I64, np.ndarray]:
    """The lines of the file: number of the event, and whether the line carries its label."""
    place, n = np.asarray(feed.place()), feed.rows
    if feed.at_once:
        return np.arange(n), np.ones(n, np.bool_)
    late = np.flatnonzero(place < n)  # what becomes known after the last event is not learned
    key = np.concatenate([2 * np.arange(n) + 1, 2 * place[late]])
    order = np.argsort(key, kind="stable")
    return np.concatenate([np.arange(n), late])[order], (np.arange(n + len(late)) >= n)[order]


def _scored(feed: Feed) -> I64:
    """The lines whose prediction counts: one for each event, in order."""
    _, is_label = _tape(feed)
    return np.arange(feed.rows) if feed.at_once else np.flatnonzero(~is_label)
