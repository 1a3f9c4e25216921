"""Which OpenGL library renders offscreen here, found without MuJoCo, which fails unclearly where one is missing."""

from __future__ import annotations

import ctypes.util
import functools
import os
from collections.abc import Callable

from toyshift.core.errors import ConfigError, MissingDependencyError, UnknownNameError

BACKENDS = ("egl", "osmesa")
LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
PACKAGES = {"egl": "libegl1 libgl1 libgles2 libopengl0 libgl1-mesa-dri", "osmesa": "libosmesa6"}
_NO_RENDERING = ("", "glfw", "disable", "disabled", "off", "false", "0")  # MuJoCo's other values; with them it loads
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def gl_backend() -> str:
    """Returns the backend that will be used: MUJOCO_GL if it is set, else the first one whose library is installed.

    Raises:
        ConfigError: MUJOCO_GL names another backend.
        MissingDependencyError: no GL library is installed; the message names the packages.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted and wanted not in BACKENDS:
        raise ConfigError(
            f"MUJOCO_GL={wanted}; ToyShift renders offscreen with one of: {', '.join(BACKENDS)}; "
            f"unset MUJOCO_GL to let it choose"
        )
    for backend in (wanted,) if wanted else BACKENDS:
        if _found(ctypes.util.find_library, LIBRARIES[backend]):
            return backend
    install = f"run `apt-get install -y {PACKAGES[wanted or 'egl']}`"
    if wanted:
        absent = f"MUJOCO_GL={wanted}, but lib{LIBRARIES[wanted]} is not installed"
        raise MissingDependencyError(f"{absent}: {install}, or unset MUJOCO_GL")
    raise MissingDependencyError(f"no library for offscreen rendering was found: {install} (or {PACKAGES['osmesa']})")


@functools.cache
def _found(find: Callable[[str], str | None], library: str) -> bool:
    """Whether a library is installed: asked once, as that starts a program, and every environment asks."""
    return find(library) is not None


def check_mujoco_loads() -> None:
    """Refuses a MUJOCO_GL with which MuJoCo does not load or cannot draw; state-only simulation needs no more.

    Raises:
        UnknownNameError: MUJOCO_GL is a value that MuJoCo does not know.
        ConfigError: it names glfw, which draws on a screen, and there is none.
        MissingDependencyError: the library that it names is not installed.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted in BACKENDS:
        gl_backend()
    elif wanted not in _NO_RENDERING:
        raise UnknownNameError("value of MUJOCO_GL", wanted, BACKENDS)
    elif wanted == "glfw" and not any(map(os.environ.get, _SCREENS)):
        why = f"glfw draws on a screen, and there is none ({' and '.join(_SCREENS)} are not set)"
        raise ConfigError(f"MUJOCO_GL=glfw: {why}. Available: {', '.join(BACKENDS)}; or unset MUJOCO_GL")
