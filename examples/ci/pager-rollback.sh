#!/usr/bin/env bash
# In an incident: roll back a prompt or a release. Needs the database and promptctl, neither Git nor Claude.
#
#   INCIDENT=INC-412 pager-rollback.sh NAME               to the version that was active before
#   INCIDENT=INC-412 pager-rollback.sh NAME --to N        to version N
#   INCIDENT=INC-412 pager-rollback.sh --release N        everything that release N moved: promptctl release list
#
# INCIDENT is the reason in the history. A retry, or a second person, does not roll back twice.
# If the database is unreachable (6) or another session locks the prompt (5, locked), the script retries: ATTEMPTS times in
# all (5), PAUSE seconds apart (3).
# Exit codes: 0 rolled back, by this run or an earlier one; 2 usage; 4 no such prompt, version or release; 5 refused: moved
# meanwhile, no earlier version, or rolled back for another reason; 6 unreachable; otherwise those of promptctl.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

attempts=${ATTEMPTS:-5}
pause=${PAUSE:-3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

usage() {
    echo "usage: INCIDENT=WHY pager-rollback.sh NAME [--to N] | --release N" >&2
    exit 2
}

refuse() { # TEXT
    echo "pager-rollback: $1" >&2
    exit 5
}

# Run promptctl with --json and write its answer to $work/answer. Retry only failures that may pass.
run() {
    local attempt=1 code
    while :; do
        code=0
        promptctl "$@" --json >"$work/answer" 2>"$work/messages" || code=$?
        [ "$code" != 0 ] || return 0
        cat "$work/messages" >&2
        [ "$code" = 6 ] || { [ "$code" = 5 ] && grep -q '^{"error": *{"code": *"locked"' "$work/messages"; } || exit "$code"
        [ "$attempt" -lt "$attempts" ] || exit "$code"
        attempt=$((attempt + 1))
        echo "pager-rollback: attempt $attempt of $attempts in $pause s" >&2
        sleep "$pause"
    done
}

# Print three words: the active version (- for none), the one before, and the next step: go, done (for this incident), other.
# The history is newest first. Corrections of a description are not moves.
state() {
    python3 -c '
import json, os, sys
moves = ("activate", "deactivate", "rollback", "split", "unsplit")
events = [event for event in json.load(sys.stdin)["events"] if event["kind"] in moves]
newest = events[0] if events else {"kind": None, "version": None}
active = newest["version"]
if newest["kind"] == "split":
    before = active  # a rollback ends the split
else:
    before = next((event["version"] for event in events[1:] if event["version"] not in (None, active)), None)
rolled_back = newest["kind"] in ("rollback", "unsplit")
step = "go" if not rolled_back else "done" if newest["reason"] == os.environ["INCIDENT"] else "other"
print(active or "-", before or "-", step)
if rolled_back:
    print(newest["author"], "at", newest["changed_at"] + (": " + newest["reason"] if newest["reason"] else ""))
' <"$work/answer"
}

roll_back() { # NAME [N]
    local name=$1 target=${2:-} active before step author=""
    run history "$name"
    state >"$work/state"
    {
        read -r active before step
        read -r author || true
    } <"$work/state"
    if [ -z "$target" ]; then
        case $step in
            done)
                echo "$name was rolled back already, $active is active: $author"
                return
                ;;
            other) refuse "$name was rolled back already, $active is active: $author; to roll back further, add --to N" ;;
        esac
        [ "$before" != - ] || refuse "no version was active before $name@$active"
        target=$before
    fi
    # Both versions are fixed before the first attempt: a concurrent move makes the rollback fail, not go elsewhere.
    if [ "$active" = - ]; then
        run rollback "$name" --to "$target" --reason "$INCIDENT"
    else
        run rollback "$name" --to "$target" --expect "$active" --reason "$INCIDENT"
    fi
    python3 -c 'import json, sys; print(json.load(sys.stdin)["message"])' <"$work/answer"
}

roll_back_release() { # N
    # promptctl reports a release that is rolled back already as done.
    run release rollback "$1" --reason "$INCIDENT"
    echo "release $1 is rolled back: promptctl release show $1"
}

[ -n "${INCIDENT:-}" ] || usage
export INCIDENT
case $#:${1:-} in
    2:--release) roll_back_release "$2" ;;
    [13]:-* | [13]:) usage ;;
    1:*) roll_back "$1" ;;
    3:*)
        [ "$2" = --to ] || usage
        roll_back "$1" "$3"
        ;;
    *) usage ;;
esac
