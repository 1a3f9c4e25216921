"""Says what this machine has, how fast it is, and what is missing.

toyshift doctor                                  a page to read
toyshift doctor --json                           the same for programs
"""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from toyshift.core.errors import ToyShiftError
from toyshift.core.extras import EXTRAS, ROBOSUITE_REMEDY
from toyshift.core.files import cache_dir
from toyshift.core.graphics import PACKAGES, gl_backend
from toyshift.core.manifest import cpu_name, package_versions
from toyshift.core.workers import core_count
from toyshift.scripts.measure import IMAGE_SIZE, find_gl, isolated
from toyshift.scripts.options import Common

LITTLE_MEMORY_GB = 4.0
LITTLE_DISK_GB = 5.0
BUSY = 0.5  # load average for each core, beyond which speeds say little


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift doctor`."""

    quick: bool = False
    """Skip the timed part."""


def memory_gb() -> float:
    """Returns the memory of this machine, or what a container may use of it [GB]."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return round(total / 1e9, 1)


def load() -> float:
    """Returns the machine's load average of the last minute: how many processes wanted a core, whoever's they are."""
    return round(os.getloadavg()[0], 1)


def gpus() -> list[str]:
    """Returns the names of NVIDIA GPUs, [] where there is none."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def cuda_works() -> bool:
    """Returns whether torch can use a GPU here."""
    import torch

    return torch.cuda.is_available()


def main(cfg: Config) -> dict[str, Any]:
    """Says what this machine has, how fast it is, what is missing and what to do about it.

    Exit code 1 when something is missing without which ToyShift does not work.
    Example: toyshift doctor --json
    """
    problems: list[str] = []
    average = load()  # before this command adds to it
    versions = package_versions() | {"python": platform.python_version()}
    missing = sorted(name for name, version in versions.items() if version == "missing")
    extras = {name: extra.missing() for name, extra in EXTRAS.items()}
    optional = {name for extra in EXTRAS.values() for name in extra.modules} - {"robosuite"}  # its models are needed
    missing = [name for name in missing if name not in optional]
    remedies = {"robosuite": ROBOSUITE_REMEDY}
    problems += [f"the package {name} is missing: {remedies.get(name, f'pip install {name}')}" for name in missing]
    broken, reason = isolated("imports")
    if broken is None:
        broken = {"one of the packages": reason}
    for name, why in broken.items():
        remedy = f"pip install --force-reinstall {name}=={versions.get(name, '...')}"
        problems.append(f"{name} is installed but does not load ({why}): {remedy}")

    memory = memory_gb()
    cpu = {"name": cpu_name(), "cores": core_count(), "memory_gb": memory, "load": average}
    if average > BUSY * (cores := os.cpu_count() or 1):
        what = f"load average {average} on {cores} cores"
        problems.append(f"the machine is busy ({what}), so speeds are below what it can do: run this when it is idle")
    if memory < LITTLE_MEMORY_GB:
        problems.append(f"little memory ({memory} GB): collect with --workers 1")
    free = shutil.disk_usage(cache_dir()).free / 1e9
    if free < LITTLE_DISK_GB:
        remedy = "free some, or set TOYSHIFT_CACHE to another folder"
        problems.append(f"little disk space ({free:.1f} GB) in {cache_dir()}: {remedy}")
    names = gpus()
    cuda = bool(names) and "torch" not in {*missing, *broken} and cuda_works()
    if names and not cuda:
        remedy = "pip install --force-reinstall torch (the CPU build has +cpu in its version)"
        problems.append(f"there is a GPU, but this torch cannot use it: {remedy}")

    gl, reasons = find_gl()
    refused = ""
    if os.environ.get("MUJOCO_GL"):
        try:
            gl_backend()
        except ToyShiftError as error:
            refused = str(error)
            problems.append(refused)
    if gl["backend"] is None:
        remedy = f"apt install {PACKAGES['egl']} (or {PACKAGES['osmesa']})"
        problems.append(f"no OpenGL for rendering ({'; '.join(reasons)}): {remedy}")
    elif gl["software"]:
        libraries = "NVIDIA's GL libraries (libnvidia-gl; in a container NVIDIA_DRIVER_CAPABILITIES=all)"
        remedy = f"install {libraries}" if names else "works, but a GPU renders faster"
        problems.append(f"software rendering ({gl['renderer']}): {remedy}")

    speed: dict[str, float] | None = None
    if gl["backend"] and not missing and not cfg.quick:
        speed, reason = isolated("rates", backend=gl["backend"], timeout=300.0)
        if speed is None:
            problems.append(f"the environment does not run: {reason}")
    ok = not missing and not broken and not refused and gl["backend"] is not None and (speed is not None or cfg.quick)

    print("versions   " + "  ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"processor  {cpu['name']}, {cpu['cores']} cores, {memory} GB")
    print("GPU        " + (", ".join(names) + ("" if cuda else " (torch cannot use it)") if names else "none found"))
    renderer = f": {gl['renderer']}{' (software)' if gl['software'] else ''}" if gl["backend"] else ""
    print(f"OpenGL     {gl['backend'] or 'none'}{renderer}")
    if speed:
        conditions = "20 Hz control, 2 ms physics, one process, LP_NUM_THREADS=" + os.environ.get("LP_NUM_THREADS", "1")
        images = f"{speed[f'rgb_mask_{IMAGE_SIZE}']:.0f} with RGB + mask {IMAGE_SIZE}x{IMAGE_SIZE}"
        print(f"speed      {speed['state_only']:.0f} control steps/s without images, {images} ({conditions})")
    for name, lacks in extras.items():
        there = f"no: {', '.join(lacks)} missing" if lacks else "yes"
        print(f"extra      {name:<12} {EXTRAS[name].brings} ({there})")
    if any(extras.values()):
        print('           what is missing: pip install "toyshift[NAME]"')
    print("\n".join(f"to do      {problem}" for problem in problems) or "nothing is missing")
    found = {"ok": ok, "versions": versions, "gl": gl, "cpu": cpu, "gpu": {"names": names, "cuda": cuda}}
    return {**found, "control_steps_per_s": speed, "extras": extras, "problems": problems}
