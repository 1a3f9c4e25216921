#!/usr/bin/env bash
# Makes .venv ready for `make demo` and `make test`; does nothing when it already is.
#   PYTHON=...  interpreter to build .venv from (default: python3.11, else a python3 of version 3.11 or 3.12)
#   TORCH=cpu   takes torch from PyTorch's CPU index instead of PyPI's CUDA build
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${VENV:-.venv}"
cpu_index="https://download.pytorch.org/whl/cpu"

# One stamp per content of what is installed: the second time there is nothing to do.
stamp="$venv/.toyshift-$( { cat pyproject.toml constraints.txt .ci/setup.sh; pwd -P; } | sha256sum | cut -c1-16)"
[ -f "$stamp" ] && exit 0

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
say "what is missing is installed now; from nothing that takes 5 to 20 minutes, most of it downloads, and gives a"
say "$venv of 3 GB (robosuite's models 0.5, torch 0.7; with torch's CUDA build 9 GB); the second time it takes no time"

# --- system packages: installed through apt when missing and allowed, otherwise named -------------------------------
root=(false)
if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then root=(env); elif sudo -n true 2>/dev/null; then root=(sudo -n env); fi
fi
apt_updated=
apt_install() {  # succeeds only when every package is installed
    [ "${root[0]}" = false ] && return 1
    say "installing $* with apt (a minute or two)"
    [ -n "$apt_updated" ] || "${root[@]}" apt-get update -qq >&2 || return 1
    apt_updated=yes
    "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# --- the interpreter ------------------------------------------------------------------------------------------------
# NumPy 1 (the requirement of robosuite's Python, an extra that the tests want) has wheels up to Python 3.12.
suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; }
python=
for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12; do
    if command -v "$candidate" >/dev/null && suits "$candidate"; then python="$candidate"; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or 3.12 is needed (Debian 12: apt install python3 python3-venv python3-dev), or name one: make setup PYTHON=/path/to/python3.11"
version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        apt_install "python$version-venv" || fail "Python's venv module is missing: apt install python$version-venv (or python3-venv)"
    fi
    say "making $venv (seconds) with $python ($version)"
    "$python" -m venv --clear "$venv"
fi
py="$venv/bin/python"
suits "$py" || fail "$venv was made by a Python that does not suit (3.11 or 3.12 does): remove $venv and run this again"

# --- what one dependency compiles against ---------------------------------------------------------------------------
if ! "$py" -c 'import importlib.metadata as m; m.version("evdev")' 2>/dev/null; then
    missing=()
    if ! command -v cc >/dev/null || ! command -v gcc >/dev/null; then missing+=(gcc libc6-dev); fi
    [ -f /usr/include/linux/input.h ] || missing+=(linux-libc-dev)
    [ -f "$("$py" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h" ] || missing+=("python$version-dev")
    if [ "${#missing[@]}" -gt 0 ]; then
        apt_install "${missing[@]}" || fail "a C compiler and headers are needed (robosuite -> pynput -> evdev is compiled): apt install ${missing[*]}"
    fi
fi

# --- OpenGL without a screen: EGL, or OSMesa ------------------------------------------------------------------------
has_gl() {
    "$py" - <<'PYTHON'
import ctypes, sys
def loads(*names):
    for name in names:
        try:
            ctypes.CDLL(name)
            return True
        except OSError:
            pass
    return False
sys.exit(not ((loads("libEGL.so.1") and loads("libOpenGL.so.0", "libGL.so.1")) or loads("libOSMesa.so.8", "libOSMesa.so.6")))
PYTHON
}
gl_packages=(libegl1 libgl1 libgles2 libopengl0 libgl1-mesa-dri)
gl_warning=
if ! has_gl && ! apt_install "${gl_packages[@]}"; then
    gl_warning="no OpenGL library for rendering without a screen: apt install ${gl_packages[*]} (or libosmesa6); \`toyshift doctor\` tells when it works"
    say "$gl_warning"
fi

# robosuite's own environments (make bench) show pictures through OpenCV, which needs GLib; nothing else does.
"$py" -c 'import ctypes; ctypes.CDLL("libgthread-2.0.so.0")' 2>/dev/null || apt_install libglib2.0-0 || say "for make bench only: apt install libglib2.0-0"

# --- Python packages ------------------------------------------------------------------------------------------------
"$py" -m pip install -q --upgrade pip || say "pip could not be upgraded; going on with $("$py" -m pip --version | cut -d' ' -f2)"
# pip asks an index that cannot be reached five times for every package: minutes.
cpu_builds=()
use_cpu_index() {
    if "$py" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1] + "/torch/", timeout=10)' "$cpu_index" 2>/dev/null; then
        cpu_builds=(--extra-index-url "$cpu_index")
    else
        say "$cpu_index cannot be reached: taking the torch that pip finds elsewhere"
    fi
}
if ! "$py" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then
    say "1 of 2: installing torch (minutes: the largest download)"
    if [ "${TORCH:-}" = cpu ]; then
        # As an extra index: 2.x+cpu counts as later than PyPI's 2.x, and torch's own dependencies still come from PyPI.
        use_cpu_index
        "$py" -m pip install --no-compile -c constraints.txt "${cpu_builds[@]}" torch
    else
        plan="$("$py" -m pip install -q --dry-run --no-deps --report - -c constraints.txt torch 2>/dev/null || true)"
        case "$plan" in
            *whl/cpu*|*+cpu*|*%2Bcpu*|"") ;;
            *) [ "$(uname -m)" != x86_64 ] || say "torch comes with CUDA here: about 3 GB to download, 7 GB installed. Without a GPU stop this (Ctrl-C) and run: make setup TORCH=cpu   (the same as: $py -m pip install torch --index-url $cpu_index)" ;;
        esac
    fi
fi
# torchvision (timm needs it) must be of torch's kind: a CUDA build does not load beside a CPU torch.
if [ -z "$("$py" -c 'import importlib.metadata as m; print(*[d.name for d in m.distributions() if d.name == "torchvision"])')" ]; then
    case "$("$py" -c 'import importlib.metadata as m; print(m.version("torch"))')" in
        *+cpu)
            [ "${#cpu_builds[@]}" -gt 0 ] || use_cpu_index
            "$py" -m pip install -q --no-compile -c constraints.txt "${cpu_builds[@]}" torchvision ;;
    esac
fi
say "2 of 2: installing the other Python packages (minutes the first time; evdev is compiled)"
# what is never imported need not be compiled: 18,000 files
"$py" -m pip install --no-compile -c constraints.txt -e ".[dev]"

rm -f "$venv"/.toyshift-*
touch "$stamp"
say "ready: $venv"
[ -z "$gl_warning" ] || say "$gl_warning"
