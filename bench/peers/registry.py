"""Every competitor, in the order in which they run, the slow ones last.

To add one: a function that follows bench/peers/protocol.py, and a line here.
"""

from collections.abc import Callable
from importlib import import_module

from bench.peers import plain, river_models, scikit_learn, vowpal_wabbit
from bench.peers.protocol import Answer, Feed, Limits, Peer, Warm


def onlogit(name: str) -> Callable[[Feed, Limits, Warm], Answer]:
    """onlogit with that learner, imported when it runs, as every competitor's library is."""

    def run(feed: Feed, limits: Limits, warm: Warm) -> Answer:
        answer: Answer = import_module("bench.peers.onlogit_models").learner(name)(feed, limits, warm)
        return answer

    return run


PEERS = {
    peer.name: peer
    for peer in (
        Peer("rate", "running rate", "plain", "numpy", plain.running_rate, timed=False),
        Peer("last", "last label", "plain", "numpy", plain.last_label, timed=False),
        *(
            Peer(f"vw {name}", f"VW {name}", "vw", "vowpalwabbit", vowpal_wabbit.setting(name))
            for name in vowpal_wabbit.SETTINGS
        ),
        Peer("sgdclassifier", "scikit-learn SGD", "sklearn", "sklearn", scikit_learn.sgd()),
        Peer(
            "sgdclassifier .01", "scikit-learn SGD, rate .01", "sklearn", "sklearn",
            scikit_learn.sgd(learning_rate="constant", eta0=0.01),
        ),
        Peer("river", "River logistic regression", "river", "river", river_models.logistic_regression),
        *(
            Peer(f"onlogit {name}", f"onlogit {name}", "onlogit", "numba", onlogit(name))
            for name in ("sgd", "adagrad", "ftrl", "belief")
        ),
        Peer("boosting", "boosting refit", "sklearn", "sklearn", scikit_learn.boosting_refit, timed=False),
        Peer("forest", "River adaptive forest", "river", "river", river_models.random_forest, timed=False),
    )
}  # fmt: skip
VW_CACHE = Peer("vw cache", "", "vw", "vowpalwabbit", vowpal_wabbit.make_cache, timed=False)
