#!/bin/sh
# Flights as a shell pipe: learn from one stream, state probabilities for another.
set -eu

flights=$(python -c 'import onlogit, pathlib; print(pathlib.Path(onlogit.__file__).parent / "data" / "flights.parquet")')

# Any program may write the stream: Arrow, Parquet, CSV or NDJSON is told by its content.
cat "$flights" | onlogit learn - --quiet --out flights.model \
    --label late --time sched_dep --label-time landed_at --drop sched_dep

# One flight as JSON in, the same with p, z and z_sd out.
echo '{"sched_dep": "2014-01-02T22:00:00Z", "carrier": "EV", "tailnum": "N14573", "origin": "EWR", "dest": "BNA",
"hour": 17, "weekday": 3, "distance": 748, "temp": 33.1, "humid": 78.5, "wind_speed": 12.7, "precip": 0.02,
"pressure": 1008.2, "visib": 3, "plane_year": 2002, "seats": 55}' | tr -d '\n' | onlogit score flights.model -
