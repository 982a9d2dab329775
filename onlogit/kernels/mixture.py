"""Weigh experts by their log loss, with switching, and nothing to tune.

Each expert speaks twice: plainly, σ(z), and moderated by its own uncertainty, σ(z / √(1 + π s²/8)) (MacKay 1992). Over
these M = 2 K voices runs one Bayesian mixture per switching rate α: u <- u p(y), then (1-α) u + α/M (Fixed-Share,
Herbster & Warmuth 1998), and over the mixtures runs one more without switching. The regret to the best voice is at most
ln(M A) nats in all (Vovk's aggregating algorithm).

While L events on average wait for their labels, a label counts 1/√(1+L) here: with labels in flight a mistake is judged
many times before it can be corrected, and the best learning rate falls with the root of the delay (Weinberger &
Ordentlich 2002; Joulani et al. 2013). Nothing changes where labels are fresh. L is a mean over the last 10,000 labels: by
the count of the moment, labels that come in quiet hours would weigh more, and they are not like the others (on flights at
real label times the calibration error was .014 so, and is .008).

Before any label is known voices weigh alike where labels are fresh. Where they are not, an expert of half-life H has
2^(-L/(8H)) of what one that forgets nothing has, at least .03: what it has learned is old by the time it is used. Switching
shares out by the same weights. Log loss so, less that with equal weights, labels 1,000 events late: spam_words -.0018,
noaa_weather -.0006, weather_aus -.0001, bank_marketing -.0001, elec2 +.0001, jit_defects +.0001; hotel_bookings 5,000 late
-.0027, when due -.0007, but +.004 with a horizon of 180 days and on arrival. With 2^(-L/(2H)), what would be left of the
weights if they moved at the pace that H stands for, gains are up to twice as large, and so are losses.

Before any label is known all voices say the same, and by that the first L labels could not tell them apart. They are weighed
by what voices say just before they learn them (AGAIN in kernels/belief.py). No label is in flight then, which flatters those
that follow the latest labels; so these labels count less, MOST_AGAIN in all at the most, and the last word learns nothing from
them. Log loss so, less that without, on real streams with labels 200, 1,000 and 4,000 events late: better by .0003 or more on
22 of 85, 43 of 89 and 27 of 48, worse on 6, 5 and 2, by -.0003, -.0011 and -.0005 in the mean, at worst +.0022, +.0025 and
+.028. Simulated reversals within the delay lose more, up to .07; without MOST_AGAIN up to .12.

Where labels are flipped at known rates (flips.py), voices speak of the true outcome and are judged by what that makes of
the label: fp + (1 - fp - fn) p.

The voices lie in E lanes of plain and E of moderated ones, K of them in use and the rest without weight.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from onlogit.kernels.belief import AGAIN, LEARN, SCORE
from onlogit.kernels.covariance import LANES
from onlogit.kernels.flips import FN, FP, KEPT, Flips
from onlogit.kernels.jit import inline, kernel, part
from onlogit.kernels.lane_math import exponential, logarithm
from onlogit.kernels.lanes import (
    fma,
    highest,
    lanes,
    larger,
    load,
    smaller,
    splat,
    square_root,
    store,
    total,
)  # fmt: skip

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

FLOOR = np.float32(1e-5)  # no voice says less than this or more than 1 - this
MEMORY = 10_000.0  # labels over which the number of waiting events is averaged
MOST_AGAIN = 16.0  # labels of full weight that labels judged again amount to, at most
FAINTEST = np.float32(0.03)  # what an expert that forgets fast weighs at first, beside one that does not, at the least
LEAST = np.float32(1e-30)  # the least weight: what no more underflows can still return
PI_8 = np.float32(math.pi / 8.0)
ZERO, ONE = np.float32(0), np.float32(1)


@inline
def _say(z: Any, voices: int, at: int, said: F32) -> None:
    """σ(-z) and σ(z) of some voices, floored."""
    e = exponential(ZERO - z)
    p = ONE / (ONE + e)
    low, high = splat(FLOOR, z), splat(ONE - FLOOR, z)
    store(said, at, smaller(larger(e * p, low), high))
    store(said, voices + at, smaller(larger(p, low), high))


@part
def _listen(memo: F32, at: int, experts: int, said: F32) -> None:
    """What each voice says, from what was stated when the row was scored: memo[at:] has z of each expert, then s²."""
    like = lanes(ZERO, LANES)
    for e in range(0, experts, LANES):
        z, s2 = load(memo, at + e, like), load(memo, at + experts + e, like)
        _say(z, 2 * experts, e, said)
        _say(z / square_root(fma(PI_8, s2, ONE)), 2 * experts, experts + e, said)


@inline
def _flip(said: F32, first: int, size: int, wrong: float, kept: float) -> None:
    """What voices say of a true outcome as what they say of its label: said <- wrong + kept said, of `size` from `first`."""
    for k in range(first, first + size, LANES):
        p = load(said, k, lanes(ZERO, LANES))
        store(said, k, fma(np.float32(kept), p, np.float32(wrong)))


@inline
def _dot(a: F32, first: int, b: F32, second: int, size: int) -> float:
    """Σ a[first + k] b[second + k] over `size` numbers."""
    sums = lanes(ZERO, LANES)
    for k in range(0, size, LANES):
        sums = fma(load(a, first + k, sums), load(b, second + k, sums), sums)
    return float(total(sums))


@inline
def _pool(u: F32, omega: F64, pooled: F32) -> None:
    """pooled[k] = Σ_a ω_a u_ak."""
    for k in range(0, pooled.size, LANES):
        sums = lanes(ZERO, LANES)
        for a in range(omega.size):
            sums = fma(np.float32(omega[a]), load(u, a * pooled.size + k, sums), sums)
        store(pooled, k, sums)


@part
def _raise(said: F32, told: int, h: float, out: int, size: int) -> None:
    """said[out:] = (said[told:] / their largest)^h: a common factor cancels, and the largest must not underflow."""
    most = lanes(ZERO, LANES)
    for k in range(0, size, LANES):
        most = larger(most, load(said, told + k, most))
    top, power = splat(np.float32(math.log(highest(most))), most), splat(np.float32(h), most)
    for k in range(0, size, LANES):
        store(said, out + k, exponential(power * (logarithm(load(said, told + k, top)) - top)))


@part
def _expect(late: float, fading: F32, uniform: F32, prior: F32) -> None:
    """prior[k] = what each voice weighs before any label, while so many events on average wait for theirs."""
    experts, sums = fading.size, lanes(ZERO, LANES)
    for e in range(0, experts, LANES):
        left = exponential(load(fading, e, sums) * np.float32(-0.125 * late))
        left = larger(left, FAINTEST)
        plain, moderated = left * load(uniform, e, sums), left * load(uniform, experts + e, sums)
        store(prior, e, plain)
        store(prior, experts + e, moderated)
        sums = sums + (plain + moderated)
    whole = splat(np.float32(1.0 / float(total(sums))), sums)
    for k in range(0, 2 * experts, LANES):
        store(prior, k, load(prior, k, sums) * whole)


@inline
def _untold(uniform: F32, u: F32) -> bool:
    """Whether no label has told the voices apart yet."""
    apart = 0
    for k in range(u.size):
        apart += u[k] != uniform[k % uniform.size]
    return apart == 0


@part
def _reweigh(said: F32, told: int, h: float, kept: F64, prior: F32, u: F32, omega: F64, before: F64) -> None:
    """One label of weight h to which the voices gave said[told:]: reweigh them in each mixture, and the mixtures."""
    one, least, voices, raised = lanes(ONE, LANES), lanes(LEAST, LANES), prior.size, told
    if h != 1.0:
        raised = 2 * voices
        _raise(said, told, h, raised, voices)
    for a in range(omega.size):
        before[a] = _dot(u, a * voices, said, told, voices)
        after = before[a] if h == 1.0 else _dot(u, a * voices, said, raised, voices)
        keep, share = splat(np.float32(kept[a] / after), one), splat(np.float32(1.0 - kept[a]), one)
        for k in range(0, voices, LANES):
            weight = load(u, a * voices + k, one) * (load(said, raised + k, one) * keep)
            anew = load(prior, k, one)
            store(u, a * voices + k, larger(fma(share, anew, weight), smaller(anew, least)))
    _reweigh_mixtures(h, before, omega)


@part
def _reweigh_mixtures(h: float, before: F64, omega: F64) -> None:
    """ω <- ω p(y)^h, normalised."""
    most, together = 0.0, 0.0
    for a in range(omega.size):
        most = max(most, before[a])
    for a in range(omega.size):
        omega[a] *= before[a] if h == 1.0 else (before[a] / most) ** h
        together += omega[a]
    for a in range(omega.size):
        omega[a] = max(omega[a] / together, float(LEAST))


@part
def _spread(memo: F32, at: int, pooled: F32, z: float) -> float:
    """The sd of z under the mixture: within each expert, and between them."""
    experts, sums = pooled.size // 2, lanes(ZERO, LANES)
    for e in range(0, experts, LANES):
        gap = load(memo, at + e, sums) - np.float32(z)
        share = load(pooled, e, sums) + load(pooled, experts + e, sums)
        sums = fma(share, fma(gap, gap, load(memo, at + experts + e, sums)), sums)
    return math.sqrt(float(total(sums)))


@kernel
def temper(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    waiting: I64,  # [ops] events that wait for their label after this operation
    weight: F64,  # [n]
    flight: F64,  # [2] mean number of waiting events, and of how many labels it is the mean; changed
    counts: F64,  # [ops] written where a row is learned
    late: F64,  # [ops] likewise
) -> None:
    """counts = weight / √(1 + L), late = L, the mean number of waiting events over the last 10,000 labels."""
    for t in range(row.size):
        if act[t] & LEARN and weight[row[t]] > 0.0:
            flight[1] = min(flight[1] + 1.0, MEMORY)
            flight[0] += (waiting[t] - flight[0]) / flight[1]
            counts[t] = weight[row[t]] / math.sqrt(1.0 + flight[0])
            late[t] = flight[0]


@kernel
def walk(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH, and AGAIN
    counts: F64,  # [ops] what a label counts, as `temper` says
    late: F64,  # [ops] how many labels wait on average, likewise
    y: F64,  # [n]
    memo: F32,  # [n, > 2E] z of each expert, then s² of each, as stated; then the mixture's z, written here
    switching: F64,  # [A] the α of each mixture
    uniform: F32,  # [2E] 1/M for each voice in use, else 0
    fading: F32,  # [E] ln 2 / half-life of each expert
    u: F32,  # [A, 2E] weight of each voice in each mixture; changed
    omega: F64,  # [A] weight of each mixture; changed
    sd_out: F64,  # [n] sd of z; written where a row is scored
    flips: Flips,
) -> None:
    """Walk the tape in order: state the mixture's z where a row is scored, reweigh where it is learned."""
    voices, stated, weights = uniform.size, memo.reshape(-1), u.reshape(-1)
    pooled, said = np.zeros(voices, np.float32), np.zeros(3 * voices, np.float32)  # said: of no, of yes, raised
    prior, untold, at_rest = uniform.copy(), _untold(uniform, weights), 0.0  # at_rest: what L the prior is for
    before, kept, kept_for = np.zeros(omega.size), np.ones(omega.size), 0.0  # kept: (1 - α)^h, and of what h
    _pool(weights, omega, pooled)
    for t in range(row.size):
        i = row[t]
        at = i * memo.shape[1]
        _listen(stated, at, voices // 2, said)
        if act[t] & SCORE:
            z = math.log(_dot(pooled, 0, said, voices, voices) / _dot(pooled, 0, said, 0, voices))
            stated[at + voices] = z
            sd_out[i] = _spread(stated, at, pooled, z)
        if act[t] & LEARN and counts[t] > 0.0:
            h = counts[t] * min(1.0, MOST_AGAIN / math.sqrt(1.0 + late[t])) if act[t] & AGAIN else counts[t]
            if h != kept_for:
                kept_for = h
                for a in range(omega.size):
                    kept[a] = (1.0 - switching[a]) ** kept_for
            if len(flips) > 2:
                _flip(said, 0, voices, flips[FN], flips[KEPT])
                _flip(said, voices, voices, flips[FP], flips[KEPT])
            if late[t] != at_rest:
                at_rest = late[t]
                _expect(at_rest, fading, uniform, prior)
            if untold:
                for k in range(weights.size):
                    weights[k] = prior[k % voices]
            _reweigh(said, voices if y[i] > 0.5 else 0, kept_for, kept, prior, weights, omega, before)
            untold = untold and _untold(uniform, weights)
            _pool(weights, omega, pooled)


@kernel
def widen(
    row: I64,  # [ops] row of the tile
    act: U8,  # [ops] SCORE, LEARN or BOTH
    memo: F32,  # [n, m] the mixture's z stands at `place`
    place: int,
    z: F64,  # [n] as it is stated, after the last word
    sd: F64,  # [n] of the true log-odds about the mixture's z; made that about z, where a row is scored
) -> None:
    """What the last word adds may be wrong as well: sd <- √(sd² + (z - the mixture's z)²)."""
    for t in range(row.size):
        if act[t] & SCORE:
            i = row[t]
            apart = z[i] - memo[i, place]
            sd[i] = math.sqrt(sd[i] * sd[i] + apart * apart)
