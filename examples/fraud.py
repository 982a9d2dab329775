"""Fraud in a few lines: 1 payment in 250; blocking a good one costs 50, letting a bad one through 400."""

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

import onlogit
from onlogit.config import Config, LabelConfig
from onlogit.decisions import thresholds
from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import Decider, reason

draw, n = np.random.default_rng(2), 200_000
payments = pa.table(
    {
        "amount": draw.lognormal(3, 1, n),
        "country": draw.choice(["FR", "DE", "US", "BR"], n, p=[0.4, 0.3, 0.2, 0.1]),
        "new_device": draw.random(n) < 0.05,
        "tries": draw.poisson(0.2, n),
    }
)
z = -9 + 0.6 * np.log(payments["amount"].to_numpy()) + 3.5 * payments["new_device"].to_numpy(zero_copy_only=False)
z += 1.5 * payments["tries"].to_numpy() + 1.2 * (payments["country"].to_numpy(zero_copy_only=False) == "BR")
payments = payments.append_column("fraud", pa.array(draw.random(n) < 1 / (1 + np.exp(-z))))
parquet.write_table(payments, "payments.parquet")

costs = DecisionConfig.of({"costs": {"allow": [0, 400], "ask": [5, 40], "block": [50, 0]}})
print(f"at p = .30: {reason(costs, 0.3).action}, {reason(costs, 0.3).why}")

# rare events: all frauds are learned and a fifth of the rest, with weights that make up for it
model = onlogit.OnlineLogit(
    label="fraud", features=["log(amount)"], config=Config(labels=LabelConfig(keep_negatives=0.2))
)
decider, spent, at_rest = Decider(costs), 0.0, 0.0
price = np.array([[c0, c1] for name in decider.names for action, c0, c1 in costs.costs if action == name])
for batch in payments.to_batches(5_000):
    step = model.step(batch)
    decisions = decider.decide(step.z, step.z_sd)
    spent += price[decisions.action, step.y].sum()
    at_rest += 400.0 * step.y.sum()
print(f"costs {spent / n:.3f} a payment; letting all through would cost {at_rest / n:.3f}")

choice = thresholds.choose(thresholds.grid_of(model.pipeline.monitor.tally), 50, 400)
print(
    f"with two actions: threshold {choice.threshold:.3f}; cheapest in hindsight {choice.cheapest:.3f}, not told apart"
)
print(f"from it {choice.low:.3f} to {choice.high:.3f}, over {choice.effective_positives:.0f} frauds")
model.save("fraud.model")
