"""Churn in a few lines: tiers of action, and a retention team that has room for 30 customers of every 1,000."""

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

import onlogit
from onlogit.decisions.costs import DecisionConfig
from onlogit.decisions.decider import Decider

draw, n = np.random.default_rng(1), 60_000
customers = pa.table(
    {
        "days_idle": draw.poisson(8, n),
        "open_tickets": draw.poisson(0.6, n),
        "card_failed": draw.random(n) < 0.05,
        "price_raised": draw.random(n) < 0.3,
        "plan": draw.choice(["basic", "plus", "pro"], n, p=[0.6, 0.3, 0.1]),
    }
)
columns = [customers[name].to_numpy(zero_copy_only=False) for name in customers.column_names[:4]]
z = np.column_stack(columns).astype(float) @ [0.12, 0.4, 0.9, 0.7] - 3.5
customers = customers.append_column("left", pa.array(draw.random(n) < 1 / (1 + np.exp(-z))))
parquet.write_table(customers, "customers.parquet")

model = onlogit.OnlineLogit(label="left")
decider = Decider(DecisionConfig.of({"tiers": {"nudge": 0.2, "call": 0.5}, "capacity": "30/1000"}))
done = np.zeros(len(decider.names), int)
left = np.zeros(len(decider.names), int)
for batch in customers.to_batches(2_000):
    step = model.step(batch)  # scored first, learned after
    decisions = decider.decide(step.z, step.z_sd)  # at once, not at the end of a window
    done += np.bincount(decisions.action, minlength=len(done))
    left += np.bincount(decisions.action, step.y, len(done)).astype(int)

for name, count, gone in zip(decider.names, done, left, strict=True):
    print(f"{name:<6} {count:>6,} customers, {gone / max(count, 1):.0%} of them would leave")
