#!/usr/bin/env bash
# Compares with BASELINE, and shows the table in the job's summary, whatever the outcome.
set -uo pipefail

folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/cycles-XXXXXX") || exit 1
echo "folder=$folder" >>"$GITHUB_OUTPUT"
# Words as in a shell, quotes included, but nothing is run or expanded.
mapfile -d '' -t arguments < <(printf '%s' "${ARGUMENTS:-}" | xargs -r printf '%s\0')

"$PICOTRAIN" profile --no-worst-case "${arguments[@]}" --baseline "$BASELINE" --max-regress "$MAX_REGRESS" \
    --json "$folder/cycles.json" --junit "$folder/cycles.xml" --summary "$folder/cycles.md" 2>"$folder/errors"
code=$?

cat "$folder/errors" >&2
if [ -f "$folder/cycles.md" ]; then
    cat "$folder/cycles.md" >>"$GITHUB_STEP_SUMMARY"
else
    printf '### Cycles: not compared\n\n```\n%s\n```\n' "$(tail -n 1 "$folder/errors")" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
