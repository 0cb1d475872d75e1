#!/usr/bin/env bash
# On main: store the new versions of a folder of prompts, and activate the versions that it names, in one transaction. It
# is safe to run again.
#
#   deploy.sh [FOLDER [OPTION...]]                        FOLDER is prompts/ by default; options of promptctl sync
#
# Exit codes: 0 applied, also with a hold; 1 invalid folder; 5 refused; 6 unreachable; otherwise those of promptctl.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

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

# GitHub shows a line of this form on the page of the run. %, CR and LF must be escaped.
annotate() { # KIND TEXT
    [ "${GITHUB_ACTIONS:-}" = true ] || return 0
    printf '::%s title=promptctl::%s\n' "$1" "${2//[%]/%25}"
}

code=0
promptctl sync "${@:-prompts/}" >"$work/done" 2>"$work/messages" || code=$?
# The changes, one a line: kind, prompt, reason.
print_text "$work/done"
print_text "$work/messages" >&2

if [ "$code" = 0 ]; then
    while IFS=$'\t' read -r kind reference reason; do
        [ "$kind" = held ] || continue
        echo "deploy: $reference is held: $reason" >&2
        annotate warning "$reference is held: $reason"
    done <"$work/done"
    exit 0
fi

case $code in
    1) message="the folder is invalid or cannot be read: nothing was applied" ;;
    5) message="refused, nothing was applied. Give an edited version a new number. An older commit, and a plan that moves more \
than a third of all prompts, are refused. The error above has a hint" ;;
    6) message="the database cannot be reached: run this again; a change that is applied already is not repeated" ;;
    8) message="the schema version does not match this promptctl: promptctl db status" ;;
    *) message="promptctl sync ended with exit code $code" ;;
esac
echo "deploy: $message" >&2
annotate error "$message"
exit "$code"
