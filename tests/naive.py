"""The slow truth: each kernel's twin in plain NumPy and Python, written from the formulas and not from the kernel."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


# ---- gather


class RunningMoments:
    """Mean and variance of one column with the guards of kernels/gather.py, from plain sums kept value by value."""

    def __init__(self) -> None:
        self.total: list[tuple[float, float]] = []  # (value as it entered, weight) of the accumulator in use
        self.trial: list[tuple[float, float]] = []
        self.gathered: list[tuple[float, float]] = []  # ordinary values after the trial, until they are 64
        self.rows = 0
        self.next: float = 16

    @staticmethod
    def mean_var(entered: list[tuple[float, float]]) -> tuple[float, float]:
        weight = math.fsum(w for _, w in entered)
        if not entered or all(x == entered[0][0] for x, _ in entered):
            return (entered[0][0] if entered else 0.0), 0.0
        mean = math.fsum(w / weight * x for x, w in entered)
        return mean, math.fsum(w / weight * (x - mean) ** 2 for x, w in entered)

    def enter(self) -> None:
        self.total += self.gathered
        self.gathered = []

    def add(self, x: float, w: float) -> float:
        """Let x enter; its standardised value."""
        mean, var = self.mean_var(self.total)
        if self.next == math.inf and w == 1 and abs(x - mean) < 7 * math.sqrt(var):
            z = self.standardised(x)
            self.gathered.append((x, w))
            if len(self.gathered) == 64:
                self.enter()
            return z
        self.enter()
        self.add_alone(x, w)
        return self.standardised(x)

    def add_alone(self, x: float, w: float) -> None:
        mean, var = self.mean_var(self.total)
        if self.rows >= 16 and var > 0:
            reach = 7 * math.sqrt(var)
            x = mean + reach if x > mean + reach else mean - reach if x < mean - reach else x
        if self.next < math.inf and self.rows >= 16:
            if var == 0 and x != mean:
                self.trial, self.rows, self.next = [], 15, 16
            else:
                self.trial.append((x, w))
        self.total.append((x, w))
        self.rows += 1
        if self.rows == self.next:
            self.end_trial()

    def end_trial(self) -> None:
        var, trial_var = self.mean_var(self.total)[1], self.mean_var(self.trial)[1]
        if self.rows > 16 and trial_var == 0:
            self.next *= 2
            return
        if self.rows > 16 and not 0.25 <= var / trial_var <= 100:
            self.total = self.trial
        self.trial = []
        self.next = math.inf if self.rows >= 1024 else self.rows * 2

    def standardised(self, x: float) -> float:
        mean, var = self.mean_var(self.total)
        return 0.0 if var == 0 else max(-3.0, min(3.0, (x - mean) / math.sqrt(var)))


def standardise(x: list[float | None], weight: list[float]) -> tuple[list[float], list[bool], RunningMoments]:
    """Standardised numbers, which were missing, and the moments at the end. None is null."""
    moments = RunningMoments()
    out, missing = [], []
    for value, w in zip(x, weight, strict=True):
        lost = value is None or not math.isfinite(value)
        held = 0.0 if value is None or lost else max(-1e100, min(1e100, value))
        missing.append(lost)
        out.append(0.0 if lost else moments.add(held, w) if w > 0 else moments.standardised(held))
    return out, missing, moments


# ---- hashing

WORD = (1 << 64) - 1


def mix64(x: int) -> int:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & WORD
    return x ^ (x >> 31)


def hash_of_bytes(data: bytes, seed: int) -> int:
    """The 64-bit hash of some bytes, in Python's integers."""
    h = seed ^ (len(data) * 0x9E3779B97F4A7C15 & WORD)
    for at in range(0, len(data), 8):
        h = (h ^ int.from_bytes(data[at : at + 8], "little")) * 0xC6A4A7935BD1E995 & WORD
        h ^= h >> 32
    return mix64(h)


def slot_of_text(column: str, value: str | None, slot_bits: int) -> int:
    """The slot of (column, value), from the definition."""
    seed = hash_of_bytes(column.encode(), 0)
    h = mix64(seed ^ 0x6E756C6C) if value is None else hash_of_bytes(value.encode(), seed)
    return h % (1 << slot_bits)


# ---- tally


def naive_tally(z: F64, y: npt.NDArray[np.int8], weight: F64) -> dict[str, float]:
    """Quality figures of labelled rows from their definitions; whole weights as so many rows."""
    repeats = np.where(y >= 0, weight, 0).astype(int)
    l, label = np.repeat(z, repeats), np.repeat(y, repeats).astype(float)
    p = 1 / (1 + np.exp(-l))
    n, base, ones = len(l), 0.0, 0.0
    for i, outcome in enumerate(label):
        rate = (ones + 0.5) / (i + 1)
        base -= math.log(rate if outcome == 1 else 1 - rate)
        ones += outcome
    bins = np.minimum((p * 20).astype(int), 19)
    gaps = [abs(np.sum(label[bins == b] - p[bins == b])) for b in range(20)]
    before = l[label == 1][:, None] - l[label == 0][None, :]
    return {
        "examples": n,
        "rate": label.mean(),
        "expected": p.mean(),
        "log_loss": float(np.mean(np.logaddexp(0, l) - label * l)),
        "base_log_loss": base / n,
        "brier": float(np.mean((label - p) ** 2)),
        "auc": float(np.mean((before > 0) + (before == 0) / 2)) if 0 < ones < n else math.nan,
        "calibration_error": sum(gaps) / n,
    }


# ---- evidence


class NaiveDetector:
    """The e-detector of ALGORITHMS 6, one event at a time, from probabilities."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.edges = [-4.0, -2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5, 4.0]
        self.pivot, self.v, self.vl, self.judged, self.settle = 0.0, 0.0, 0.0, 0, 64
        self.cells = np.zeros(256)
        self.started: dict[
            int, float
        ] = {}  # elapsed time at the last start of each score bin's arms, and of the others
        self.R, self.C, self.onset = np.zeros(34), np.zeros(34), np.zeros(34, int)
        levels = [-1.2, -0.6, -0.3, -0.15, 0.15, 0.3, 0.6, 1.2]
        telling = [abs(a) > tolerance for a in levels]
        self.weights = np.array([t / sum(telling) / 3 for t in telling] + [1 / 18] * 6 + [1 / 60] * 20)
        self.levels = levels

    def settle_bins(self) -> None:
        """Deciles by linear interpolation in the histogram; the pivot; both forget half."""
        share = np.cumsum(self.cells) / self.cells.sum()
        for j in range(9):
            c = int(np.argmax(share >= (j + 1) / 10 - 1e-15))
            below = share[c - 1] if c else 0.0
            self.edges[j] = (c + ((j + 1) / 10 - below) / (share[c] - below)) / 8 - 16
        self.pivot = self.vl / self.v
        self.cells, self.v, self.vl = self.cells / 2, self.v / 2, self.vl / 2
        self.settle += min(self.settle, 65536)

    def arms(self, l: float) -> list[float]:
        """The log-odds that each arm states; ℓ itself for a region that ℓ is not in."""
        here = sum(l >= e for e in self.edges)
        slopes = [c + b * (l - c) for c in (0.0, self.pivot) for b in (0.5, 0.7, 1.4)]
        regions = [l + a if j == here else l for j in range(10) for a in (0.6, -0.6)]
        return [l + a for a in self.levels] + slopes + regions

    def step(self, event: int, l: float, y: int, now: float | None = None, slack: float = 0.0) -> float:
        """One labelled event; M after it. now: elapsed time, which then is what starts; slack: tolerance of this event."""
        tolerance = slack or self.tolerance
        if self.judged == self.settle:
            self.settle_bins()
        here = sum(l >= e for e in self.edges)
        p = 1 / (1 + math.exp(-l))
        start = min(1.0, 20 * p * (1 - p))
        for k, arm in enumerate(self.arms(l)):
            covered = arm == l or abs(arm - l) <= tolerance
            null = min(max(arm, l - tolerance), l + tolerance)
            q, p0 = 1 / (1 + math.exp(-arm)), 1 / (1 + math.exp(-null))
            likelihood = q / p0 if y else (1 - q) / (1 - p0)
            if k >= 14 and arm == l:
                continue
            part = here if k >= 14 else 10
            waited = (10 if k >= 14 else 1) if now is None else now - self.started.setdefault(part, now)
            s = 0.0 if covered else start * waited
            self.R[k] = (self.R[k] + s) * (1.0 if covered else likelihood)
            if self.C[k] <= 1 and likelihood > 1 and not covered:
                self.onset[k] = event
            self.C[k] = max(self.C[k], 1.0) * (1.0 if covered else likelihood)
        if now is not None:
            for part in range(11):
                self.started.setdefault(part, now)
            self.started[here] = self.started[10] = now
        self.cells[int((min(max(l, -15.99), 15.99) + 16) * 8)] += 1
        self.v, self.vl = self.v + p * (1 - p), self.vl + p * (1 - p) * l
        self.judged += 1
        return float(self.weights @ self.R)


# ---- belief


class Expert:
    """One expert in float64 with a full covariance over bias and numbers, and a dictionary of slots."""

    def __init__(
        self, half_life: float, dense_prior: float, bias_prior: float, d: int, flips: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.half_life, self.slot_prior, self.flips = half_life, dense_prior, flips
        self.prior = np.diag([bias_prior] + [dense_prior] * d)
        self.mean, self.cov = np.zeros(1 + d), self.prior.copy()
        self.slots: dict[int, tuple[float, float, float]] = {}  # slot -> mean, variance, clock when learned
        self.clock = 0.0

    def kept(self, h: float) -> float:
        return math.exp2(-h / self.half_life)

    def slot(self, number: int) -> tuple[float, float]:
        mean, variance, then = self.slots.get(number, (0.0, self.slot_prior, self.clock))
        f = self.kept(self.clock - then)
        return mean, f * variance + (1 - f) * self.slot_prior

    def score(self, x: F64, slots: dict[int, float]) -> tuple[float, float]:
        x = np.concatenate([[1.0], x])
        z, s2 = float(self.mean @ x), float(x @ self.cov @ x)
        for number, value in slots.items():
            mean, variance = self.slot(number)
            z += mean * value
            s2 += variance * value**2
        return z, s2

    def learn(self, x: F64, slots: dict[int, float], y: float, h: float) -> None:
        if h == 0:
            return
        z, s2 = self.score(x, slots)
        delta = implicit_root(z, s2, soft_label(z, y, *self.flips), h)
        r = h * information(z + s2 * delta, *self.flips)
        c = r / (1 + r * s2)
        for number, value in slots.items():
            mean, v = self.slot(number)
            self.slots[number] = (mean + delta * v * value, v - c * (v * value) ** 2, self.clock)
        g = self.cov @ np.concatenate([[1.0], x])
        self.mean = self.mean + delta * g
        f = self.kept(h)
        self.cov = f * (self.cov - c * np.outer(g, g)) + (1 - f) * self.prior
        self.clock += h


def implicit_root(z: float, s2: float, y: float, h: float) -> float:
    """The root of d = h (y - sigmoid(z + s2 d)) by 200 bisections, for y from 0 to 1."""
    low, high = h * (y - 1), h * y
    for _ in range(200):
        middle = (low + high) / 2
        t = z + s2 * middle
        q = 1 / (1 + math.exp(-t)) if t > -700 else 0.0
        low, high = (middle, high) if middle < h * (y - q) else (low, middle)
    return (low + high) / 2


# ---- flips


def of_label(p: Any, fp: float, fn: float) -> Any:
    """The probability of a label of 1, where that of the true outcome is p."""
    return fp * (1 - p) + (1 - fn) * p


def soft_label(z: float, y: float, fp: float, fn: float) -> float:
    """Bayes' rule: the probability that the true outcome is 1, given its label."""
    p = 1 / (1 + math.exp(-z))
    return float((1 - fn) * p / of_label(p, fp, fn) if y > 0.5 else fn * p / (1 - of_label(p, fp, fn)))


def information(z: float, fp: float, fn: float) -> float:
    """The mean of the squared derivative of log P(label) by z, by central differences."""
    e = 1e-5
    low, middle, high = (of_label(1 / (1 + math.exp(-t)), fp, fn) for t in (z - e, z, z + e))
    yes, no = (math.log(high) - math.log(low)) / (2 * e), (math.log(1 - high) - math.log(1 - low)) / (2 * e)
    return float(middle * yes**2 + (1 - middle) * no**2)


# ---- mixture


class Mixture:
    """Voices weighed by log loss under several switching rates; written with exact weights and no floor of its own."""

    def __init__(
        self,
        experts: int,
        switching: list[float],
        flips: tuple[float, float] = (0.0, 0.0),
        half_lives: F64 | None = None,
    ) -> None:
        self.switching, self.flips, self.told_apart = switching, flips, False
        self.half_lives = np.full(experts, np.inf) if half_lives is None else half_lives
        self.u = np.full((len(switching), 2 * experts), 1 / (2 * experts))
        self.omega = np.full(len(switching), 1 / len(switching))

    @staticmethod
    def voices(z: F64, s2: F64) -> F64:
        p = 1 / (1 + np.exp(-np.concatenate([z, z / np.sqrt(1 + np.pi * s2 / 8)])))
        return np.asarray(np.clip(p, 1e-5, 1 - 1e-5))

    def state(self, z: F64, s2: F64) -> tuple[float, float]:
        pooled = self.omega @ self.u
        p = float(pooled @ self.voices(z, s2))
        out = math.log(p / (1 - p))
        variance = pooled @ np.tile(s2, 2) + pooled @ (np.tile(z, 2) - out) ** 2
        return out, math.sqrt(variance)

    def learn(self, z: F64, s2: F64, y: float, h: float, late: float = 0.0) -> None:
        if h == 0:
            return
        prior = np.tile(np.maximum(0.5 ** (late / 8 / self.half_lives), 0.03), 2)
        prior /= prior.sum()
        if not self.told_apart:
            self.u[:] = prior
            self.told_apart = True
        p = of_label(self.voices(z, s2), *self.flips)
        p = p if y == 1 else 1 - p
        for a, rate in enumerate(self.switching):
            self.omega[a] *= (self.u[a] @ p) ** h
            self.u[a] *= p**h
            self.u[a] /= self.u[a].sum()
            share = 1 - (1 - rate) ** h
            self.u[a] = (1 - share) * self.u[a] + share * prior
        self.omega /= self.omega.sum()


# ---- sgd


class Sgd:
    """The SGD family in float64, one coordinate at a time: coordinate None is the bias, ints are numbers, strings slots."""

    flips = 0.0, 0.0

    def __init__(self, kind: str, rate: float, schedule: str, l1: float, l2: float, batch: int, averaged: bool) -> None:
        self.kind, self.rate, self.schedule, self.batch, self.averaged = kind, rate, schedule, batch, averaged
        self.penalties = l1, l2
        self.w: dict[object, float] = {}
        self.squares: dict[object, float] = {}
        self.pull: dict[object, float] = {}
        self.area: dict[object, float] = {}  # integral of w over the weight learned
        self.learned = 0.0
        self.held: list[tuple[float, dict[object, float]]] = []

    def weight(self, j: object) -> float:
        """What a score is made of: the last weight, or the mean over all that was learned."""
        if self.averaged and self.learned > 0:
            return self.area.get(j, 0.0) / self.learned
        return self.w.get(j, 0.0)

    def score(self, x: dict[object, float]) -> float:
        return sum(self.weight(j) * v for j, v in x.items())

    def learn(self, x: dict[object, float], y: float, h: float) -> None:
        """Unit after unit of weight; h <= 17 where there is no mini-batch."""
        while self.batch > 1 and h > 0:
            part = min(h, self.batch - sum(share for share, _ in self.held))
            g = self._gradient(x, y)
            self.held.append((part, {j: part * g * v for j, v in x.items()}))
            h -= part
            if sum(share for share, _ in self.held) == self.batch:
                mean: dict[object, float] = {}
                for _, gradient in self.held:
                    for j, v in gradient.items():
                        mean[j] = mean.get(j, 0.0) + v / self.batch
                self._step(mean, 1.0, float(self.batch))
                self.held = []
        while h > 0:
            g = self._gradient(x, y)
            self._step({j: g * v for j, v in x.items()}, min(h, 1.0), min(h, 1.0))
            h -= min(h, 1.0)

    def _gradient(self, x: dict[object, float], y: float) -> float:
        """Of -log P(label)."""
        z = sum(self.w.get(j, 0.0) * v for j, v in x.items())
        p = 1 / (1 + math.exp(-z))
        label, slope = of_label(p, *self.flips), (1 - sum(self.flips)) * p * (1 - p)
        return float(-slope / label if y > 0.5 else slope / (1 - label))

    def _step(self, gradient: dict[object, float], c: float, weight: float) -> None:
        late = 1 + self.learned / 10_000
        eta = {"constant": self.rate, "sqrt": self.rate / math.sqrt(late), "inverse": self.rate / late}[self.schedule]
        for j, g in gradient.items():
            l1, l2 = (0.0, 0.0) if j is None else self.penalties
            self.w[j] = self._moved(j, g, c, eta, l1, l2)
        for j in self.w:
            self.area[j] = self.area.get(j, 0.0) + weight * self.w[j]
        self.learned += weight

    def _moved(self, j: object, g: float, c: float, eta: float, l1: float, l2: float) -> float:
        w, before = self.w.get(j, 0.0), self.squares.get(j, 0.0)
        after = self.squares[j] = before + c * g * g
        if self.kind == "ftrl":
            pull = self.pull.get(j, 0.0) + c * g - w * (math.sqrt(after) - math.sqrt(before)) / eta
            self.pull[j] = pull
            return 0.0 if abs(pull) <= l1 else -(pull - math.copysign(l1, pull)) / ((1 + math.sqrt(after)) / eta + l2)
        rate = eta * c / math.sqrt(1 + after) if self.kind == "adagrad" else eta * c
        w -= rate * g
        return math.copysign(max(abs(w) - rate * l1, 0.0), w) / (1 + rate * l2)


# ---- stacking


class Stack:
    """Bayesian logistic regression on the mixture's z, each expert's difference from it and what was noted beside, from
    "what it says"."""

    def __init__(self, inputs: int, half_life: float, prior: float, flips: tuple[float, float] = (0.0, 0.0)) -> None:
        self.flips = flips
        self.half_life, self.prior = half_life, prior * np.eye(inputs)
        self.mean, self.cov = np.eye(inputs)[1], self.prior.copy()

    @staticmethod
    def inputs(z: float, experts: F64, noted: F64) -> F64:
        return np.concatenate([[1.0, z], noted, np.clip(experts - z, -2, 2)])

    def state(self, x: F64) -> float:
        limit = math.log((1 - 1e-6) / 1e-6)
        return float(np.clip(self.mean @ x, -limit, limit))

    def learn(self, x: F64, y: float, h: float) -> None:
        if h == 0:
            return
        t, s2 = float(self.mean @ x), float(x @ self.cov @ x)
        delta = implicit_root(t, s2, soft_label(t, y, *self.flips), h)
        r = h * information(t + s2 * delta, *self.flips)
        g = self.cov @ x
        self.mean = self.mean + delta * g
        f = math.exp2(-h / self.half_life)
        self.cov = f * (self.cov - r / (1 + r * s2) * np.outer(g, g)) + (1 - f) * self.prior


# ---- residuals


class Residuals:
    """Weighted means of label minus stated p, each over all labels so far and a start that was right, and the running rate."""

    def __init__(self, half_lives: tuple[float, ...], flips: tuple[float, float] = (0.0, 0.0)) -> None:
        self.half_lives, self.flips = half_lives, flips
        self.learned: list[tuple[float, float]] = []  # weight, and residual as it counts
        self.positives = self.labels = 0.0

    def means(self) -> list[float]:
        found = []
        for half_life in self.half_lives:
            d = 2 ** (-1 / half_life)
            age = [d ** (len(self.learned) - 1 - k) for k in range(len(self.learned))]
            above = sum(a * w * r for a, (w, r) in zip(age, self.learned, strict=True))
            below = sum(a * w for a, (w, _) in zip(age, self.learned, strict=True))
            found.append(4 * above / (below + d ** len(self.learned) / (1 - d)))
        return found

    def odds(self) -> float:
        ones, zeros, (fp, fn) = self.positives + 0.5, self.labels - self.positives + 0.5, self.flips
        return max(ones - fp * (ones + zeros), 0.5) / max(zeros - fn * (ones + zeros), 0.5)

    def note(self, z: float) -> F64:
        return np.array([*self.means(), np.clip(math.log(self.odds()) - z, -2, 2)])

    def learn(self, z: float, y: float, h: float, counts: float) -> None:
        if h > 0:
            p = float(of_label(1 / (1 + math.exp(-z)), *self.flips))
            self.learned.append((h, math.sqrt(counts / h) * (y - p)))
            self.positives += h * y
            self.labels += h


# ---- base_rate


class BaseRate:
    """A Bayesian mixture of the learner (49 of 50 at first) and the running rate, in probabilities."""

    def __init__(self, flips: tuple[float, float] = (0.0, 0.0)) -> None:
        self.flips = flips
        self.evidence = -math.log(49)  # log-odds of the running rate

    def voices(self, z: float, odds: float) -> F64:
        return np.array([1 / (1 + math.exp(-z)), odds / (1 + odds)])

    def state(self, voices: F64) -> float:
        share = 1 / (1 + math.exp(-np.clip(self.evidence, -700, 700)))
        p = float(np.array([1 - share, share]) @ voices)
        return float(np.clip(math.log(p / (1 - p)), -math.log(1e6 - 1), math.log(1e6 - 1)))

    def learn(self, voices: F64, y: float, counts: float) -> None:
        """A label that is evidence of weight `counts`, given what the voices said of its event."""
        voices = of_label(voices, *self.flips)
        learner, rate = voices if y > 0.5 else 1 - voices
        self.evidence += counts * math.log(rate / learner)


# ---- derive


def quantile_knots(held: list[float], kind: str, k: int) -> list[float]:
    """Edges of a bucket or knots of a spline: the smallest held numbers with at least the share q at or below, each once."""
    shares = [j / k for j in range(1, k)] if kind == "bucket" else [(j + 0.5) / k for j in range(k)]
    ordered = sorted(held)
    at = [next(v for i, v in enumerate(ordered) if (i + 1) / len(held) >= q - 1e-12) for q in shares]
    return sorted(set(at))


def bucket_of(x: float, edges: list[float]) -> int:
    return sum(edge < x for edge in edges)


def hats_of(x: float, knots: list[float]) -> dict[int, float]:
    """Knot -> height of its hat at x: 1 at the knot, falling in straight lines to 0 at its neighbours; constant outside."""
    if x <= knots[0] or x >= knots[-1]:
        return {0 if x <= knots[0] else len(knots) - 1: 1.0}
    right = next(j for j, knot in enumerate(knots) if knot >= x)
    share = (x - knots[right - 1]) / (knots[right] - knots[right - 1])
    return {j: height for j, height in ((right - 1, 1 - share), (right, share)) if height > 0}


def scaled_lists(lists: list[list[float]], weight: list[float]) -> list[list[float]]:
    """Values as multiples of the running root mean square of those that are neither 0 nor missing, within ±3."""
    moments, out = RunningMoments(), []
    for values, w in zip(lists, weight, strict=True):
        for v in values:
            if w > 0 and math.isfinite(v) and v != 0:
                moments.add(max(-1e100, min(1e100, v)), w)
        mean, var = moments.mean_var(moments.total)
        rms = math.sqrt(mean**2 + var)
        fine = [max(-1e100, min(1e100, v)) if math.isfinite(v) else 0.0 for v in values]
        out.append([max(-3.0, min(3.0, v / rms)) if rms > 0 else 0.0 for v in fine])
    return out


# ---- capacity


def mixed(x: int) -> int:
    """splitmix64's finaliser, in Python's integers."""
    bits = (1 << 64) - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & bits
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & bits
    return x ^ (x >> 31)


def within_capacity(
    z: list[float], clock: list[int], wanted: list[bool], budget: int, length: int, half_life: float
) -> list[bool]:
    """Each event ranked anew among all before it, from sums over all of them."""
    taken: list[bool] = []
    places = [min(max(int((16 - min(max(value, -17.0), 17.0)) * 128), 0), 4095) for value in z]
    latest = np.maximum.accumulate(np.array(clock, np.int64))
    for i in range(len(z)):
        weight = [2.0 ** ((j - i) / half_life) for j in range(i + 1)]
        above = math.fsum(w for j, w in enumerate(weight) if places[j] < places[i])
        ties = math.fsum(w for j, w in enumerate(weight) if places[j] == places[i])
        rank = (above + (mixed(i) >> 11) / 2.0**53 * ties) / math.fsum(weight)
        gaps = math.fsum(w * int(latest[j] - latest[j - 1]) for j, w in enumerate(weight) if j)
        left = (int(latest[i]) // length + 1) * length - int(latest[i]) - 1
        to_come = 1.0 + (left * math.fsum(weight[1:]) / gaps if gaps else left)
        used = sum(t for j, t in enumerate(taken) if latest[j] // length == latest[i] // length)
        taken.append(bool(wanted[i] and rank * to_come < budget - used))
    return taken


# ---- grid


def at_threshold(p: F64, y: F64, weight: F64, t: float, cost_fp: float, cost_fn: float) -> dict[str, float]:
    """What acting on p > t does, counted event by event."""
    acted, n = p > t, weight.sum()
    tp, fp = (weight * acted * y).sum(), (weight * acted * (1 - y)).sum()
    missed = (weight * ~acted * y).sum()
    return {
        "volume": (tp + fp) / n,
        "precision": tp / (tp + fp) if tp + fp else math.nan,
        "recall": tp / (tp + missed) if tp + missed else math.nan,
        "expected_cost": (weight * np.where(acted, (1 - p) * cost_fp, p * cost_fn)).sum() / n,
        "realised_cost": (fp * cost_fp + missed * cost_fn) / n,
        "net_benefit": (tp - fp * t / (1 - t)) / n,
    }


# ---- naming


def unnamed_slots(
    rows: list[list[int]], weight: list[float], marks: list[int], first: int, room: int
) -> tuple[int, list[tuple[int, int]]]:
    """The row up to which `room` slots without a name are found from `first` on, and each with its first row."""
    found: list[tuple[int, int]] = []
    while first < len(rows) and len(found) < room:
        known = {slot for _, slot in found}
        if weight[first] > 0:
            found += [(first, slot) for slot in rows[first] if marks[slot] == 0 and slot not in known]
        first += 1
    return first, found


def counted_marks(rows: list[list[int]], weight: list[float], marks: list[int]) -> list[int]:
    """The marks after these rows: one more for each row of weight > 0 that has a named slot, up to 2^31 - 1."""
    more = [sum(w > 0 and k in slots for slots, w in zip(rows, weight, strict=True)) for k in range(len(marks))]
    return [min(mark + m, 2**31 - 1) if mark > 0 else mark for mark, m in zip(marks, more, strict=True)]


# ---- pending


class PendingIndex:
    """From the key of an event that waits to its number, by a dictionary."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}

    def add(self, keys: list[int], numbers: list[int]) -> None:
        self.held.update(zip(keys, numbers, strict=True))

    def find(self, keys: list[int]) -> list[int]:
        return [self.held.get(key, -1) for key in keys]

    def remove(self, keys: list[int], numbers: list[int]) -> None:
        for key, number in zip(keys, numbers, strict=True):
            if key in self.held and self.held[key] == number:
                del self.held[key]


# ---- slices


class NaiveSlices:
    """Slices' e-detectors one event at a time, from probabilities; the shared clock counts events."""

    LEVELS = (-1.2, -0.6, -0.3, 0.3, 0.6, 1.2)

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.R: dict[int, list[float]] = {}
        self.last: dict[int, int] = {}
        self.seen: dict[int, list[tuple[float, float]]] = {}  # (ℓ, v) of the slice's events
        self.pivot: dict[int, float] = {}
        self.clock = 0

    def step(self, s: int, l: float, y: int) -> float:
        """M of the event's slice after it."""
        before, self.clock = self.clock, self.clock + 1
        sums = self.R.setdefault(s, [0.0] * 8)
        wait = self.clock - self.last.get(s, before)
        self.last[s] = self.clock
        c, p = self.pivot.get(s, 0.0), 1 / (1 + math.exp(-l))
        arms = [l + a for a in self.LEVELS] + [c + b * (l - c) for b in (0.6, 1.6)]
        telling = [abs(a) > self.tolerance for a in self.LEVELS] + [True, True]
        for k, arm in enumerate(arms):
            null = min(max(arm, l - self.tolerance), l + self.tolerance)
            q, p0 = 1 / (1 + math.exp(-arm)), 1 / (1 + math.exp(-null))
            if abs(arm - l) > self.tolerance:
                sums[k] = (sums[k] + min(1.0, 20 * p * (1 - p)) * wait) * (q / p0 if y else (1 - q) / (1 - p0))
        seen = self.seen.setdefault(s, [])
        seen.append((l, p * (1 - p)))
        if len(seen) >= 16 and len(seen) & (len(seen) - 1) == 0:
            self.pivot[s] = sum(l * v for l, v in seen) / sum(v for _, v in seen)
        return sum(r for r, t in zip(sums, telling, strict=True) if t) / sum(telling)


# ---- drift


def naive_projection(q: F64, low: F64, high: F64) -> F64:
    """The distribution within bounds that is nearest to q, found by trying ever finer scales of it."""
    scales = np.geomspace(1e-6, 1e6, 100_001)
    best = min(scales, key=lambda s: abs(np.clip(q * s, low, high).sum() - 1.0))
    return np.asarray(np.clip(q * best, low, high))


# ---- recalibration


class NaiveRecalibration:
    """The shadow's map by matrices, and its capital strand by strand."""

    def __init__(self, flips: tuple[float, float] = (0.0, 0.0)) -> None:
        self.flips = flips
        self.rest, self.prior = np.array([0.0, 1.0]), 0.1 * np.eye(2)
        self.mean: F64 = self.rest.copy()
        self.cov: F64 = self.prior.copy()
        self.strands: list[float] = []  # log of what each has made of 1
        self.judged = 0

    def step(self, raw: float, stated: float, shadow: float, y: int, h: float, judged: bool) -> None:
        """Bet, where the row is judged; forget; learn."""
        if judged:
            if self.judged % 1_000 == 0:
                self.strands.append(0.0)
            self.judged += 1
            gain = naive_log_loss(y, stated) - naive_log_loss(y, shadow)
            self.strands = [strand + gain for strand in self.strands]
        kept = 0.5 ** (h / 20_000)
        self.mean = self.rest + kept**0.5 * (self.mean - self.rest)
        self.cov = kept * self.cov + (1 - kept) * self.prior
        x = np.array([1.0, raw])
        g, s2 = self.cov @ x, float(x @ self.cov @ x)
        z = float(self.mean @ x)
        delta = implicit_root(z, s2, soft_label(z, float(y), *self.flips), h)
        r = h * information(z + s2 * delta, *self.flips)
        self.mean = self.mean + delta * g
        self.cov = np.asarray(np.linalg.inv(np.linalg.inv(self.cov) + r * np.outer(x, x)))

    def evidence(self) -> float:
        """M: every strand by its share, and what is not laid out."""
        k = len(self.strands)
        return sum(math.exp(s) / ((i + 1) * (i + 2)) for i, s in enumerate(self.strands)) + 1 / (k + 1)


def naive_log_loss(y: int, z: float) -> float:
    """-log of the probability of what happened."""
    p = 1 / (1 + math.exp(-z))
    return -math.log(p if y else 1 - p)
