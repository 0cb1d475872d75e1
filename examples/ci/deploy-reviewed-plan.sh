#!/usr/bin/env bash
# On main, in two jobs with a person between them: one saves the plan, the other applies exactly that, or nothing.
#
#   deploy-reviewed-plan.sh plan [FOLDER]                 writes PLAN (plan.json) and PLAN_FILE (plan.md, to read)
#   deploy-reviewed-plan.sh apply                         applies PLAN
#
# A plan without changes is applied, too: the database then remembers what Git says, and can hold what is moved later.
# Exit codes: 0 done; 1 invalid folder or plan; 2 usage; 5 refused: a conflict, or the database is not as it was when
# the plan was made (plan_outdated): plan again; else as promptctl's.
set -euo pipefail
# A job whose database is not configured fails, whatever CI it runs in: no embedded one is made.
export CI=${CI:-true}

saved=${PLAN:-plan.json}
readable=${PLAN_FILE:-plan.md}

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

plan() {
    local code=0
    promptctl sync "${1:-prompts/}" --save-plan "$saved" --format markdown >"$readable" 2>"$work/said" || code=$?
    [ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$readable" >>"$GITHUB_STEP_SUMMARY"
    print_text "$readable"
    print_text "$work/said" >&2
    return "$code"
}

apply() {
    local code=0 told
    promptctl sync --apply-plan "$saved" >"$work/done" 2>"$work/said" || code=$?
    print_text "$work/done"
    print_text "$work/said" >&2
    if [ "$code" = 5 ]; then
        told="refused, nothing was applied. If something is not as it was when the plan was made, plan again and have \
that reviewed"
        echo "deploy: $told" >&2
        [ "${GITHUB_ACTIONS:-}" != true ] || echo "::error title=promptctl::$told"
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
