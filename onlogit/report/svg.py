"""Charts as inline SVG, written by hand: numbers in, text out; colours come from the page's CSS classes.

One size, 400 wide, so that text stays readable on a phone and two or three charts stand side by side on a screen.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

WIDTH = 400.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 20.0, 16.0, 34.0

Scale = Callable[[float], float]
Ticks = Sequence[tuple[float, str]]


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers within an interval."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def labelled(values: Iterable[float]) -> list[tuple[float, str]]:
    """Ticks with their numbers."""
    return [(value, compact(value)) for value in values]


def compact(value: float) -> str:
    """A number in few characters: 250k, 1.5M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):,.4g}{unit}"
    return f"{value:,.4g}"


class Chart:
    """A plot area with two linear axes; elements are added in order and never overlap the frame's labels."""

    def __init__(
        self, title: str, x: tuple[float, float], y: tuple[float, float], height: float = 260.0, left: float = LEFT
    ) -> None:
        self.title, self.height, self.left = title, height, left
        self._x, self._y = x, y
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        low, high = self._x
        return self.left + (min(max(value, low), high) - low) / ((high - low) or 1.0) * (WIDTH - self.left - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        span = self.height - TOP - BOTTOM
        return TOP + span - (min(max(value, low), high) - low) / ((high - low) or 1.0) * span

    def axes(self, x: Ticks, y: Ticks, x_name: str = "", y_name: str = "") -> "Chart":
        """Grid lines with their numbers, and what they count."""
        right, bottom = WIDTH - RIGHT, self.height - BOTTOM
        for value, text in y:
            at = self.y(value)
            self._parts.append(
                f'<line class="grid" x1="{self.left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            self.text(self.left - 6, at + 4, text, "end")
        for value, text in x:
            at = self.x(value)
            self._parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP:.1f}" y2="{bottom:.1f}"/>')
            self.text(at, bottom + 15, text, "middle")
        if x_name:
            self.text((self.left + right) / 2, self.height - 3, x_name, "middle", "name")
        if y_name:
            self.text(self.left, TOP - 4, y_name, "start", "name")
        return self

    def text(self, x: float, y: float, text: str, anchor: str, kind: str = "tick") -> None:
        """Words at a place of the picture."""
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> "Chart":
        """A line through points; a point that is not finite breaks it."""
        pen, path = "M", []
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            path.append(f"{pen}{self.x(x):.1f} {self.y(y):.1f}")
            pen = "L"
        self._parts.append(f'<path class="{kind}" d="{"".join(path)}"/>')
        return self

    def band(self, points: Sequence[tuple[float, float, float]], kind: str) -> "Chart":
        """An area between low and high at each x."""
        there = [f"{self.x(x):.1f} {self.y(high):.1f}" for x, _, high in points]
        back = [f"{self.x(x):.1f} {self.y(low):.1f}" for x, low, _ in reversed(points)]
        if points:
            self._parts.append(f'<path class="{kind}" d="M{"L".join([*there, *back])}Z"/>')
        return self

    def segment(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> "Chart":
        """A straight line."""
        self._parts.append(
            f'<line class="{kind}" x1="{self.x(x1):.1f}" y1="{self.y(y1):.1f}" x2="{self.x(x2):.1f}" y2="{self.y(y2):.1f}"/>'
        )
        return self

    def dot(self, x: float, y: float, kind: str, told: str = "", radius: float = 4.0) -> "Chart":
        """A point, with a text that a pointer shows."""
        title = f"<title>{escape(told)}</title>" if told else ""
        at = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}"'
        self._parts.append(f'<circle class="{kind}" {at} r="{radius:.1f}">{title}</circle>')
        return self

    def box(self, x1: float, y1: float, x2: float, y2: float, kind: str, told: str = "") -> "Chart":
        """A rectangle between two corners."""
        left, right = sorted((self.x(x1), self.x(x2)))
        top, bottom = sorted((self.y(y1), self.y(y2)))
        title = f"<title>{escape(told)}</title>" if told else ""
        size = f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
        self._parts.append(f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" {size}>{title}</rect>')
        return self

    def svg(self) -> str:
        """The picture."""
        return (
            f'<svg viewBox="0 0 {WIDTH:.0f} {self.height:.0f}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(self._parts)}</svg>"
        )
