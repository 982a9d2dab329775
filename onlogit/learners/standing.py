"""What each expert counts where an interval is asked for: by the evidence that the world stands still.

The mixture's weights are there to predict. By switching it keeps some per cent with experts that forget fast; their beliefs
are far wider, which costs a prediction next to nothing and makes an interval too wide: 95 % intervals covered .96 to .99 on
stationary data. For an interval the question is another one: does one true weight hold for all events, so that the experts
which never forget are right, or not?

"It does" has a prior of 1/5 here. Its evidence is what these experts gave to all labels, against what the mixture with
switching gave to them, and lies in ω and u as they are. And it has to show now: an expert that forgets differs from one that
does not by chance alone, with a variance of half of what its belief is wider by (for an expert of the form S' = S + r (S0 - S)
in its steady state; less before that). A gap d of D weights, T = 2 d' (S_k - S)^-1 d, is expected twice as large
where the world does move, so that the gap speaks for "it does" with odds of 2^D exp(-3/8 T): at most 10, as it is made of the
same labels.

Of the experts that never forget the one with the widest prior counts for all: an interval must not rest on a prior by which
weights are small. (Each for itself, 95 % intervals covered .93 to .96 where weights are not small, with priors of .1 and 3.)

The prior and that bound were chosen on simulated streams: with 1/2 and no gap, intervals covered .95 to .97 where the world
stands still as well, but .79 of weights that walk by .005 an event, where by the mixture's own weights .82 were. Coverage:
docs/decisions.md. Cost: some D³ operations, when it is asked for.
"""

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

PRIOR = 0.2  # that the world stands still
WIDER = 4.0  # the variance of the gap where it does not, beside that by chance
MOST = 10.0  # what the gap counts for in favour


def shares(u: F64, omega: F64, switching: F64, half_lives: F64, widths: F64, mean: F64, cov: F64) -> F64:
    """What each of K experts counts: [K], adding up to 1.

    u [A, K] weight of each expert in each mixture, omega [A] of each mixture, switching [A]; half_lives and widths [K], the
    latter prior variances; mean [K, D] and cov [K, D, D] of the weights that all experts hold in full.
    """
    still = np.isinf(half_lives)
    found = omega @ u
    if still.any() and not still.all():
        slowest = int(np.argmin(switching))
        held = np.where(still, omega[slowest] * u[slowest], 0.0)
        prior = still.mean() / len(omega)  # that the mixture has of what it counts as `held`
        odds = PRIOR / (1.0 - PRIOR) * (1.0 - prior) / prior
        moved = np.where(still, _by_gap(half_lives, widths, mean, cov), 1.0)
        found = (held * odds + np.maximum(found - held, 0.0)) * moved
    if still.any():
        widest = int(np.argmax(np.where(still, widths, 0.0)))
        found[widest], found[still & (np.arange(len(found)) != widest)] = found[still].sum(), 0.0
    return np.asarray(found / found.sum())


def _by_gap(half_lives: F64, widths: F64, mean: F64, cov: F64) -> float:
    """How many times better a still world explains the gap between an expert that forgets, the slowest, and one that does not.

    Of either kind the one with the widest prior, as it is held by its prior the least.
    """
    lasts = np.isinf(half_lives)
    longest = half_lives == half_lives[~lasts].max()
    still, slow = (int(np.argmax(np.where(kind, widths, 0.0))) for kind in (lasts, longest))
    gap, wider = mean[slow] - mean[still], cov[slow] - cov[still]
    scale = np.sqrt(np.maximum(np.diagonal(cov[still]), 1e-300))
    values, axes = np.linalg.eigh(wider / np.outer(scale, scale))
    known = values > 1e-4  # of the variance: below it the two are one but for rounding
    by_chance = (axes[:, known].T @ (gap / scale)) ** 2 / values[known]
    log_odds = 0.5 * math.log(WIDER) * np.count_nonzero(known) - (1.0 - 1.0 / WIDER) * by_chance.sum()
    return math.exp(min(max(log_odds, -600.0), math.log(MOST)))
