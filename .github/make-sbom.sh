#!/usr/bin/env bash
# Write the SBOM of a release: make-sbom.sh WHEEL FILE. It lists what an installation of the wheel with all extras has.
#
# Installs packages by their ranges and runs Python with them, so the workflow runs this in a job that cannot change the files
# that it publishes. Only wheels are installed, because a source distribution would run code at its installation.
# Needs what release-requirements.txt installs, and PYTHON (default: python).
set -euo pipefail
wheel=$1
file=$2
python=${PYTHON:-python}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

"$python" -m uv venv -q --python "$python" "$temporary/installed"
"$python" -m uv pip install -q --no-build --python "$temporary/installed/bin/python" "${wheel}[chat,embedded]"
"$python" -m cyclonedx_py environment --output-reproducible --output-format JSON \
    --output-file "$file" "$temporary/installed/bin/python"
