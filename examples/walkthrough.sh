#!/usr/bin/env bash
# Every step from an empty database to a rollback. Run it in a folder that has prompts/. It uses the embedded database, or
# the one in DATABASE_URL, and asks Claude if ANTHROPIC_API_KEY is set: examples/walkthrough.sh
set -euo pipefail

step() {
    printf '\n$ promptctl'
    printf ' %q' "$@"
    printf '\n'
    promptctl "$@"
}

# Ask Claude only if there is a key.
ask() {
    [ -z "${ANTHROPIC_API_KEY:-}" ] || step chat "$@"
}

step sync prompts/
step list
step show default-system-prompt
ask default-system-prompt "What is a pointer?"

# The new text becomes the next version. It is not active yet.
step create default-system-prompt "You are an enthusiastic assistant! Answer with energy, and keep every fact straight." \
    --description "Even more enthusiastic"
new=$(promptctl show default-system-prompt --json | sed -E 's/.*"versions": \[\{"version": ([0-9]+).*/\1/')
step diff default-system-prompt

# Compare it with the active version before you activate it.
ask default-system-prompt "What is a pointer?" --against "default-system-prompt@$new"

# An activation takes effect at once …
step activate "default-system-prompt@$new" --reason "try more energy"
step show default-system-prompt
ask default-system-prompt "What is a pointer?"

# … and so does a rollback.
step rollback default-system-prompt --expect "$new" --reason "too chatty, INC-412"
step show default-system-prompt
ask default-system-prompt "What is a pointer?" --usage
step history default-system-prompt

# Every call was recorded on the version that was sent.
step stats default-system-prompt
step stats default-system-prompt --by day

# The same in plain SQL, which any program can use.
step db shell <<'SQL'
SELECT name, version, is_active, stats->>'total_uses' AS uses, stats->>'avg_tokens' AS avg_tokens,
       stats->>'avg_response_time_ms' AS avg_response_time
FROM prompts WHERE name = 'default-system-prompt' ORDER BY version;
UPDATE prompts SET is_active = true WHERE name = 'default-system-prompt' AND version = 2;
UPDATE prompts SET is_active = true WHERE name = 'code_helper' AND version = 1;
UPDATE prompts SET is_active = false WHERE name = 'code_helper' AND version = 1;
INSERT INTO prompts (name, version, content) VALUES ('greeter', 1, 'Be kind.');
SELECT name, version, epoch FROM resolve('default-system-prompt', 'user-42', '{"plan": "enterprise"}');
SELECT record_use('default-system-prompt', 2, 17, 120, 80, 950) IS NOT NULL AS recorded;
SQL
step stats default-system-prompt
step history
