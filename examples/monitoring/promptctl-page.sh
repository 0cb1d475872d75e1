#!/usr/bin/env bash
# Write the statistics of the database for the textfile collector of node_exporter. Run this every minute:
#
#   * * * * * promptctl-page.sh /var/lib/node_exporter
#
# DATABASE_URL names the database; the access `viewer` is enough. After a failure the old page stays, and the alert
# PromptctlPageStale fires.
set -euo pipefail

folder=${1:?usage: promptctl-page.sh FOLDER}
# The collector reads only names that end with .prom, and a rename is atomic: it never reads half a page.
page=$(mktemp "$folder/promptctl.prom.XXXXXX")
trap 'rm -f "$page"' EXIT
promptctl stats --format prometheus >"$page"
chmod 644 "$page"
mv "$page" "$folder/promptctl.prom"
