#!/usr/bin/env bash
# On main: store what is new in the folder of prompts, and make live what Git says. One transaction; run it as often as
# you like.
#
#   deploy.sh [FOLDER [OPTION...]]                        prompts/ by default; options are those of promptctl sync
#
# Exit codes: 0 done, also when something is held back; 1 invalid folder; 5 refused; 6 unreachable; else as promptctl's.
set -euo pipefail
# A job whose database is not configured fails, whatever CI it runs in: no embedded one is made.
export CI=${CI:-true}

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

# On GitHub a line of this form stands on the page of the run; there, %, CR and LF have to be escaped.
annotate() { # KIND TEXT
    [ "${GITHUB_ACTIONS:-}" = true ] || return 0
    printf '::%s title=promptctl::%s\n' "$1" "${2//[%]/%25}"
}

code=0
promptctl sync "${@:-prompts/}" >"$work/done" 2>"$work/said" || code=$?
# What was done, a line each: kind, prompt, why.
print_text "$work/done"
print_text "$work/said" >&2

if [ "$code" = 0 ]; then
    while IFS=$'\t' read -r kind reference why; do
        [ "$kind" = held ] || continue
        echo "deploy: $reference is held back, $why" >&2
        annotate warning "$reference is held back, $why"
    done <"$work/done"
    exit 0
fi

case $code in
    1) told="the folder is not valid, or it could not be read: nothing was applied" ;;
    5) told="refused, nothing was applied. An edited version is saved under a new number; a run of an older commit, or \
a plan that moves more than a third, is refused; the error above says what to do" ;;
    6) told="the database cannot be reached, or was lost: run this again, what was applied already is left alone" ;;
    8) told="the schema is not the one that this promptctl needs: promptctl db status" ;;
    *) told="promptctl sync ended with exit code $code" ;;
esac
echo "deploy: $told" >&2
annotate error "$told"
exit "$code"
