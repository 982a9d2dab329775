"""What a state folder begins with, and what a start with other settings adds to its journal: challengers, and prices."""

from onlogit.daemon.clock import Clock
from onlogit.daemon.commands import command, obey
from onlogit.daemon.entries import BEGIN, COMMAND, beginning, mark, meaning
from onlogit.daemon.fold import Fold
from onlogit.daemon.recovery import apply
from onlogit.daemon.settings import Settings
from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import watched
from onlogit.errors import ConfigError
from onlogit.patience import Patience
from onlogit.storage.journal import Journal, New


def begin(fold: Fold, journal: Journal, clock: Clock, settings: Settings, model: bytes | None) -> None:
    """Make a recovered fold what the settings say; `model`: the file that a new folder begins with. ConfigError where the
    folder was begun with something else; one that has accepted nothing yet begins anew then."""
    other = _difference(fold.begun, settings, model) if fold.begun else ""  # its first entry may have gone, unnoted
    if other and fold.settled:
        raise ConfigError(
            f"{settings.keep.state} was begun with {other}: change the command back, or name another folder (--state)"
        )
    if other or not fold.seq:
        _begin(fold, journal, clock, settings, model)
    _price(fold, journal, clock, settings)
    _challenge(fold, journal, clock, settings)


def _begin(fold: Fold, journal: Journal, clock: Clock, settings: Settings, model: bytes | None) -> None:
    """Journal with what this folder begins, and fold that as a replay would. A model file says nothing of `early`, which has
    an entry of its own then. ConfigError where no event could be folded."""
    early, monitor = settings.keep.early, settings.model.monitor
    patience = Patience.of(monitor.patience, monitor.unit)
    if not model and patience.tick is not None and not settings.events.time:
        raise ConfigError(f"a patience of {patience} needs the time of events: name a time column (--time)")
    data = model or beginning(settings.events.roles(), settings.model, early)
    new = [New(BEGIN, clock(), data)]
    if model:
        new.append(New(COMMAND, clock(), command("early", room=early)))
    journal.append(new)
    for entry in journal.read(0):
        apply(fold, entry)


def _difference(begun: str, settings: Settings, model: bytes | None) -> str:
    """What a folder was `begun` with that settings of a new model, or a model file, say otherwise, in words; "": nothing."""
    data = model or beginning(settings.events.roles(), settings.model, settings.keep.early)
    untold = beginning(Settings().events.roles(), Settings().model, settings.keep.early)
    then, now = meaning(begun), meaning(mark(data))
    if data == untold or then == now:
        return ""
    if isinstance(then, str) or isinstance(now, str):
        file = "another" if isinstance(now, str) else "a"
        return f"{file} model file" if isinstance(then, str) else "settings of its own, not with a model file"
    name = next(name for name in now if then[name] != now[name])
    was, told = (
        ", ".join(map(str, each)) if isinstance(each, tuple | list) else each for each in (then[name], now[name])
    )
    return f"no {name}" if was in (None, "") else f"{name} {was}" + ("" if told in (None, "") else f", not {told}")


def _price(fold: Fold, journal: Journal, clock: Clock, settings: Settings) -> None:
    """Journal at which thresholds and costs decisions are counted, where that is news; untold ones stay as they are."""
    if not settings.decisions:
        return
    at = watched(DecisionConfig.of(settings.decisions))
    if (fold.model.config.monitor.thresholds, fold.model.config.monitor.costs) != (at["thresholds"], at["costs"]):
        data = command("price", **at)
        obey(fold, journal.append([New(COMMAND, clock(), data)]), data)


def _challenge(fold: Fold, journal: Journal, clock: Clock, settings: Settings) -> None:
    """Journal who challenges, where that is news; settings that name nobody leave those that are there."""
    told = list(settings.challengers)
    if not told or not fold.challengers.wanted(told):
        return
    if not fold.settled and any(each.get("frozen") for each in told):
        raise ConfigError(
            "a frozen challenger is a copy of the champion, which has learned nothing yet: begin with --model, or name "
            "the challenger at a later start"
        )
    data = command("challenge", models=told)
    obey(fold, journal.append([New(COMMAND, clock(), data)]), data)
