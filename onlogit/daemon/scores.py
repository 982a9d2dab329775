"""Scores for requests that wait: those of one reader in one tile, each as if it were alone."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from onlogit.daemon.entries import Stated
from onlogit.daemon.fold import Fold
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.work import MERGED, Done, Work, spans
from onlogit.errors import ConfigError, OnlogitError

log = logging.getLogger("onlogit.daemon")


def score_all(fold: Fold, works: Sequence[Work]) -> Done:
    """What is stated of each, or the exception that says why nothing is."""
    if len(works) == 1:
        return [(works[0], _score(fold, works[0]))]
    done: Done = []
    groups: dict[int, list[Work]] = {}
    for work in works:
        if work.decoded is not None and work.rows <= MERGED:
            groups.setdefault(id(work.reader), []).append(work)
        else:
            done.append((work, _score(fold, work)))
    for group in groups.values():
        done += _score_together(fold, group)
    return done


def _score(fold: Fold, work: Work) -> Any:
    try:
        if not fold.settled:
            raise ConfigError("there is no model yet: send events first, or begin with --model or --schema")
        batch = work.batch if work.decoded is None else _batch_of([work])
        step = fold.named(work.model).score(batch)
        return Stated(step.event, step.p, step.z, step.z_sd, NONE_AGAIN)
    except Exception as error:
        if not isinstance(error, OnlogitError | Refusal):
            log.error("a score failed", exc_info=error)
        return error


def _score_together(fold: Fold, group: list[Work]) -> Done:
    if len(group) == 1 or not fold.settled:
        return [(work, _score(fold, work)) for work in group]
    try:
        step = fold.model.score(_batch_of(group))
    except Exception:
        return [(work, _score(fold, work)) for work in group]
    whole = Stated(step.event, step.p, step.z, step.z_sd, NONE_AGAIN)
    return [(work, whole.part(start, stop)) for work, start, stop in spans(group)]


NONE_AGAIN = np.zeros(0, np.bool_)


def _batch_of(works: Sequence[Work]) -> pa.RecordBatch:
    reader = works[0].reader
    assert reader is not None
    rows: list[Any] = []
    for work in works:
        rows += work.decoded or []
    return reader.batch(rows)
