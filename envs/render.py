"""Offscreen rendering: one scene update gives colour and mask; GL is created lazily, EGL first, then OSMesa."""

from __future__ import annotations

import atexit
import functools
import os
import weakref
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.graphics import BACKENDS, PACKAGES, gl_backend
from toyshift.envs.scene import VISIBLE, Scene

__all__ = ["BACKENDS", "Renderer", "gl_backend", "make_gl_context"]


def make_gl_context(width: int, height: int) -> Any:
    """Makes an offscreen GL context; it belongs to the thread that makes it current."""
    backend = gl_backend()
    os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        else:
            from mujoco.osmesa import GLContext
        context = GLContext(width, height)
        context.make_current()
    except (ImportError, AttributeError, RuntimeError) as error:
        raise MissingDependencyError(f"GL backend {backend!r} failed ({error}): run `apt-get install -y {PACKAGES[backend]}`, or set MUJOCO_GL to another of {', '.join(BACKENDS)}") from error
    return context


@functools.cache
def gl_renderer_name() -> str:
    """Returns the GL renderer that this machine gives, e.g. "llvmpipe (LLVM 19, 256 bits)", for manifests."""
    context = make_gl_context(16, 16)
    from OpenGL import GL  # after the context: PyOpenGL fixes its platform when it is imported

    name = GL.glGetString(GL.GL_RENDERER)
    context.free()
    return name.decode() if isinstance(name, bytes) else str(name)


class Renderer:
    """Renders a scene's cameras: colour and mask from one scene update.

    Args:
        scene: what to render.
        quality: "fast" (no shadows, reflections or multisampling) or "high".
        size: largest image side [pixels].
    """

    def __init__(self, scene: Scene, quality: str = "fast", size: int = 128) -> None:
        model = scene.model
        high = quality == "high"
        model.vis.quality.shadowsize = 2048 if high else 0
        model.vis.quality.offsamples = 4 if high else 0
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._scene, self._model, self._size = scene, model, size
        self._gl = make_gl_context(size, size)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._view = mujoco.MjvScene(model, maxgeom=model.ngeom + 16)
        self._view.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = high
        self._view.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._view.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = False
        self._view.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[VISIBLE] = 1
        self._option.sitegroup[:] = 0
        self._option.flags[:] = 0
        self._option.flags[mujoco.mjtVisFlag.mjVIS_TEXTURE] = 1
        self._option.flags[mujoco.mjtVisFlag.mjVIS_STATIC] = 1
        self._perturb = mujoco.MjvPerturb()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._labels = np.zeros(0, np.uint8)
        self._labels_of = ""
        _close_all_at_exit(self)

    def render(self, camera: str, size: int, mask: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Returns the image (size, size, 3) uint8 of a camera and its mask (size, size) uint8 (or None)."""
        if size > self._size:
            raise ConfigError(f"image of {size} pixels asked of a renderer made for {self._size}")
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        view, context = self._view, self._context
        mujoco.mjv_updateScene(self._model, self._scene.data, self._option, self._perturb, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, view)
        viewport = mujoco.MjrRect(0, 0, size, size)
        image = np.zeros((size, size, 3), np.uint8)
        mujoco.mjr_render(viewport, view, context)
        mujoco.mjr_readPixels(image, None, viewport, context)
        if not mask:
            return image[::-1].copy(), None
        view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        codes = np.zeros((size, size, 3), np.uint8)
        mujoco.mjr_render(viewport, view, context)
        mujoco.mjr_readPixels(codes, None, viewport, context)
        view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        numbers = codes[::-1, :, 0].astype(np.int32) | codes[::-1, :, 1].astype(np.int32) << 8
        return image[::-1].copy(), self._label_table()[numbers]

    def _label_table(self) -> NDArray[np.uint8]:
        """Colour code (0 nothing, 1 + place in the scene) -> mask label; rebuilt when another object is loaded."""
        key = f"{self._scene.loaded} {self._view.ngeom}"
        if self._labels_of != key:
            table = np.zeros(self._view.ngeom + 1, np.uint8)
            for i in range(self._view.ngeom):
                geom = self._view.geoms[i]
                if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                    table[geom.segid + 1] = self._scene.label[geom.objid]
            self._labels, self._labels_of = table, key
        return self._labels

    def close(self) -> None:
        """Frees the GL context; may be called twice."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None


_open: weakref.WeakSet[Renderer] = weakref.WeakSet()


def _close_all() -> None:
    for renderer in list(_open):
        renderer.close()


def _close_all_at_exit(renderer: Renderer) -> None:
    """Frees what is still open before MuJoCo ends GL at exit.

    Handlers run in reverse order of registration, and MuJoCo registers its own when the first context is made: ours
    must come later. `__del__` and finalisers may run after it.
    """
    if not _open:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open.add(renderer)
