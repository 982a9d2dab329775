"""Answers: what is written here without Arrow is what Arrow writes."""

import numpy as np
import pytest

from onlogit.daemon.answers import as_arrow, stated_as_arrow, table_of
from onlogit.daemon.entries import Stated


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 63, 64, 65, 1000])
@pytest.mark.parametrize("unknown", ["none", "all", "some", "p"])
@pytest.mark.parametrize("remembered", [True, False])
def test_streams_are_as_arrow_writes_them(rows: int, unknown: str, remembered: bool) -> None:
    rng = np.random.default_rng(rows)
    z_sd = rng.random(rows)
    z_sd[{"none": slice(0), "p": slice(0), "all": slice(None), "some": slice(0, None, 2)}[unknown]] = np.nan
    stated = Stated(np.arange(rows) + 7, rng.random(rows), rng.normal(size=rows), z_sd, rng.random(rows) < 0.3)
    if unknown == "p":
        stated.p[: rows // 2] = np.nan
    assert stated_as_arrow(stated, remembered) == as_arrow(table_of(stated, remembered))
    spread = Stated._make(np.repeat(values, 2)[::2] for values in stated)  # not side by side in memory
    assert stated_as_arrow(spread, remembered) == as_arrow(table_of(spread, remembered))
