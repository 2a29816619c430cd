# Shared by the scripts in hack/: where things are, and how a step is run and timed.
# shellcheck shell=bash
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=$(nproc)
export PYTHONDONTWRITEBYTECODE=1
# The distribution's Python: its packages are those that hack/deps installs.
# shellcheck disable=SC2034
PYTHON=/usr/bin/python3

# build PRESET [TARGET...]: configure when needed, then build quietly; the log on failure.
build() {
    local preset=$1 log="$ROOT/build/$1.log"
    shift
    mkdir -p "$ROOT/build"
    if ! (cd "$ROOT" && cmake --preset "$preset" -DMETALLB_WERROR=ON &&
        cmake --build "build/$preset" -j "$JOBS" ${1:+--target "$@"}) >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "build: preset $preset failed, see build/$preset.log" >&2
        return 1
    fi
}

say() {
    printf '\n== %s (%s)\n' "$1" "$(date +%T)"
}
