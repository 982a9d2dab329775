"""Flights in a few lines: each is scored before it departs, and learned when it has landed."""

from pathlib import Path

import onlogit

flights = Path(onlogit.__file__).parent / "data" / "flights.parquet"  # all departures from New York in 2013
model = onlogit.OnlineLogit(label="late", time="sched_dep", label_time="landed_at", drop=["sched_dep"])
source = onlogit.open_source(flights)

while (read := source.read()) is not None:
    batch, position = read
    step = model.step(batch)  # step.p was stated before any of these flights had landed
    for alarm in step.alarms:
        print(alarm.text())
model.finish()  # the last flights have landed

quality = model.quality()
print(f"{model.counts.events:,} flights, {quality.rate:.1%} late")
print(f"log loss {quality.log_loss:.4f}, of the base rate {quality.base_log_loss:.4f}")
print(f"calibration error {quality.calibration_error:.2%}")
model.save("flights.model")
