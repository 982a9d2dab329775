#!/bin/sh
# Churn as commands: who is nudged, who is called, with room for 30 in every 1,000; and why for one of them.
set -eu

python "$(dirname "$0")/churn.py"

onlogit learn customers.parquet --label left --quiet --out churn.model
onlogit score churn.model customers.parquet --tier nudge=.2 --tier call=.5 --capacity 30/1000 --out actions.csv
onlogit explain churn.model customers.parquet --event 7
onlogit report churn.model --html churn.html
