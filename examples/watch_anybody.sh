#!/bin/sh
# Anybody's model, watched: onlogit reads what was stated and what happened, and nothing else.
set -eu

python "$(dirname "$0")/watch_anybody.py"

# While the model is right, a false alarm comes at most once in 100,000 predictions, on average.
onlogit watch predictions.parquet --prob p --label happened --time scored_at --by country --patience 100000

# The same from a pipe. Exit code 5 says that an alarm was raised, so a scheduler can page somebody.
code=0
cat predictions.ndjson | onlogit watch - --prob p --label happened --patience 100000 --quiet --fail-on-alarm 2> why.txt || code=$?
echo "exit code $code"
