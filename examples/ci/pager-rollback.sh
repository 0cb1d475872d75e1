#!/usr/bin/env bash
# For the pager: take back what went live. Needs the database and promptctl, neither Git nor Claude.
#
#   INCIDENT=INC-412 pager-rollback.sh NAME               to what was live before
#   INCIDENT=INC-412 pager-rollback.sh NAME --to N        to version N
#   INCIDENT=INC-412 pager-rollback.sh --release N        all that release N moved: promptctl release list
#
# INCIDENT stands in the history as the reason. A retry, or a second person, does not go back twice.
# Where the database cannot be reached (6), or somebody holds the prompt (5, locked), it tries again: ATTEMPTS times in
# all (5), PAUSE seconds apart (3).
# Exit codes: 0 it is back, by this run or one before; 2 usage; 4 no such prompt, version or release; 5 refused: moved
# meanwhile, nothing to go back to, or somebody went back for another reason; 6 unreachable; else as promptctl's.
set -euo pipefail
# A job whose database is not configured fails, whatever CI it runs in: no embedded one is made.
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

# Run promptctl with --json; its answer is then in $work/answer. What waiting does not mend is not tried again.
ask() {
    local attempt=1 code
    while :; do
        code=0
        promptctl "$@" --json >"$work/answer" 2>"$work/said" || code=$?
        [ "$code" != 0 ] || return 0
        cat "$work/said" >&2
        [ "$code" = 6 ] || { [ "$code" = 5 ] && grep -q '^{"error": *{"code": *"locked"' "$work/said"; } || exit "$code"
        [ "$attempt" -lt "$attempts" ] || exit "$code"
        attempt=$((attempt + 1))
        echo "pager-rollback: attempt $attempt of $attempts in $pause s" >&2
        sleep "$pause"
    done
}

# Three words: what is live (- for nothing), what was before, and what to do: go, done (for this incident), other.
# In the history, newest first, corrections of a version's description are no moves.
where_it_stands() {
    python3 -c '
import json, os, sys
moves = ("activate", "deactivate", "rollback", "split", "unsplit")
events = [event for event in json.load(sys.stdin)["events"] if event["kind"] in moves]
newest = events[0] if events else {"kind": None, "version": None}
live = newest["version"]
if newest["kind"] == "split":
    before = live  # which ends the split
else:
    before = next((event["version"] for event in events[1:] if event["version"] not in (None, live)), None)
went_back = newest["kind"] in ("rollback", "unsplit")
todo = "go" if not went_back else "done" if newest["reason"] == os.environ["INCIDENT"] else "other"
print(live or "-", before or "-", todo)
if went_back:
    print(newest["author"], "at", newest["changed_at"] + (": " + newest["reason"] if newest["reason"] else ""))
' <"$work/answer"
}

roll_back() { # NAME [N]
    local name=$1 goal=${2:-} live before todo who=""
    ask history "$name"
    where_it_stands >"$work/stands"
    {
        read -r live before todo
        read -r who || true
    } <"$work/stands"
    if [ -z "$goal" ]; then
        case $todo in
            done)
                echo "$name was rolled back already, $live is live: $who"
                return
                ;;
            other) refuse "$name was rolled back already, $live is live: $who; to go further back: --to N" ;;
        esac
        [ "$before" != - ] || refuse "nothing was live before $name@$live"
        goal=$before
    fi
    # Found once and not again at each attempt: whatever happened meanwhile, this goes from here to there, or not.
    if [ "$live" = - ]; then
        ask rollback "$name" --to "$goal" --reason "$INCIDENT"
    else
        ask rollback "$name" --to "$goal" --expect "$live" --reason "$INCIDENT"
    fi
    python3 -c 'import json, sys; print(json.load(sys.stdin)["message"])' <"$work/answer"
}

roll_back_release() { # N
    # Finds by itself what it put back before.
    ask release rollback "$1" --reason "$INCIDENT"
    echo "release $1 is put back: promptctl release show $1"
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
