"""Somebody else's model, watched: 40,000 of its predictions, whose log-odds become twice too extreme half way."""

import json

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

draw, n = np.random.default_rng(3), 40_000
truth = draw.normal(-1.5, 1.2, n)  # log-odds as they are
stated = np.where(np.arange(n) < n // 2, truth, 2 * truth)  # as the model says, before and after a bad release
predictions = pa.table(
    {
        "scored_at": pa.array(1_700_000_000_000_000 + 60_000_000 * np.arange(n), pa.timestamp("us", "UTC")),
        "country": draw.choice(["FR", "DE", "US"], n),
        "p": 1 / (1 + np.exp(-stated)),
        "happened": draw.random(n) < 1 / (1 + np.exp(-truth)),
    }
)
parquet.write_table(predictions, "predictions.parquet")
with open("predictions.ndjson", "w") as file:
    for p, happened in zip(predictions["p"].to_pylist(), predictions["happened"].to_pylist(), strict=True):
        file.write(json.dumps({"p": p, "happened": happened}) + "\n")
