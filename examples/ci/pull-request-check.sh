#!/usr/bin/env bash
# The check of a pull request: what would a sync do? The plan becomes a comment; a plan that would be refused fails.
#
#   pull-request-check.sh [FOLDER]                        prompts/ by default; DATABASE_URL of a viewer is enough
#
# The comment is posted where GITHUB_TOKEN is set, with GITHUB_REPOSITORY and PR_NUMBER; else the plan is printed.
# Exit codes: 0 nothing to do, or a plan; 1 invalid folder, or the comment could not be posted; 5 conflict; else as
# promptctl's.
set -euo pipefail
# A job whose database is not configured fails, whatever CI it runs in: no embedded one is made.
export CI=${CI:-true}

folder=${1:-prompts/}
plan=${PLAN_FILE:-plan.md}
# The first line of the plan; the earlier comment is found by it.
mark='<!-- promptctl sync -->'
# Whose comments may be replaced: anybody can write one that begins with the mark.
export COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]}

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

make_plan() {
    local code=0
    promptctl sync "$folder" --check --format markdown >"$plan" 2>"$work/said" || code=$?
    print_text "$work/said" >&2
    # What a deployment would refuse though it is a plan: more moves than a third of what is live, say.
    [ "${GITHUB_ACTIONS:-}" != true ] || sed -n 's/%/%25/g; s/^warning: /::warning title=promptctl::/p' "$work/said"
    # Without a plan the comment says so: an old plan must not stay there as if it were true.
    [ -s "$plan" ] || no_plan "$code" >"$plan"
    return "$code"
}

no_plan() {
    printf '%s\n### promptctl sync\n\n**There is no plan:** promptctl sync --check ended with exit code %s.\n' \
        "$mark" "$1"
    case $1 in
        # What is wrong with the folder; indented, it is no Markdown. Other errors may name what the log alone may tell.
        1 | 5) printf '\n' && sed 's/^/    /' "$work/said" ;;
        *) printf '\nThe log of this check says why.\n' ;;
    esac
}

post() { # HAS_CHANGES
    local id
    id=$(earlier_comment) || return 1
    python3 -c 'import json, sys; print(json.dumps({"body": sys.stdin.read()}))' <"$plan" >"$work/body.json" || return 1
    if [ -n "$id" ]; then
        api PATCH "issues/comments/$id" "$work/body.json" >/dev/null || return 1
        echo "replaced comment $id"
    elif [ "$1" = yes ]; then
        api POST "issues/$PR_NUMBER/comments" "$work/body.json" >/dev/null || return 1
        echo "posted a comment"
    else
        echo "nothing to do, and no comment that says otherwise"
    fi
}

earlier_comment() {
    local page=1 count id
    while :; do
        api GET "issues/$PR_NUMBER/comments?per_page=100&page=$page" >"$work/page.json" || return 1
        python3 -c '
import json, os, sys
page = json.load(sys.stdin)
ours = [
    comment["id"] for comment in page
    if (comment["user"] or {}).get("login") == os.environ["COMMENT_AUTHOR"]
    and (comment["body"] or "").startswith(sys.argv[1])
]
print(len(page), *ours[:1])' "$mark" <"$work/page.json" >"$work/found" || return 1
        read -r count id <"$work/found"
        if [ -n "$id" ] || [ "$count" -lt 100 ]; then
            echo "$id"
            return
        fi
        page=$((page + 1))
    done
}

api() { # METHOD PATH [BODY]
    # The token goes by a file descriptor: what is on a command line, everybody on the machine can read.
    curl --silent --show-error --fail --max-time 30 --request "$1" \
        --config <(printf 'header = "Authorization: Bearer %s"\n' "$GITHUB_TOKEN") \
        --header 'Accept: application/vnd.github+json' --header 'Content-Type: application/json' \
        ${3:+--data-binary "@$3"} "${GITHUB_API_URL:-https://api.github.com}/repos/$GITHUB_REPOSITORY/$2"
}

code=0
make_plan || code=$?
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$plan" >>"$GITHUB_STEP_SUMMARY"

if [ -z "${GITHUB_TOKEN:-}" ]; then
    print_text "$plan"
else
    : "${GITHUB_REPOSITORY:?}" "${PR_NUMBER:?}"
    has_changes=yes
    [ "$code" != 0 ] || has_changes=no
    if ! post "$has_changes"; then
        echo "error: the plan could not be posted; it is in $plan" >&2
        case $code in 0 | 3) exit 1 ;; esac
    fi
fi

# A plan that does something is what a pull request is for.
[ "$code" != 3 ] || code=0
exit "$code"
