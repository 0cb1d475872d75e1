#!/usr/bin/env bash
# At night, from cron or CI: write the report of all prompts, and keep those of the nights before.
#
#   nightly-report.sh [FOLDER]                            FOLDER is reports/ by default; a viewer's DATABASE_URL is enough
#
# Writes FOLDER/prompts-2026-11-30.html and replaces FOLDER/index.html by it. Reports that are older than KEEP_DAYS (90)
# days are deleted first, but never the newest one. SINCE (30d) is how far back a report goes.
# Exit codes: 0 written; 1 the file cannot be written, and the last report is still there; 6 database unreachable.
set -euo pipefail
# Fail if no database is configured: with CI set, promptctl creates no embedded database.
export CI=${CI:-true}

folder=${1:-reports}
mkdir -p "$folder"
page=$folder/prompts-$(date -u +%F).html
part=$folder/.index.html
trap 'rm -f "$part"' EXIT

# Before the new report is written, because old ones may have filled the disk. Their names are in the order of the days.
reports=(-maxdepth 1 -name 'prompts-????-??-??.html')
newest=$(find "$folder" "${reports[@]}" | LC_ALL=C sort | tail -n 1)
# A report that cannot be deleted does not stop the new one: find says why.
find "$folder" "${reports[@]}" ! -name "${newest##*/}" -mtime "+${KEEP_DAYS:-90}" -delete || true

promptctl report --since "${SINCE:-30d}" --html "$page" --quiet >/dev/null
# Rename, so that a reader finds the old page or the new one.
cp "$page" "$part"
mv "$part" "$folder/index.html"
echo "$page"
