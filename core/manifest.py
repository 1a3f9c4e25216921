"""What a result file says about how it was made: versions, machine, git revision, configuration, seed."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toyshift.core.runs import differences
from toyshift.core.workers import core_count

PACKAGES = (
    "toyshift", "numpy", "mujoco", "robosuite", "gymnasium", "torch", "onnxruntime", "pyarrow", "trimesh", "manifold3d",
    "coacd", "scipy", "pillow",
)
# what libraries are told to leave unused of a CPU
HELD_BACK = (
    "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "GLIBC_TUNABLES", "LP_NATIVE_VECTOR_WIDTH", "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR",
)
VECTOR_FLAG = re.compile(r"(sse|ssse|avx|amx|fma|f16c|bmi|asimd|sve|sme|i8mm|bf16)")  # a CPU's flags begin with
SOURCE = Path(__file__).resolve().parents[1]
DIRTY = "+dirty"  # behind a revision
NO_SOURCE = (":!results", ":!docs", ":!*.md")  # for git: what is measured and told, not what measures


@functools.cache  # reading them takes 50 ms, and every file of rows says them
def package_versions() -> dict[str, str]:
    """Returns the versions of the packages that results depend on; "missing" where one is not installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def git_revision(root: Path = SOURCE) -> str:
    """Returns the git revision of the source tree, with "+dirty" for local changes; "none" for an installed wheel.

    Neither untracked files nor results, figures and texts count: a study writes them, and goes on afterwards.

    Args:
        root: of the source tree.
    """
    if not (root / ".git").exists():
        return "none"

    words = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "-uno", "--", ".", *NO_SOURCE]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none"
    heads = [line for line in done.stdout.splitlines() if line.startswith("# ")]
    commit = next(line for line in heads if line.startswith("# branch.oid ")).split()[-1]
    if commit == "(initial)":
        return "none"
    return commit[:12] + (DIRTY if len(heads) < len(done.stdout.splitlines()) else "")


def _cpu() -> dict[str, str]:
    """Returns what the kernel says of the first processor, by its own words; {} where it does not."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def cpu_name() -> str:
    """Returns the processor's name as the kernel gives it."""
    return _cpu().get("model name") or platform.processor() or platform.machine()


def kernels() -> dict[str, Any]:
    """Returns what decides which of their kernels libraries take, and so the last bits of results.

    Those are the processor's make and instructions (the name of a virtual one tells neither), what libraries are told
    not to use of them, the mathematics of the C library, and the threads among which sums are split.
    """
    cpu = _cpu()
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    threads = os.environ.get("OMP_NUM_THREADS", "").strip()  # "4,2" where they are nested
    make = [cpu[name] for name in ("vendor_id", "cpu family", "model") if name in cpu]
    return {
        "make": " ".join(make) or platform.machine(),
        "instructions": " ".join(sorted(filter(VECTOR_FLAG.match, flags))),
        "held back": {name: os.environ[name] for name in HELD_BACK if name in os.environ},
        "C library": " ".join(platform.libc_ver()),
        "threads": int(threads) if threads.isdecimal() else threads or core_count(),
    }


def other_kind(now: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Returns in what two results' manifests differ of all that decides their bits; nothing: they must be equal.

    Manifests of before kernels were written down do not say: they are of another kind.
    """

    def facts(of: Mapping[str, Any]) -> dict[str, Any]:
        machine = of.get("machine", {})
        drawn = {"gl_renderer": of["gl_renderer"]} if "gl_renderer" in of else {}
        return {"cpu": machine.get("cpu"), **of.get("versions", {}), **drawn, **(machine.get("kernels") or {})}

    unsaid = [name for name, of in (("here", now), ("there", there)) if "kernels" not in of.get("machine", {})]
    if unsaid:
        both = [{k: v for k, v in facts(of).items() if k in facts(now) and k in facts(there)} for of in (now, there)]
        return [f"kernels: not said {' nor '.join(unsaid)}", *differences(*both)]
    return differences(facts(now), facts(there))


def manifest(config: Any = None, seed: int | None = None, **extra: Any) -> dict[str, Any]:
    """Returns the manifest that is written beside every result.

    Args:
        config: JSON-able configuration of the run.
        seed: root seed.
        extra: more facts, e.g. gl_renderer.
    """
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "versions": package_versions() | {"python": platform.python_version()},
        "machine": {
            "cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform(), "kernels": kernels(),
        },
        "git": git_revision(),
        "seed": seed,
        "config": config,
        **extra,
    }
