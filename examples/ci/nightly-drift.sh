#!/usr/bin/env bash
# At night, on main: report drift between Git and the database, and export a copy of all prompts.
#
#   nightly-drift.sh [FOLDER]                             FOLDER is prompts/ by default; a viewer's DATABASE_URL is enough
#
# The copy goes to BACKUP_FOLDER (backup/), as a folder that promptctl sync reads. Store it on another machine.
# Exit codes: 0 no drift; 3 drift: a sync would change something; any other: this check, or a sync, fails.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

folder=${1:-prompts/}
backup=${BACKUP_FOLDER:-backup/}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# GitHub executes a line that begins with :: in a step's output, and a prompt may have such a line. Between these two
# marks it executes none. The second mark is random, so a prompt cannot contain it.
print_text() { # FILE...
    local token
    if [ "${GITHUB_ACTIONS:-}" != true ]; then
        cat "$@"
        return
    fi
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '::stop-commands::%s\n' "$token"
    cat "$@"
    printf '\n::%s::\n' "$token"
}

report() { # TEXT
    echo "$1"
    # %, CR and LF must be escaped in an annotation.
    [ "${GITHUB_ACTIONS:-}" != true ] || printf '::notice title=promptctl::%s\n' "${1//[%]/%25}"
}

# Export first: the copy matters most on the night when the check fails.
exported=0
promptctl export "$backup" --force --quiet >/dev/null 2>"$work/messages" || exported=$?
print_text "$work/messages" >&2

code=0
promptctl sync "$folder" --check >"$work/plan" 2>"$work/messages" || code=$?
print_text "$work/plan"
print_text "$work/messages" >&2

# These are not drift: an operator made them, and a sync leaves them. They should get into Git.
while IFS=$'\t' read -r kind reference reason; do
    case $kind in held | stored) report "$reference: $reason" ;; esac
done <"$work/plan"
if [ "$code" = 0 ] || [ "$code" = 3 ]; then
    # The plan omits prompts that never had a folder. Prompts of other folders are not reported.
    promptctl sync "$folder" --dry-run --json >"$work/plan.json" || code=$?
    python3 -c '
import json, sys
for name in json.load(sys.stdin)["unclaimed"]:
    print(name)' <"$work/plan.json" >"$work/names"
    while IFS= read -r name; do
        [ -d "$folder/$name" ] || report "$name: the prompt is only in the database"
    done <"$work/names"
fi

case $code in
    0) echo "no drift" ;;
    3) echo "drift: promptctl sync $folder would make the changes above" >&2 ;;
    *) echo "the check failed: exit code $code" >&2 ;;
esac
if [ "$exported" != 0 ]; then
    echo "the export to $backup failed: exit code $exported" >&2
    case $code in 0 | 3) exit "$exported" ;; esac
fi
exit "$code"
