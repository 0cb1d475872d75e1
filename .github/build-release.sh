#!/usr/bin/env bash
# Build the files of a release: build-release.sh TAG FOLDER. TAG is v and the version. FOLDER must not exist.
#
# Builds the wheel and the source distribution of the checked-out commit twice, in two folders and with other settings, and
# fails if a byte differs. Adds the checksums, and the notes from CHANGELOG.md. make-sbom.sh makes the SBOM.
# Needs what release-requirements.txt installs, and PYTHON (default: python).
set -euo pipefail
tag=$1
mkdir "$2"
output=$(cd "$2" && pwd)
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

fail() {
    echo "error: $1" >&2
    exit 1
}

cd "$root"
version=$("$python" -m hatchling version)
[ "$tag" = "v$version" ] || fail "the tag is $tag, and the version in promptctl/__init__.py is $version"
commit=$(git rev-parse --verify --quiet "refs/tags/$tag^{commit}") || fail "there is no tag $tag"
[ "$commit" = "$(git rev-parse HEAD)" ] || fail "$tag is not the commit that is checked out"

# The section of this version in the changelog, without its title.
awk -v title="## $version" '
    /^## / { inside = ($0 == title || index($0, title " ") == 1); next }
    inside
' CHANGELOG.md >"$output/NOTES.md"
grep -q '[^[:space:]]' "$output/NOTES.md" || fail "CHANGELOG.md has no section for $version"

# Build from the files of the commit, without anything else that the folder has.
build() {
    mkdir "$temporary/$1"
    git archive HEAD | tar -x -C "$temporary/$1"
    (cd "$temporary/$1" && umask "$2" && TZ=$3 LC_ALL=$4 "$python" -m hatchling build -d "$temporary/dist-$1") >/dev/null
}
build one 022 UTC C.UTF-8
build two 077 Asia/Tokyo C
for file in "$temporary/dist-one"/*; do
    cmp "$file" "$temporary/dist-two/${file##*/}" || fail "two builds of ${file##*/} differ"
done
mkdir "$output/dist"
cp "$temporary/dist-one"/* "$output/dist"

(cd "$output" && sha256sum dist/* >SHA256SUMS && cat SHA256SUMS)
