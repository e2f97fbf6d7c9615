#!/bin/sh
# Checks that generated files are what their sources give: copies the sources
# of this working tree into a temporary folder, generates there from nothing,
# and compares. A file that nothing generates any more is found too, and one
# that is missing. The working tree stays as it is.
#
# usage: sh internal/tools/verify.sh [MAKE]
set -eu

make=${1:-make}
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# generated TREE lists its generated files.
generated() {
	(cd "$1" && find graph internal plugins store -type f \( -name '*.pb.go' -o -name '*.binpb' -o -path 'graph/generated/*' \) | LC_ALL=C sort)
}

# What git has and what `git add .` would give it.
git ls-files --cached --others --exclude-standard -- \
	'*.go' '*.mod' '*.sum' '*.proto' '*.graphqls' gqlgen.yml Makefile >"$tmp/sources"
while IFS= read -r f; do
	test -f "$f" || continue # deleted, but not committed yet
	mkdir -p "$(dirname "$tmp/tree/$f")"
	cp "$f" "$tmp/tree/$f"
done <"$tmp/sources"

generated . >"$tmp/here"
(cd "$tmp/tree" && xargs rm -f <"$tmp/here")
if ! (cd "$tmp/tree" && "$make" --no-print-directory generate) >"$tmp/log" 2>&1; then
	cat "$tmp/log"
	echo "verify: make generate fails"
	exit 1
fi
generated "$tmp/tree" >"$tmp/there"

mkdir "$tmp/old" "$tmp/new"
while IFS= read -r f; do
	mkdir -p "$(dirname "$tmp/old/$f")"
	cp "$f" "$tmp/old/$f"
done <"$tmp/here"
while IFS= read -r f; do
	mkdir -p "$(dirname "$tmp/new/$f")"
	cp "$tmp/tree/$f" "$tmp/new/$f"
done <"$tmp/there"
if ! (cd "$tmp" && git diff --no-index --no-color --exit-code old new) >"$tmp/diff"; then
	head -n 60 "$tmp/diff"
	echo "verify: generated files are not what their sources give; run make generate"
	exit 1
fi

# What a clean clone would miss.
missing=$(xargs git ls-files --others -- <"$tmp/here")
if test -n "$missing"; then
	echo "$missing"
	echo "verify: git does not know these generated files; add them"
	exit 1
fi
echo "verify: $(grep -c . "$tmp/here") generated files are current"
