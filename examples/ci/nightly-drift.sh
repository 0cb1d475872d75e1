#!/usr/bin/env bash
# At night, on main: does the database have what Git says? And a copy of all prompts, as files.
#
#   nightly-drift.sh [FOLDER]                             prompts/ by default; DATABASE_URL of a viewer is enough
#
# The copy goes to BACKUP_FOLDER (backup/), as a folder that promptctl sync reads: keep it outside this machine.
# Exit codes: 0 no drift; 3 drift: a sync would do something; all others: this check is broken, or a sync would be.
set -euo pipefail
# A job whose database is not configured fails, whatever CI it runs in: no embedded one is made.
export CI=${CI:-true}

folder=${1:-prompts/}
backup=${BACKUP_FOLDER:-backup/}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# GitHub obeys a line that begins with :: in what a step prints, and a prompt may have such a line. Between these two
# marks it obeys none; nobody can write the second one beforehand.
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

say() { # TEXT
    echo "$1"
    # %, CR and LF have to be escaped in an annotation.
    [ "${GITHUB_ACTIONS:-}" != true ] || printf '::notice title=promptctl::%s\n' "${1//[%]/%25}"
}

# First the copy: it is wanted most on the night on which something is wrong.
exported=0
promptctl export "$backup" --force --quiet >/dev/null 2>"$work/said" || exported=$?
print_text "$work/said" >&2

code=0
promptctl sync "$folder" --check >"$work/plan" 2>"$work/said" || code=$?
print_text "$work/plan"
print_text "$work/said" >&2

# Neither is drift: operators did it, and a sync leaves it. But somebody should bring it to Git one day.
while IFS=$'\t' read -r kind reference why; do
    case $kind in held | stored) say "$reference: $why" ;; esac
done <"$work/plan"
if [ "$code" = 0 ] || [ "$code" = 3 ]; then
    # The plan does not speak of a prompt that never had a folder. What comes from another folder is not this one's.
    promptctl sync "$folder" --dry-run --json >"$work/plan.json" || code=$?
    python3 -c '
import json, sys
for name in json.load(sys.stdin)["unclaimed"]:
    print(name)' <"$work/plan.json" >"$work/names"
    while IFS= read -r name; do
        [ -d "$folder/$name" ] || say "$name: the prompt is only in the database"
    done <"$work/names"
fi

case $code in
    0) echo "no drift" ;;
    3) echo "drift: promptctl sync $folder would do the above" >&2 ;;
    *) echo "the check is broken: exit code $code" >&2 ;;
esac
if [ "$exported" != 0 ]; then
    echo "the copy in $backup is broken: exit code $exported" >&2
    case $code in 0 | 3) exit "$exported" ;; esac
fi
exit "$code"
