"""The page of `onlogit demo`: its words and its lines, 79 characters wide. Figures come in, nothing is measured here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from onlogit.demo.flights import NAMES, clock, new_york
from onlogit.demo.screen import Screen
from onlogit.report.text import Curve, paragraph, reliability_diagram, scale

if TYPE_CHECKING:  # the opening is printed before Numba is imported
    from onlogit.demo.months import Month
    from onlogit.monitor import Alarm
    from onlogit.monitor.quality import Quality, Reliability

WIDTH = 79
SCALE_WIDTH, SCALE_TOP = 14, 0.25


class Ending(NamedTuple):
    """What is known when the last flight has landed; qualities and tables from March to December."""

    live: "Quality"
    frozen: "Quality"
    base: "Quality"
    live_table: "Reliability"
    frozen_table: "Reliability"
    worst: "Month"  # that of the frozen model's largest calibration error
    live_alarms: "list[Alarm]"  # since March, as the frozen model's
    frozen_alarms: "list[Alarm]"
    events: int
    rate: float  # events a second through both models, once kernels were compiled
    seconds: float  # in all
    model: str  # path of the model file
    bytes: int
    data: str  # path of the flights


def opening(screen: Screen) -> list[str]:
    """What is going on, and why it matters."""
    live, frozen = screen.glyphs.marks
    text = (
        "Will a flight leave more than 15 minutes late? Every flight out of New York in 2013 gets a probability before "
        "it departs, and the answer is learned hours later, when it has landed. The live learner never stops learning. "
        "The frozen model learned in the same way, all of January and February, and then no more, like most models in "
        "use. Who still means 80 % by 80 % in summer?"
    )
    legend = (
        "Log loss: nats a flight, lower is better; base states the share of late flights known by then. Calibration "
        f"error: how far stated and came lie apart on average (20 bins), {live} live, {frozen} frozen. Everything is "
        "stated before it is learned. New York time."
    )
    return [
        screen.paint("onlogit demo", "bold") + ": a year of departures, replayed",
        "",
        *paragraph(text, WIDTH),
        "",
        *(screen.paint(line, "dim") for line in paragraph(legend, WIDTH)),
        "",
    ]


def compile_note(cached: bool, screen: Screen) -> list[str]:
    """Why nothing moves for a while."""
    when = "first run only" if cached else "anew in each run, as no cache folder can be written"
    return [screen.paint(f"Compiling kernels, {when} ...", "dim"), ""]


def where(address: str, screen: Screen) -> list[str]:
    """Where the live learner can be watched at work."""
    return [f"The live learner is a daemon, asked over HTTP; its page: {screen.paint(address, 'bold')}", ""]


def waiting(address: str, screen: Screen) -> list[str]:
    """That the page is still there."""
    return ["", f"The daemon's page stays at {screen.paint(address, 'bold')} until Ctrl-C."]


def heading(screen: Screen) -> list[str]:
    """The head of the table."""
    rule = screen.glyphs.rule
    ends = "0" + percent(SCALE_TOP, digits=0).rjust(SCALE_WIDTH - 1)
    names = f"{'2013':<6}{'flights':>8}{'late':>7}{'live':>8}{'frozen':>8}{'base':>7}{'live':>9}{'frozen':>8}  {ends}"
    return [
        f"{'':23}{' log loss '.center(21, rule)}   {' calibration error '.center(31, rule)}",
        screen.paint(names, "bold"),
    ]


def month_row(month: "Month", screen: Screen, time: int | None = None) -> str:
    """One line of the table; of a month that is not over, with the `time` of its latest event."""
    live, frozen, none = month.live, month.frozen, screen.glyphs.none
    name = NAMES[month.month - 1][:3]
    if time is not None:
        name = f"{new_york(time).day} {name}"
    errors = live.calibration_error, None if frozen is None else frozen.calibration_error
    dots = screen.paint_marks(scale(errors, SCALE_TOP, SCALE_WIDTH, screen.glyphs))
    return (
        f"{name:<6}{live.examples:>8,.0f}{percent(live.rate, none):>7}"
        f"{loss(live.log_loss, none):>8}{loss(frozen.log_loss if frozen else None, none):>8}"
        f"{loss(month.base.log_loss, none):>7}{percent(errors[0], none):>9}{percent(errors[1], none):>8}  {dots}"
    )


def freezing(screen: Screen) -> str:
    """The line under February."""
    return screen.paint(" from here on the frozen model learns nothing more ".center(WIDTH, screen.glyphs.rule), "dim")


def alarm_lines(alarm: "Alarm", screen: Screen) -> list[str]:
    """The frozen model's first alarm, in two lines: when and which way; since when, and how big."""
    when = f"event {alarm.event:,}" if alarm.time is None else clock(alarm.time)
    since = f"event {alarm.onset_event:,}" if alarm.onset_time is None else clock(alarm.onset_time)
    size = f"{alarm.effect:+.2f} logits" if alarm.effect_unit == "logits" else f"slope {alarm.effect:.2f}"
    mark = screen.glyphs.alarm
    return [
        screen.paint(f"{mark} ALARM {mark} {when}: the frozen model {claim(alarm)}", "alarm"),
        f"  since {since}: {alarm.examples:,} flights, stated {percent(alarm.expected)}, "
        f"came {percent(alarm.observed)}, {size.replace('-', screen.glyphs.minus)}",
    ]


def claim(alarm: "Alarm") -> str:
    """Which way the stated probabilities are off."""
    if alarm.what == "slope":
        return "is too sure of itself" if alarm.effect < 1 else "is too timid"
    where = ""
    if alarm.region is not None:
        where = f" between {percent(alarm.region[0], digits=0)} and {percent(alarm.region[1], digits=0)}"
    return f"states too {'little' if alarm.observed > alarm.expected else 'much'}{where}"


def closing(ending: Ending, screen: Screen) -> list[str]:
    """The diagram, what was seen, and where to go from here."""
    live, frozen = ending.live_table, ending.frozen_table
    marks = screen.glyphs.marks
    if not ending.frozen.examples:
        return [
            "",
            "The frozen model states from March on: these were too few flights for it.",
            "",
            *_next(ending, screen),
        ]
    title = f"Stated and came, March to December   {marks[0]} live   {marks[1]} frozen   {screen.glyphs.both} both"
    diagram = reliability_diagram(
        Curve("live", live.stated, live.observed, live.examples),
        Curve("frozen", frozen.stated, frozen.observed, frozen.examples),
        screen.glyphs,
    )
    return [
        "",
        screen.paint_marks(title),
        *(screen.paint_marks(line) for line in diagram),
        "",
        *paragraph(story(ending), WIDTH),
        "",
        *_next(ending, screen),
    ]


def story(ending: Ending) -> str:
    """What was seen, in measured figures."""
    live, frozen, base = (quality.log_loss or 0.0 for quality in (ending.live, ending.frozen, ending.base))
    kept = (base - frozen) / (base - live)
    share = f"kept {percent(kept, digits=0)} of what learning gains over that" if kept > 0 else "was worse than that"
    worst = ending.worst.frozen
    told = [
        f"From March on live had a log loss of {loss(live)} and the base rate one of {loss(base)}; the frozen model, at "
        f"{loss(frozen)}, {share}."
    ]
    if worst is not None:
        told.append(
            f"In {NAMES[ending.worst.month - 1]} it stated {percent(worst.expected, digits=0)} on average, and "
            f"{percent(worst.rate, digits=0)} came."
        )
    told.append(_alarms(ending.frozen_alarms, ending.live_alarms))
    told.append(
        f"What to do at such an alarm: look at what changed, and learn on. Here learning on took the calibration error "
        f"from {percent(ending.frozen.calibration_error)} to {percent(ending.live.calibration_error)}."
    )
    return " ".join(told)


def _alarms(frozen: "Sequence[Alarm]", live: "Sequence[Alarm]") -> str:
    if not frozen:
        told = "It raised no alarm"
    elif frozen[0].time is None:
        told = f"Its first alarm came at event {frozen[0].event:,}"
    else:
        told = f"Its first alarm came on {clock(frozen[0].time).replace(',', ' at')}"
    if len(frozen) > 1:
        told += f", and {len(frozen) - 1} more in the year"
    again = sum(alarm.repeats for alarm in frozen)
    told += f" (evidence would have sufficed {again:,} times more)." if again else "."
    if not live:
        return told + " The live learner raised none."
    again = sum(alarm.repeats for alarm in live)
    more = f" (for it, {again:,} times more)" if again else ""
    return (
        f"{told} Live raised {len(live)}{more}: a storm delays hundreds of flights together before the first has "
        "landed, which nobody can learn in time, and the evidence counts them one by one."
    )


def _next(ending: Ending, screen: Screen) -> list[str]:
    return [
        f"{ending.events:,} flights" + (f", {ending.rate:,.0f} a second through both models;" if ending.rate else ";"),
        f"{ending.seconds:.1f} s in all, with compiling, reading and drawing.",
        f"The live model is in {screen.paint(ending.model, 'bold')} ({ending.bytes / 1e6:.1f} MB). Next:",
        "",
        f"  onlogit score {ending.model} {ending.data} \\",
        "      --out scored.parquet",
        f"  onlogit learn {ending.data} \\",
        "      --label late --time sched_dep --label-time landed_at --drop sched_dep",
    ]


def percent(share: float | None, none: str = "", digits: int = 1) -> str:
    """A share as "12.3 %"."""
    return none if share is None else f"{100 * share:.{digits}f} %"


def loss(nats: float | None, none: str = "") -> str:
    """A log loss as ".476"."""
    return none if nats is None else f"{nats:.3f}".removeprefix("0")
