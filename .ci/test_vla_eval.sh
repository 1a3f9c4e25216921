#!/usr/bin/env bash
# Plays the same starts in vla-eval (Ai2's harness) and in ToyShift. An environment of its own (.venv-vla-eval, 250 MB), which takes
# from .venv what it lacks itself: vla-eval is content with ToyShift's NumPy 1.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted="vla-eval==0.8.0"
venv="${VENV_VLA_EVAL:-.venv-vla-eval}"
ours="${VENV:-.venv}/bin/python"
py="$venv/bin/python"
packages="$("$ours" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
stamp="$venv/.toyshift-$(printf '%s %s' "$wanted" "$packages" | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    "$py" -m pip --version >/dev/null 2>&1 || "${PYTHON:-$(readlink -f "$ours")}" -m venv --clear "$venv"
    echo "interop: installing $wanted into $venv" >&2
    echo "$packages" > "$("$py" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/toyshift.pth"
    "$py" -m pip install -q "$wanted"
    rm -f "$venv"/.toyshift-*
    touch "$stamp"
fi
export PYTHONPATH="$PWD/.typing" WANDB_MODE=disabled
"$py" -m pytest tests/interop/test_vla_eval.py --import-mode=importlib -p no:cacheprovider -q -rs "$@"
