#!/usr/bin/env bash
# Builds the documentation site into site/, in an environment of its own (.venv-docs, 170 MB); warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${VENV_DOCS:-.venv-docs}"
wanted="mkdocs-material==9.8.2 mkdocstrings-python==2.0.11 mkdocstrings==1.0.8 ruff==0.17.6"
stamp="$venv/.toyshift-$(printf '%s' "$wanted" | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-$(readlink -f "${VENV:-.venv}/bin/python")}" -m venv --clear "$venv"
    echo "docs: installing $wanted into $venv" >&2
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install -q $wanted
    rm -f "$venv"/.toyshift-*
    touch "$stamp"
fi
# docstrings are read in .typing, not imported
NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --strict "$@"
echo "docs: site/index.html (with search: python3 -m http.server -d site)" >&2
