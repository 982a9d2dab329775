"""Scores for requests that wait: those of one reader in one tile, each as if it were alone."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from onlogit.daemon.entries import Stated
from onlogit.daemon.fold import Fold
from onlogit.daemon.refusals import Refusal
from onlogit.daemon.work import MERGED, Done, Work, spans
from onlogit.errors import OnlogitError
from onlogit.model import OnlineLogit

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
        fold.require_model()
        model = fold.model if not work.model else fold.named(work.model)
        if work.decoded is None:
            step = model.score(work.batch)
            return Stated(step.event, step.p, step.z, step.z_sd, NONE_AGAIN)
        return _stated([work], model)
    except Exception as error:
        if not isinstance(error, OnlogitError | Refusal):
            log.error("a score failed", exc_info=error)
        return error


def _score_together(fold: Fold, group: list[Work]) -> Done:
    if len(group) == 1 or not fold.settled:
        return [(work, _score(fold, work)) for work in group]
    try:
        whole = _stated(group, fold.model)
    except Exception:
        return [(work, _score(fold, work)) for work in group]
    return [(work, whole.part(start, stop)) for work, start, stop in spans(group)]


NO_EVENT, NONE_AGAIN = np.zeros(0, np.int64), np.zeros(0, np.bool_)


def _stated(works: Sequence[Work], model: OnlineLogit) -> Stated:
    """What is stated of the rows of one reader; without Arrow, unless a value is refused: that knows what to say of it."""
    reader = works[0].reader
    assert reader is not None
    rows: list[Any] = works[0].decoded or []
    if len(works) > 1:
        rows = [row for work in works for row in work.decoded or ()]
    try:
        z, p, z_sd = model.pipeline.state_rows(reader.rows(rows, model.pipeline.encoder))
    except (OnlogitError, UnicodeError):
        z, p, z_sd = model.score(reader.batch(rows))[1:4]
    return Stated(NO_EVENT, p, z, z_sd, NONE_AGAIN)
