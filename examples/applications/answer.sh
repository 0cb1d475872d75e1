#!/usr/bin/env bash
# answer.sh USER QUESTION: Claude's answer, with the version that is live, by psql and curl.
set -euo pipefail
user=$1 question=$2

sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@" "$DATABASE_URL"; }

# Which version to use now, and the request that is to be sent with it.
answer=$(
    sql -v user="$user" -v question="$question" <<'SQL'
SELECT name, version, epoch, jsonb_build_object(
    'model', 'claude-sonnet-5-5', 'max_tokens', 1024, 'system', content,
    'messages', jsonb_build_array(jsonb_build_object('role', 'user', 'content', :'question')))
FROM promptctl.resolve('default-system-prompt', :'user');
SQL
)
IFS='|' read -r name version epoch request <<<"$answer"

# The key and the texts are given by pipes: whoever lists the processes of this machine sees neither.
outcome=ok
reply=$(
    curl -sS --fail-with-body --max-time 300 -w '\n%{time_total}' \
        -H @<(printf 'x-api-key: %s\n' "$ANTHROPIC_API_KEY") -H 'anthropic-version: 2023-06-01' \
        -H 'content-type: application/json' --data-binary @<(printf '%s' "$request") \
        "${ANTHROPIC_BASE_URL:-https://api.anthropic.com}/v1/messages"
) || outcome="curl $?"
seconds=${reply##*$'\n'} reply=${reply%$'\n'*}

# A call that failed is booked too: it took its time, and the statistics tell how often that happens.
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
