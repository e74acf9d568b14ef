#!/usr/bin/env bash
# Update every lockfile: hash-pinned requirements files without the address of an index.
# Usage: 3rdparty/python/lock.sh [--upgrade] [other options of `uv pip compile`]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v uv >/dev/null || { echo "lock.sh needs uv: https://docs.astral.sh/uv" >&2; exit 1; }

# lock NAME LOWEST_PYTHON [OPTIONS]: NAME.txt -> NAME.lock.txt, for that Python and all later ones
lock() {
  local name=$1 python=$2
  shift 2
  echo "$name.lock.txt" >&2
  uv pip compile "$name.txt" --output-file "$name.lock.txt" --python-version "$python" --quiet \
    --universal --generate-hashes --custom-compile-command 3rdparty/python/lock.sh "$@"
}

lock pants 3.9 "$@"
lock pex 3.9 "$@"
lock pytest 3.9 "$@"
lock mypy 3.10 "$@"
lock ruff 3.10 "$@"
lock black 3.10 "$@"
lock docs 3.10 "$@"

# The pytest that Pants runs and the one that tests import must be the same (plugin.txt has its own).
lock launcher 3.10 --constraints pytest.lock.txt "$@"
lock import-linter 3.10 --constraints pytest.lock.txt "$@"
lock demo 3.10 --constraints pytest.lock.txt "$@"
lock plugin 3.9 "$@"

# The clients of tests/parity, each in a separate environment.
for client in parity/*.txt; do
  [[ $client == *.lock.txt ]] || lock "${client%.txt}" 3.10 --fork-strategy fewest "$@"
done
