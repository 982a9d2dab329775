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
from onlogit.storage.journal import Journal, New


def begin(fold: Fold, journal: Journal, clock: Clock, settings: Settings, model: bytes | None) -> None:
    """Make a recovered fold what the settings say; `model`: the file that a new folder begins with. ConfigError where the
    folder was begun with something else."""
    if not fold.seq:
        _begin(fold, journal, clock, settings, model)
    elif fold.begun:  # else its first entry went before checkpoints noted that
        _check_same(fold.begun, settings, model)
    _price(fold, journal, clock, settings)
    _challenge(fold, journal, clock, settings)


def _begin(fold: Fold, journal: Journal, clock: Clock, settings: Settings, model: bytes | None) -> None:
    """Journal with what this folder begins, and fold that as a replay would. A model file says nothing of `early`, which has
    an entry of its own then."""
    early = settings.keep.early
    data = model or beginning(settings.events.roles(), settings.model, early)
    new = [New(BEGIN, clock(), data)]
    if model:
        new.append(New(COMMAND, clock(), command("early", room=early)))
    journal.append(new)
    for entry in journal.read(0):
        apply(fold, entry)


def _check_same(begun: str, settings: Settings, model: bytes | None) -> None:
    """Settings of a new model that a folder `begun` with others cannot follow are an error, not passed over."""
    data = model or beginning(settings.events.roles(), settings.model, settings.keep.early)
    untold = beginning(Settings().events.roles(), Settings().model, settings.keep.early)
    if data != untold and meaning(begun) != meaning(mark(data)):
        raise ConfigError(
            f"{settings.keep.state} was begun with another model, or other columns or settings of it: change "
            "the command back, or name another folder (--state)"
        )


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
