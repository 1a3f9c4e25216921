#!/usr/bin/env bash
# Drives other people's robot software: franky on franky-sim, which speaks libfranka's protocol, and ROS 2 messages as rosbags writes them.
# An environment of its own (.venv-robot, about 1 GB), where ToyShift is on the path and not installed: franky wants NumPy 2.
#   PYTHON=...  interpreter to build it from (default: that of .venv)
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${VENV_ROBOT:-.venv-robot}"
py="$venv/bin/python"
stamp="$venv/.toyshift-$(cat requirements-robot.txt | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    "$py" -m pip --version >/dev/null 2>&1 || "${PYTHON:-$(readlink -f "${VENV:-.venv}/bin/python")}" -m venv --clear "$venv"
    echo "robot: installing into $venv (a minute the first time)" >&2
    "$py" -m pip install -q -r requirements-robot.txt
    rm -f "$venv"/.toyshift-*
    touch "$stamp"
fi
export PYTHONPATH="$PWD/.typing"
"$py" -m pytest tests/robot --import-mode=importlib -p no:cacheprovider -q -rs "$@"
