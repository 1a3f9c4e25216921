#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, and runs the tests against it, away from the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
source_root="$PWD"
py="$PWD/${VENV:-.venv}/bin/python"
work="$(mktemp -d "${TMPDIR:-/tmp}/toyshift-wheel.XXXXXX")"
trap 'rm -rf "$work"' EXIT INT TERM

"$py" -m build --wheel --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
wheel="$(echo "$work"/dist/toyshift-*.whl)"
echo "wheel: $(basename "$wheel"), $(du -h "$wheel" | cut -f1)"

"$py" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --upgrade pip || true
# The CPU build stays the CPU build: where pip would bring another one than .venv has, torch comes from the CPU index.
version="$("$py" -c 'import importlib.metadata as m; print(m.version("torch"))')"
plan="$("$work/venv/bin/python" -m pip install -q --dry-run --no-deps --report - -c constraints.txt torch 2>/dev/null || true)"
case "$version,$plan" in
    *+cpu,*whl/cpu*|*+cpu,*torch-*+cpu*|*+cpu,*torch-*%2Bcpu*) ;;
    *+cpu,*) "$work/venv/bin/python" -m pip install -q -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch ;;
esac
"$work/venv/bin/python" -m pip install -q -c constraints.txt "$wheel[test,robosuite,so101]"

# What a robot needs: the wheel without its dependencies, NumPy and onnxruntime.
"$py" -m venv "$work/robot"
"$work/robot/bin/python" -m pip install -q -c constraints.txt numpy onnxruntime
"$work/robot/bin/python" -m pip install -q --no-deps "$wheel"
cp .ci/runtime_alone.py "$work"
(cd "$work" && venv/bin/python runtime_alone.py make "$work/alone" && robot/bin/python runtime_alone.py check "$work/alone")

cp -r tests "$work/tests"
cd "$work"
# No pyproject.toml here, so pytest's options are given by hand.
"$work/venv/bin/pytest" tests --import-mode=importlib --strict-markers -p no:cacheprovider -n auto --dist loadfile --no-loadscope-reorder "$@"
echo "the tests pass against the wheel built from $source_root"
