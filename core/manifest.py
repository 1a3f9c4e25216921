"""What a result file says about how it was made: versions, machine, git revision, configuration, seed."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "toyshift", "numpy", "mujoco", "robosuite", "gymnasium", "torch", "onnxruntime", "pyarrow", "trimesh", "manifold3d",
    "coacd", "scipy",
)
SOURCE = Path(__file__).resolve().parents[1]
DIRTY = "+dirty"  # behind a revision
NO_SOURCE = (":!results", ":!docs", ":!*.md")  # for git: what is measured and told, not what measures


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

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        changes = git("status", "--porcelain", "-uno", "--", ".", *NO_SOURCE)
        return git("rev-parse", "--short=12", "HEAD") + (DIRTY if changes else "")
    except (OSError, subprocess.SubprocessError):
        return "none"


def cpu_name() -> str:
    """Returns the processor's name as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def manifest(config: Any = None, seed: int | None = None, **extra: Any) -> dict[str, Any]:
    """Returns the manifest that is written beside every result.

    Args:
        config: JSON-able configuration of the run.
        seed: root seed.
        extra: more facts, e.g. gl_renderer.
    """
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "versions": package_versions() | {"python": platform.python_version()},
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform()},
        "git": git_revision(),
        "seed": seed,
        "config": config,
        **extra,
    }
