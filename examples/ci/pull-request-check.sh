#!/usr/bin/env bash
# Check a pull request: post the plan of a sync as a comment, and fail if the plan would be refused.
#
#   pull-request-check.sh [FOLDER]                        FOLDER is prompts/ by default; a viewer's DATABASE_URL is enough
#
# With GITHUB_TOKEN, GITHUB_REPOSITORY and PR_NUMBER the plan is posted; without GITHUB_TOKEN it is printed.
# Exit codes: 0 no changes, or a plan; 1 invalid folder, another error, or the comment could not be posted; 5 conflict;
# otherwise those of promptctl.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

folder=${1:-prompts/}
plan=${PLAN_FILE:-plan.md}
# The first line of the plan, which identifies the earlier comment.
mark='<!-- promptctl sync -->'
# The author whose comment is replaced: anybody can write a comment that begins with the mark.
export COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]}

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

make_plan() {
    local code=0
    promptctl sync "$folder" --check --format markdown >"$plan" 2>"$work/messages" || code=$?
    print_text "$work/messages" >&2
    # Show warnings for a plan that a deployment would refuse, for example one that moves more than a third of all prompts.
    [ "${GITHUB_ACTIONS:-}" != true ] || sed -n 's/%/%25/g; s/^warning: /::warning title=promptctl::/p' "$work/messages"
    # Without a plan, replace the comment as well: an outdated plan must not stay.
    [ -s "$plan" ] || no_plan "$code" >"$plan"
    return "$code"
}

no_plan() {
    printf '%s\n### promptctl sync\n\n**There is no plan:** promptctl sync --check ended with exit code %s.\n' \
        "$mark" "$1"
    promptctl sync "$folder" --check --json >/dev/null 2>"$work/error.json" || true
    # Errors of the folder, indented so that they are not Markdown. Other errors may name what belongs in the log only.
    python3 -c '
import json, sys
ours = ("invalid_folder", "conflict", "secret_found", "older_commit", "other_source", "too_many_moves", "new_variables")
lines = []
for line in sys.stdin:
    try:
        error = json.loads(line)["error"]
    except (ValueError, TypeError, KeyError):
        continue
    if error["code"] in ours:
        lines = [*error.get("others", []), "error: " + error["message"]]
        lines += ["hint:  " + error["hint"]] if error["hint"] else []
print()
for line in lines:
    print("    " + line.translate({10: " ", 13: " "}))
if not lines:
    print("See the log of this check.")' <"$work/error.json"
}

post() { # HAS_CHANGES
    local id
    id=$(earlier_comment) || return 1
    python3 -c 'import json, sys; print(json.dumps({"body": sys.stdin.read()}))' <"$plan" >"$work/body.json" || return 1
    if [ -n "$id" ]; then
        api PATCH "issues/comments/$id" "$work/body.json" >/dev/null || return 1
        echo "updated comment $id"
    elif [ "$1" = yes ]; then
        api POST "issues/$PR_NUMBER/comments" "$work/body.json" >/dev/null || return 1
        echo "posted a comment"
    else
        echo "no changes, and no earlier comment to update"
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
print(len(page), *ours[:1])' "$mark" <"$work/page.json" >"$work/comments" || return 1
        read -r count id <"$work/comments"
        if [ -n "$id" ] || [ "$count" -lt 100 ]; then
            echo "$id"
            return
        fi
        page=$((page + 1))
    done
}

api() { # METHOD PATH [BODY]
    # Pass the token by a file descriptor: everybody on the machine can read command lines.
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

# A plan with changes is the purpose of a pull request.
[ "$code" != 3 ] || code=0
exit "$code"
