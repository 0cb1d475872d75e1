#!/usr/bin/env bash
# answer.sh USER QUESTION: Claude's answer with the active version, by psql and curl.
set -euo pipefail
user=$1 question=$2

sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@" "$DATABASE_URL"; }

# Resolve the version, and build the request with it.
answer=$(
    sql -v user="$user" -v question="$question" <<'SQL'
SELECT name, version, epoch, jsonb_build_object(
    'model', 'claude-sonnet-5-5', 'max_tokens', 1024, 'system', content,
    'messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content', :'question')))
FROM promptctl.resolve('default-system-prompt', :'user');
SQL
)
IFS='|' read -r name version epoch request <<<"$answer"

# Pass the key and the texts by pipes, so that they do not appear in the list of processes.
outcome=ok
reply=$(
    curl -sS --fail-with-body --max-time 300 -w '\n%{time_total}' \
        -H @<(printf 'x-api-key: %s\n' "$ANTHROPIC_API_KEY") -H 'anthropic-version: 2023-06-01' \
        -H 'content-type: application/json' --data-binary @<(printf '%s' "$request") \
        "${ANTHROPIC_BASE_URL:-https://api.anthropic.com}/v1/messages"
) || outcome="curl $?"
seconds=${reply##*$'\n'} reply=${reply%$'\n'*}

# Record a failed call too: statistics report its latency and the error rate.
record() { sql -v name="$name" -v version="$version" -v epoch="$epoch" -v user="$user" -v seconds="$seconds" "$@"; }
if [ "$outcome" != ok ]; then
    record -v outcome="$outcome" <<'SQL' >/dev/null
SELECT promptctl.record_use(:'name', :version, :epoch, response_ms => :seconds * 1000, unit => :'user',
                            outcome => :'outcome');
SQL
    printf '%s\n' "$reply" >&2
    exit 1
fi
text=$(
    record -v reply="$reply" <<'SQL'
SELECT promptctl.record_use(:'name', :version, :epoch, (r -> 'usage' ->> 'input_tokens')::bigint,
                            (r -> 'usage' ->> 'output_tokens')::bigint, :seconds * 1000, r ->> 'model', :'user')
FROM (SELECT :'reply'::jsonb) reply (r) \gset
SELECT :'reply'::jsonb -> 'content' -> 0 ->> 'text';
SQL
)
echo "$name@$version: $text"
