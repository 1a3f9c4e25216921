"""MuJoCo's viewer on an environment, where there is a display."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.envs.scene.scene import Scene
from toyshift.envs.scene.spec import VISIBLE

CLOSING = 10.0  # how long a window may take to close [s]


def has_display() -> bool:
    """Whether a window can be opened here."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display() -> None:
    """Raises ConfigError where no window can be opened."""
    if not has_display():
        raise ConfigError(
            'render mode "human" opens a window, and there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is '
            'set): use render_mode="rgb_array" for pictures, or `toyshift envs play --out play.mp4` for a video'
        )


class Viewer:
    """A window on the present scene of an environment; it opens with the first `show`, and again for another model.

    Args:
        on_key: called with GLFW's code of every key that is pressed, on the viewer's thread.
    """

    def __init__(self, on_key: Callable[[int], None] | None = None) -> None:
        check_display()
        self._on_key = on_key
        self._window: Any = None
        self._model: Any = None
        self._threads: set[threading.Thread] = set()

    def show(self, scene: Scene) -> None:
        """Draws a scene as it is now."""
        import mujoco.viewer

        if self._model is not scene.model:
            self.close()
            before = set(threading.enumerate())
            plain = {"key_callback": self._on_key, "show_left_ui": False, "show_right_ui": False}
            self._window = mujoco.viewer.launch_passive(scene.model, scene.data, **plain)
            self._threads = set(threading.enumerate()) - before  # MuJoCo draws on a thread that it does not hand out
            atexit.register(self.close)  # after MuJoCo's own handler, which ends GLFW, so that it runs before
            self._window.opt.geomgroup[:] = 0  # not the shapes that only collide
            self._window.opt.geomgroup[VISIBLE] = 1
            self._window.opt.sitegroup[:] = 0
            self._window.cam.lookat[:], self._window.cam.distance = (0.45, 0.0, 0.2), 1.6
            self._window.cam.azimuth, self._window.cam.elevation = 150.0, -25.0
            self._model = scene.model
        self._window.sync()

    @property
    def open(self) -> bool:
        """Whether the window is there; the person may have closed it."""
        return self._window is not None and bool(self._window.is_running())

    def close(self) -> None:
        """Closes the window; may be called twice."""
        if self._window is not None:
            atexit.unregister(self.close)
            self._window.close()
            for thread in self._threads:  # a thread that still draws when GLFW ends takes the process with it
                thread.join(timeout=CLOSING)
        self._window = self._model = None
