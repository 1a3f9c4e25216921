"""Measures this machine: the OpenGL renderer that is really obtained, and control steps per second of the environment.

Each measurement runs in a process of its own, so that a driver that crashes takes nothing with it:
python -m toyshift.scripts.measure gl egl
python -m toyshift.scripts.measure imports
python -m toyshift.scripts.measure rates
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from toyshift.core.errors import MissingDependencyError
from toyshift.core.graphics import BACKENDS

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software")
CONTROL_HZ = 20.0  # robosuite's default, so that the figures compare
IMAGE_SIZE = 128  # [pixels]
OBJECTS = "toys:train?n=4"
# In this order: onnxruntime crashes when it is loaded after coacd.
IMPORTED = (
    "numpy", "mujoco", "gymnasium", "torch", "onnxruntime", "pyarrow", "trimesh", "manifold3d", "scipy", "coacd",
)


def steps_per_second(step: Callable[[], object], seconds: float) -> float:
    """Calls `step` for so long [s] and returns how often per second."""
    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        step()
        steps += 1
    return steps / elapsed


class Stepper:
    """A grasp environment under random actions.

    Args:
        images: whether one camera's RGB and mask are rendered at every control step, or nothing is.
        physics_dt: physics step [s].
        seed: fixes the object, its pose and the actions.
    """

    def __init__(self, images: bool, physics_dt: float = 0.002, seed: int = 0) -> None:
        import numpy as np

        from toyshift.envs import EnvConfig, GraspEnv

        cameras = ("front",) if images else ()
        times: dict[str, Any] = {"control_hz": CONTROL_HZ, "physics_dt": physics_dt}
        self._env = GraspEnv(EnvConfig(objects=OBJECTS, cameras=cameras, image_size=IMAGE_SIZE, **times))
        self._env.reset(seed=seed)
        contract, rng = self._env.action_contract, np.random.default_rng(seed)
        drawn = rng.uniform(contract.low, contract.high, size=(256, contract.size))
        self._actions = drawn.astype(np.float32)  # (256, A)
        self._next = 0
        steps_per_second(self.step, 0.2)  # fills caches

    def step(self) -> None:
        """One control step; the episode goes on, so that no reset is timed."""
        self._env.step(self._actions[self._next % len(self._actions)])
        self._next += 1

    def close(self) -> None:
        self._env.close()


def rates(repeats: int = 5, seconds: float = 0.4) -> dict[str, float]:
    """Returns the medians of repeated, interleaved short runs: control steps/s without and with RGB + mask."""
    steppers = {"state_only": Stepper(images=False), f"rgb_mask_{IMAGE_SIZE}": Stepper(images=True)}
    figures: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(repeats):
        for name, stepper in steppers.items():
            figures[name].append(steps_per_second(stepper.step, seconds))
    for stepper in steppers.values():
        stepper.close()
    return {name: round(statistics.median(values), 1) for name, values in figures.items()}


def gl() -> dict[str, str]:
    """Makes an off-screen context with the backend that MUJOCO_GL names, and asks the driver who it is."""
    import mujoco

    context = mujoco.GLContext(IMAGE_SIZE, IMAGE_SIZE)
    context.make_current()
    from OpenGL import GL

    facts = {"renderer": GL.GL_RENDERER, "vendor": GL.GL_VENDOR, "version": GL.GL_VERSION}
    answer = {name: (GL.glGetString(which) or b"").decode() for name, which in facts.items()}
    context.free()
    return answer


def imports() -> dict[str, str]:
    """Imports what results depend on, and returns the packages that are installed but do not load, with the reason."""
    broken = {}
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # a package that is not there at all is reported by its missing version
                broken[name] = str(error)
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            broken[name] = str(error).strip().splitlines()[0]
    return broken


def isolated(*words: str, backend: str = "", timeout: float = 120.0) -> tuple[dict[str, Any] | None, str]:
    """Runs one measurement in its own process.

    Args:
        words: "gl", "imports" or "rates", and a word that only `ps` shows.
        backend: value of MUJOCO_GL there; "" leaves the choice to the program.
        timeout: seconds after which the process is killed.

    Returns:
        The answer, or None and the last line of what went wrong.
    """
    environment = dict(os.environ)
    if backend:
        environment["MUJOCO_GL"] = backend
        environment.pop("PYOPENGL_PLATFORM", None)
    if words[0] == "imports":  # MuJoCo does not load where MUJOCO_GL names a missing library: no fault of its package
        environment.pop("MUJOCO_GL", None)
    environment.setdefault("LP_NUM_THREADS", "1")  # one thread of software rendering, so that figures compare
    command = [sys.executable, "-m", "toyshift.scripts.measure", *words]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {timeout:.0f} s"
    if done.returncode == 0 and done.stdout.strip():
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer, ""
    lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Exception ignored")]
    ended = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return None, lines[-1].strip() if lines else ended


def find_gl() -> tuple[dict[str, Any], list[str]]:
    """Returns {backend, renderer, software, ...} of the first backend that works, and why others did not."""
    preferred = os.environ.get("MUJOCO_GL", "").lower()
    order = [preferred, *BACKENDS] if preferred in BACKENDS else list(BACKENDS)
    reasons: list[str] = []
    for backend in dict.fromkeys(order):
        answer, reason = isolated("gl", backend, backend=backend, timeout=60.0)
        if answer is not None:
            software = any(word in answer["renderer"].lower() for word in SOFTWARE)
            return {"backend": backend, "software": software, **answer}, reasons
        reasons.append(f"{backend}: {reason}")
    return {"backend": None, "renderer": None, "software": None}, reasons


def fixed_gl() -> dict[str, Any]:
    """Has this process and its children render with one thread and the first GL backend that works.

    Figures compare then. Returns the backend's facts.

    Raises:
        MissingDependencyError: no backend works.
    """
    os.environ["LP_NUM_THREADS"] = "1"
    facts, reasons = find_gl()
    if facts["backend"] is None:
        raise MissingDependencyError(f"no OpenGL ({'; '.join(reasons)}); see `toyshift doctor`")
    os.environ["MUJOCO_GL"] = facts["backend"]
    return facts


if __name__ == "__main__":
    MEASUREMENTS: dict[str, Callable[[], Mapping[str, Any]]] = {"gl": gl, "imports": imports, "rates": rates}
    print(json.dumps(MEASUREMENTS[sys.argv[1]]()))
