#!/usr/bin/env bash
# From an empty database to a rollback, and what Claude says on the way. Run it in a folder that holds prompts/, on the
# embedded database or on the one that DATABASE_URL names, with Claude where ANTHROPIC_API_KEY is set: examples/walkthrough.sh
set -euo pipefail

step() {
    printf '\n$ promptctl'
    printf ' %q' "$@"
    printf '\n'
    promptctl "$@"
}

# Claude is asked where there is a key to ask it with.
ask() {
    [ -z "${ANTHROPIC_API_KEY:-}" ] || step chat "$@"
}

step sync prompts/
step list
step show default-system-prompt
ask default-system-prompt "What is a pointer?"

# An enthusiastic text becomes the next version; nobody is served it yet.
step create default-system-prompt "You are an enthusiastic assistant! Answer with energy, and keep every fact straight." \
    --description "Even more enthusiastic"
new=$(promptctl show default-system-prompt --json | sed -E 's/.*"versions": \[\{"version": ([0-9]+).*/\1/')
step diff default-system-prompt

# Before anybody is served it, it is tried beside the one that is live.
ask default-system-prompt "What is a pointer?" --against "default-system-prompt@$new"

# Moving the pointer takes effect at once …
step activate "default-system-prompt@$new" --reason "try more energy"
step show default-system-prompt
ask default-system-prompt "What is a pointer?"

# … and so does taking it back.
step rollback default-system-prompt --expect "$new" --reason "too chatty, INC-412"
step show default-system-prompt
ask default-system-prompt "What is a pointer?" --usage
step history default-system-prompt

# Every call was booked on the version that was sent.
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
