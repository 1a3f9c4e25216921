#!/usr/bin/env bash
# Opens what we wrote with other projects' own readers: LeRobot, tensorflow_datasets, robomimic. An environment of its own (.venv-interop, about 8 GB),
# where ToyShift is on the path and not installed: its dependencies (NumPy 1) and LeRobot's (NumPy 2) exclude each other.
#   PYTHON=...  interpreter to build it from (default: that of .venv)
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${VENV_INTEROP:-.venv-interop}"
py="$venv/bin/python"
stamp="$venv/.toyshift-$(cat requirements-interop.txt .ci/test_interop.sh plugins/*/pyproject.toml plugins/*/*/*.py | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    "$py" -m pip --version >/dev/null 2>&1 || "${PYTHON:-$(readlink -f "${VENV:-.venv}/bin/python")}" -m venv --clear "$venv"
    echo "interop: installing into $venv (several GB the first time)" >&2
    "$py" -m pip install -q -r requirements-interop.txt
    # egl_probe, which robomimic names, does not build; its reader does not need it
    "$py" -m pip install -q --no-deps --no-build-isolation "robomimic==0.3.0"
    # only its model files are read; it is never imported there, and holds NumPy below 2
    "$py" -m pip install -q --no-deps "robosuite==1.5.2"
    # LeRobot finds plugins among installed distributions; built from a copy, so that nothing is left in the checkout
    plugin="$(mktemp -d)" && cp -r plugins/lerobot_env_toyshift "$plugin"
    "$py" -m pip install -q --no-deps "$plugin/lerobot_env_toyshift" && rm -r "$plugin"
    rm -f "$venv"/.toyshift-*
    touch "$stamp"
fi
export PYTHONPATH="$PWD/.typing" TF_CPP_MIN_LOG_LEVEL=3 HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 WANDB_MODE=disabled
"$py" -m pytest tests/interop --import-mode=importlib -p no:cacheprovider -q -rs "$@"
