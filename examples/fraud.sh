#!/bin/sh
# Fraud as commands: what mistakes cost, what each threshold would have cost, and an action beside every payment.
set -eu

python "$(dirname "$0")/fraud.py"

onlogit decide --cost allow=0,400 --cost ask=5,40 --cost block=50,0 --p .01 --p .3
onlogit learn payments.parquet --label fraud --feature 'log(amount)' --keep-negatives .2 --quiet \
    --out fraud.model --predictions stated.parquet
onlogit thresholds stated.parquet --prob p --label label --cost-fp 50 --cost-fn 400
onlogit explain fraud.model
onlogit score fraud.model payments.parquet --cost allow=0,400 --cost ask=5,40 --cost block=50,0 --out decided.ndjson
tail -n 1 decided.ndjson
