#!/usr/bin/env bash
# What action.yml runs: check a folder of prompts, and comment the plan on the pull request, or apply the folder.
#
# The inputs of the action are in COMMAND, FOLDER, DATABASE_URL, OFFLINE, FAIL_ON_CHANGES, COMMENT, COMMENT_AUTHOR and
# GITHUB_TOKEN. GitHub sets GITHUB_EVENT_PATH, GITHUB_REPOSITORY, GITHUB_API_URL, GITHUB_STEP_SUMMARY and GITHUB_OUTPUT.
# Exit codes: 0 done, also for a check that found changes; 1 invalid folder, another error, or the comment could not be
# posted; 2 wrong inputs; otherwise those of promptctl.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=true
# The author of the versions and moves of a sync.
export PROMPTCTL_AUTHOR=${PROMPTCTL_AUTHOR:-${GITHUB_ACTOR:-}}

folder=${FOLDER:-prompts/}
# A path that begins with a hyphen would be an option.
case $folder in -*) folder=./$folder ;; esac
export COMMENT_AUTHOR=${COMMENT_AUTHOR:-github-actions[bot]}
# GitHub refuses a comment with more than 65 536 characters.
export MOST_CHARACTERS=65000
summary=${GITHUB_STEP_SUMMARY:-/dev/null}
output=${GITHUB_OUTPUT:-/dev/null}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# GitHub executes a line that begins with :: in a step's output, and a prompt may have such a line. Between these two
# marks it executes none. The second mark is random, so a prompt cannot contain it.
print_text() { # FILE
    local token
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '::stop-commands::%s\n' "$token"
    cat "$1"
    printf '\n::%s::\n' "$token"
}

# GitHub shows a line of this form on the page of the run. %, CR and LF must be escaped.
annotate() { # KIND TEXT
    local text=${2//[%]/%25}
    text=${text//$'\r'/%0D}
    printf '::%s title=promptctl::%s\n' "$1" "${text//$'\n'/%0A}"
}

# Write the outputs of the action, and end with an exit code.
finish() { # OUTCOME PROMPTCTL_CODE EXIT_CODE
    printf 'outcome=%s\nexit-code=%s\n' "$1" "$2" >>"$output"
    exit "$3"
}

wrong_input() { # TEXT
    annotate error "$1"
    echo "error: $1" >&2
    finish failed 2 2
}

is_true() { # NAME VALUE
    case $2 in
        true) return 0 ;;
        false | "") return 1 ;;
        *) wrong_input "the input $1 must be true or false" ;;
    esac
}

# Read the event: the number of the pull request, the commit before the changes of the event, yes if the pull request comes
# from a fork, and yes if a push replaced commits. A line is empty where the event has nothing of the kind.
read_event() {
    python3 -c '
import json, os
event = {}
if path := os.environ.get("GITHUB_EVENT_PATH"):
    with open(path, encoding="utf-8") as file:
        event = json.load(file)
request = event.get("pull_request") or {}
print(request.get("number", ""))
head = request.get("head") or {}
base = (
    (request.get("base") or {}).get("sha")
    or (event.get("merge_group") or {}).get("base_sha")
    or event.get("before")
    or ""
)
# Before a push that creates a branch or a tag there is no commit: its hash is all zeros.
print(base if base.strip("0") else "")
# The repository of a fork that was deleted is null.
is_fork = request and ((head.get("repo") or {}).get("full_name") != os.environ.get("GITHUB_REPOSITORY"))
print("yes" if is_fork else "")
print("yes" if event.get("forced") else "")' >"$work/event"
    { read -r number && read -r base && read -r fork && read -r forced; } <"$work/event"
}

outcome_of() { # EXIT_CODE ERROR_CODE
    case $1:$2 in
        1:invalid_folder) echo invalid ;;
        5:*) echo refused ;;
        6:*) echo unreachable ;;
        *) echo failed ;;
    esac
}

# The first line of a comment names its folder, so that a pull request can have a plan of each of several folders.
make_mark() {
    python3 -c '
import os, sys, urllib.parse
print("<!-- promptctl sync: %s -->" % urllib.parse.quote(os.path.normpath(sys.argv[1])))' "$folder"
}

# Set `error` to the code of the error for which promptctl ended with 1 or 5, and leave its messages in the file `reasons` if
# it is about the folder. The exit code does not tell: 1 can also be a timeout, 5 a missing privilege, and their messages may
# name what belongs in the log only. So this checks again, for the code in JSON.
find_error() { # EXIT_CODE OPTION...
    case $1 in 1 | 5) shift ;; *) return ;; esac
    promptctl sync "$folder" --check --json "$@" >/dev/null 2>"$work/error.json" || true
    error=$(python3 -c '
import json, sys
error = {}
for line in sys.stdin:
    try:
        error = json.loads(line)["error"]
    except (ValueError, TypeError, KeyError):
        continue
code = error.get("code", "")
print(code)
ours = {"invalid_folder", "conflict", "secret_found", "older_commit", "other_source", "too_many_moves", "new_variables"}
if code in ours:
    lines = [*error.get("others", []), "error: " + error["message"]]
    if error["hint"]:
        lines.append("hint:  " + error["hint"])
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.writelines(line.translate({10: " ", 13: " "}) + "\n" for line in lines)
' "$work/reasons" <"$work/error.json")
}

make_plan() { # OPTION...
    local code=0
    promptctl sync "$folder" --check --format markdown "$@" >"$work/plan" 2>"$work/messages" || code=$?
    print_text "$work/messages" >&2
    # A warning says that sync would refuse the plan, for example one that moves more than a third of all prompts.
    while IFS= read -r line; do
        case $line in "warning: "*) annotate warning "${line#warning: }" ;; esac
    done <"$work/messages"
    {
        printf '%s\n' "$mark"
        # The first line of a plan is its general mark.
        if [ -s "$work/plan" ]; then tail -n +2 "$work/plan"; else no_plan "$code" "$@"; fi
    } >"$work/comment"
    return "$code"
}

no_plan() { # EXIT_CODE OPTION...
    printf '### promptctl sync\n\n**There is no plan:** promptctl sync --check ended with exit code %s.\n' "$1"
    find_error "$@"
    if [ -s "$work/reasons" ]; then
        # Indented, so that it is not Markdown.
        printf '\n' && sed 's/^/    /' "$work/reasons"
    else
        printf '\nSee the log of this check.\n'
    fi
}

# Call the API, and leave the answer in the file `answer`. Prints the status, 000 if there is no answer.
api() { # METHOD PATH [BODY]
    # Pass the token by a file descriptor: everybody on the machine can read command lines.
    curl --silent --show-error --max-time 30 --request "$1" --output "$work/answer" --write-out '%{http_code}' \
        --config <(printf 'header = "Authorization: Bearer %s"\n' "$GITHUB_TOKEN") \
        --header 'Accept: application/vnd.github+json' --header 'Content-Type: application/json' \
        ${3:+--data-binary "@$3"} "${GITHUB_API_URL:-https://api.github.com}/repos/$GITHUB_REPOSITORY/$2" || true
}

# Post the comment, or update the earlier one. Without changes, only update. Returns 1 if GitHub does not accept it.
post() { # EXIT_CODE
    local page=1 count id status
    while :; do
        status=$(api GET "issues/$number/comments?per_page=100&page=$page")
        [ "$status" = 200 ] || break
        python3 -c '
import json, os, sys
page = json.load(sys.stdin)
ours = [
    comment["id"] for comment in page
    if (comment["user"] or {}).get("login") == os.environ["COMMENT_AUTHOR"]
    and (comment["body"] or "").startswith(sys.argv[1])
]
print(len(page), *ours[:1])' "$mark" <"$work/answer" >"$work/comments"
        read -r count id <"$work/comments"
        [ -z "$id" ] && [ "$count" -ge 100 ] || break
        page=$((page + 1))
    done
    if [ "$status" = 200 ]; then
        if [ -z "$id" ] && [ "$1" = 0 ]; then
            echo "no changes, and no earlier comment to update"
            return
        fi
        python3 -c '
import json, os, sys
text, most = sys.stdin.read(), int(os.environ["MOST_CHARACTERS"])
if len(text) > most:
    text = text[:most].rpartition("\n")[0] + "\n\nThe rest is in the summary of the job.\n"
print(json.dumps({"body": text}))' <"$work/comment" >"$work/body.json"
        if [ -n "$id" ]; then
            status=$(api PATCH "issues/comments/$id" "$work/body.json")
        else
            status=$(api POST "issues/$number/comments" "$work/body.json")
        fi
    fi
    case $status in
        200 | 201) echo "the plan is a comment on pull request $number" ;;
        401 | 403 | 404)
            # The token of a fork may only read.
            annotate notice "The token may not comment (status $status): the plan is in the summary of the job."
            if [ -z "$fork" ]; then
                annotate warning "Give the job the permission pull-requests: write, or set the input comment to false."
            fi
            ;;
        *)
            annotate error "The plan could not be posted (status $status). It is in the summary of the job."
            return 1
            ;;
    esac
}

check() {
    local code=0 posted=0 options=()
    if is_true offline "${OFFLINE:-}" || { [ -n "$fork" ] && [ -z "${DATABASE_URL:-}" ]; }; then
        options=(--offline)
        # A clone has no commits that a push replaced. Otherwise a missing commit is an error, for example of a shallow clone.
        if [ -n "$forced" ] && ! git -C "$folder" cat-file -e "$base^{commit}" 2>/dev/null; then base=""; fi
        if [ -n "$base" ]; then
            options+=("--base=$base")
        else
            annotate warning "Versions were compared with HEAD only, because the event names no earlier commit that the clone \
has: a version that a commit edited is not found."
        fi
    elif [ -z "${DATABASE_URL:-}" ]; then
        wrong_input "the input database-url is empty: set the secret, or the input offline to true"
    fi
    make_plan ${options[@]+"${options[@]}"} || code=$?
    cat "$work/comment" >>"$summary"
    if [ -z "$number" ] || ! is_true comment "${COMMENT:-true}" || [ -z "${GITHUB_TOKEN:-}" ]; then
        print_text "$work/comment"
    else
        post "$code" || posted=1
    fi
    case $code in
        0) finish unchanged 0 "$posted" ;;
        # A plan with changes is the purpose of a pull request.
        3) if is_true fail-on-changes "${FAIL_ON_CHANGES:-}"; then finish changes 3 3; else finish changes 3 "$posted"; fi ;;
        *) finish "$(outcome_of "$code" "$error")" "$code" "$code" ;;
    esac
}

apply() {
    local code=0 outcome=applied
    [ -n "${DATABASE_URL:-}" ] || wrong_input "the input database-url is empty: set the secret"
    # The changes, one a line: kind, prompt, reason.
    promptctl sync "$folder" >"$work/changes" 2>"$work/messages" || code=$?
    print_text "$work/changes"
    print_text "$work/messages" >&2
    {
        printf '### promptctl sync\n\n'
        # Indented, so that it is not Markdown.
        sed 's/^/    /' "$work/changes" "$work/messages"
        printf '\n'
    } >>"$summary"
    [ -n "$(grep -Ev '^(held|stored|note)	' "$work/changes" || true)" ] || outcome=unchanged
    if [ "$code" != 0 ]; then
        annotate error "$(grep -m 1 '^error: ' "$work/messages" || echo "promptctl sync ended with exit code $code")"
        find_error "$code"
        finish "$(outcome_of "$code" "$error")" "$code" "$code"
    fi
    while IFS=$'\t' read -r kind reference reason; do
        [ "$kind" != held ] || annotate warning "$reference is held: $reason"
    done <"$work/changes"
    finish "$outcome" 0 0
}

number="" base="" fork="" forced="" error=""
read_event
mark=$(make_mark)
case ${COMMAND:-check} in
    check) check ;;
    sync) apply ;;
    *) wrong_input "the input command must be check, sync or install" ;;
esac
