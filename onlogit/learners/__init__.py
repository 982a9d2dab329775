"""Learners: one file a kind, all behind one protocol."""

from onlogit.config import SGD_RATES, Config
from onlogit.learners.protocol import Coefficients, Learner, Scores, Tape


def create(config: Config, numbers: int) -> Learner:
    """A fresh learner of the kind that `config.learner` names, for rows with so many dense numbers."""
    from onlogit.kernels.flips import flips_of

    flips = flips_of(config.label_noise.fp, config.label_noise.fn)
    if config.learner in SGD_RATES:
        from onlogit.learners.sgd import SgdLearner

        return SgdLearner(config.sgd, numbers, config.slot_bits, config.learner, flips)
    from onlogit.learners.belief import BeliefLearner

    return BeliefLearner(config.belief, numbers, config.slot_bits, flips)


__all__ = ["Coefficients", "Learner", "Scores", "Tape", "create"]
