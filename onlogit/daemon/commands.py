"""Commands: journal entries that change how the fold goes on. Each has its place here, and so has their form as data.

freeze, thaw; ack, the first of an alarm, after which the next one is news again; revert of what an alarm did; challenge,
promote, rollback; price of decisions from here on; early, of a beginning with a model file: how many outcomes are held.
"""

import json
from typing import Any

import msgspec

from onlogit.daemon.fold import Fold
from onlogit.daemon.ledger import Ledger
from onlogit.errors import ConfigError


def command(name: str, **told: Any) -> bytes:
    """The data of a command's entry."""
    return msgspec.json.encode({"command": name, **told})


def obey(fold: Fold, seq: int, data: bytes) -> dict[str, Any]:
    """Do what the entry `seq` says; the answer to it. A ConfigError has changed nothing."""
    fold.seq = seq
    told = json.loads(data)
    if told["command"] in ("freeze", "thaw") and fold.settled:
        fold.model.pipeline.frozen = told["command"] == "freeze"
    elif told["command"] == "ack":
        for alarm in fold.alarms:
            if alarm["id"] == told["alarm"] and not alarm["acknowledged"]:
                fold.model.acknowledge()
                alarm["acknowledged"] = True
    elif told["command"] == "revert" and fold.settled:
        acts = fold.model.revert()
        if not acts:
            raise ConfigError("there is nothing to take back: no alarm has done anything, or it was taken back")
        fold.note(acts)
        told["reverted"] = acts[0].event
    elif told["command"] == "challenge":
        fold.challengers.challenge(told["models"], fold.model)
    elif told["command"] == "price":
        for model in (fold.model, *(each.model for each in fold.challengers)):
            model.price(told["thresholds"], told["costs"])
    elif told["command"] == "early":
        fold.ledger = Ledger(told["room"])
    elif told["command"] in ("promote", "rollback"):
        told["champion"] = _promote(fold, told.get("model"))
    return dict(told)


def _promote(fold: Fold, name: str | None) -> str:
    """Another champion; None for the one before. Its name."""
    others, before = fold.challengers, fold.challengers.champion
    if name is None and not others.past:
        raise ConfigError(f"{before!r} is the first champion: there is none before to roll back to")
    fold.model = others.promote(others.past[-1] if name is None else name, fold.model)
    if name is None:
        others.past.pop()
    else:
        others.past.append(before)
    return others.champion
