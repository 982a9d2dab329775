"""What no model at all would say: the running rate, and the running rate after a label like the last one known.

The second is "no change" as a probability. Where labels are autocorrelated it is hard to beat, and a good log loss
means little without it.
"""

import numpy as np

from bench.peers.protocol import Answer, Feed, Limits, Warm, in_order_of_labels


def running_rate(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """p = (positives + 1/2) / (labels + 1), of the labels known so far."""
    return _rate(feed, by_last=False)


def last_label(feed: Feed, limits: Limits, warm: Warm) -> Answer:
    """The same, of those labels that followed a last known label like the one known now. The note: how often it was
    the right answer."""
    return _rate(feed, by_last=True)


def _rate(feed: Feed, by_last: bool) -> Answer:
    y = feed.y().tolist()
    p = np.empty(len(y))
    after = [0] * len(y)  # 0: no label known yet, 1: the last was negative, 2: positive
    labels, positives = [0.0] * 3, [0.0] * 3
    last = same = 0
    for event, learned in in_order_of_labels(feed.place()):
        after[event] = last if by_last else 0
        same += last == y[event] + 1
        p[event] = (positives[after[event]] + 0.5) / (labels[after[event]] + 1.0)
        for other in learned:
            labels[after[other]] += 1
            positives[after[other]] += y[other]
            last = y[other] + 1
    return Answer(p, len(p), None, note=f"{same / max(len(y), 1):.3f}")
