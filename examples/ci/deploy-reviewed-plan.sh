#!/usr/bin/env bash
# On main, in two jobs with an approval between them: one saves the plan, the other applies exactly this plan or nothing.
#
#   deploy-reviewed-plan.sh plan [FOLDER]                 writes PLAN (plan.json) and PLAN_FILE (plan.md, for the reviewer)
#   deploy-reviewed-plan.sh apply                         applies PLAN
#
# A plan without changes is applied, too: the database then stores the folder's state, which a later hold depends on.
# Exit codes: 0 done; 1 invalid folder or plan; 2 usage; 5 refused: a conflict, or the database has changed since the plan
# (plan_outdated): plan again; otherwise those of promptctl.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

saved=${PLAN:-plan.json}
readable=${PLAN_FILE:-plan.md}

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

plan() {
    local code=0
    promptctl sync "${1:-prompts/}" --save-plan "$saved" --format markdown >"$readable" 2>"$work/messages" || code=$?
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$readable" >>"$GITHUB_STEP_SUMMARY"
    print_text "$readable"
    print_text "$work/messages" >&2
    return "$code"
}

apply() {
    local code=0 message
    promptctl sync --apply-plan "$saved" >"$work/done" 2>"$work/messages" || code=$?
    print_text "$work/done"
    print_text "$work/messages" >&2
    if [ "$code" = 5 ]; then
        message="refused, nothing was applied. If the database has changed since the plan, plan again and have the new plan \
reviewed"
        echo "deploy: $message" >&2
        [ "${GITHUB_ACTIONS:-}" != true ] || echo "::error title=promptctl::$message"
    fi
    return "$code"
}

case ${1:-} in
    plan | apply) "$@" ;;
    *)
        echo "usage: deploy-reviewed-plan.sh plan [FOLDER] | apply" >&2
        exit 2
        ;;
esac
