#!/usr/bin/env bash
# answer.sh USER QUESTION: Claude's answer with the active version, by psql and curl.
set -euo pipefail
user=$1 question=$2

sql() { psql -XAtq -v ON_ERROR_STOP=1 "$@" "$DATABASE_URL"; }

# Resolve the version, and build the request with it.
answer=$(
    sql -v user="$user" -v question="$question" <<'SQL'
WITH prompt AS (
    SELECT name, version, epoch, settings, (settings ->> 'request')::json AS request, CASE coalesce(settings ->> 'template', 'braces') WHEN 'braces'
            THEN regexp_replace(content, '\{(\{[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\})\}', '\1', 'g')
            ELSE content END AS content
    FROM promptctl.resolve('default-system-prompt', :'user')
), parts (place, key, value) AS (
    SELECT 1, 'model', to_json(coalesce(settings ->> 'model', 'claude-sonnet-5-5')) FROM prompt
    UNION ALL SELECT 2, 'max_tokens', to_json(coalesce((settings ->> 'max_tokens')::integer, 1024)) FROM prompt
    UNION ALL SELECT 3, 'system', CASE WHEN settings ? 'cache' THEN json_build_array(json_build_object(
            'type', 'text', 'text', content, 'cache_control',
            json_strip_nulls(json_build_object('type', 'ephemeral', 'ttl', nullif(settings ->> 'cache', '5m')))))
        ELSE to_json(content) END FROM prompt
    UNION ALL SELECT 3 + e.place, e.key, e.value
        FROM prompt, json_each(request) WITH ORDINALITY e (key, value, place) WHERE e.key <> 'messages'
    UNION ALL SELECT 1000000, 'messages', (SELECT json_agg(message) FROM (
        SELECT json_array_elements(request -> 'messages') AS message
        UNION ALL SELECT json_build_object('role', 'user', 'content', :'question')) messages) FROM prompt
)
SELECT name, version, epoch, (SELECT json_object_agg(key, value ORDER BY place) FROM parts) FROM prompt;
SQL
)
# The request has several lines.
IFS='|' read -r -d '' name version epoch request <<<"$answer" || true

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
SELECT promptctl.record_use(:'name', :version, :epoch, (r -> 'usage' ->> 'input_tokens')::bigint
                                + coalesce((r -> 'usage' ->> 'cache_read_input_tokens')::bigint, 0)
                                + coalesce((r -> 'usage' ->> 'cache_creation_input_tokens')::bigint, 0),
                            (r -> 'usage' ->> 'output_tokens')::bigint, :seconds * 1000, r ->> 'model', :'user')
FROM (SELECT :'reply'::jsonb) reply (r) \gset
SELECT jsonb_path_query_first(:'reply'::jsonb, '$.content[*] ? (@.type == "text")') ->> 'text';
SQL
)
echo "$name@$version: $text"
