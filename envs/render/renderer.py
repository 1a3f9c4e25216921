"""Offscreen rendering: one scene update gives colour, mask and depth; GL is created lazily, EGL first, then OSMesa.

A GL context is current in one thread at a time, and MuJoCo frees what a context holds through whichever is current. So
a renderer belongs to the thread that made it: that thread draws and frees. A `Worker` is asked to; from another thread
a renderer that is dropped waits for its thread.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
import weakref
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Image, Mask
from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.graphics import BACKENDS, PACKAGES, gl_backend
from toyshift.envs.cameras import clip_range, depth_metres, image_size
from toyshift.envs.scene.scene import Drawable
from toyshift.envs.scene.spec import HIDDEN, VISIBLE
from toyshift.envs.threads import Worker

__all__ = ["BACKENDS", "Renderer", "gl_backend", "make_gl_context"]

BORDER = 0.001  # beyond the edge of view from which on nothing is drawn [m]: GL counts with 32 bits
_lock = threading.RLock()  # GL's display and MuJoCo's table of GL functions are global; so is the list of what is open


def make_gl_context(width: int, height: int) -> Any:
    """Makes an offscreen GL context and makes it current in this thread, to which it then belongs."""
    backend = gl_backend()
    os.environ.setdefault("PYOPENGL_PLATFORM", backend)
    # software rendering draws in the calling thread: handing small images to threads of its own costs a fifth of the
    # speed
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        else:
            from mujoco.osmesa import GLContext
        with _lock:
            context = GLContext(width, height)
            context.make_current()
    except (ImportError, AttributeError, RuntimeError) as error:
        raise MissingDependencyError(
            f"GL backend {backend!r} failed ({error}): run `apt-get install -y {PACKAGES[backend]}`, "
            f"or set MUJOCO_GL to another of {', '.join(BACKENDS)}"
        ) from error
    return context


@functools.cache
def gl_renderer_name() -> str:
    """Returns the GL renderer that this machine gives, e.g. "llvmpipe (LLVM 19, 256 bits)", for manifests."""
    context = make_gl_context(16, 16)
    from OpenGL import GL  # after the context: PyOpenGL fixes its platform when it is imported

    name = GL.glGetString(GL.GL_RENDERER)
    context.free()
    return name.decode() if isinstance(name, bytes) else str(name)


class View(NamedTuple):
    """What a camera sees: image (H, W, 3) uint8, mask (H, W) uint8 and depth (H, W) float32 [m]; None where it was not
    asked for. `number` (H, W) uint8 comes with the mask: which of the objects beside the target is seen, from 1; else
    0.
    """

    image: Image
    mask: Image | None
    depth: Float32 | None
    number: Mask | None = None


class Renderer:
    """Renders a scene's cameras: colour, mask and depth from one scene update. It belongs to the thread that makes it.

    Args:
        scene: what to render.
        quality: "fast" (no shadows, reflections or multisampling) or "high".
        size: largest image side [pixels].
    """

    def __init__(self, scene: Drawable, quality: str = "fast", size: int = 128) -> None:
        model = scene.model
        high = quality == "high"
        model.vis.quality.shadowsize = 4096 if high else 0
        model.vis.quality.offsamples = 4 if high else 0
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._scene, self._model, self._size = scene, model, size
        self._owner = threading.current_thread()
        self._gl: Any = None
        self._context: Any = None  # both are freed however far this gets: Ctrl-C may come in between
        _close_dropped()
        with _lock:
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
        self._drawn = np.zeros(0, np.int64)
        self._drawn_of: tuple[object, ...] = ()
        # of every camera, as it was drawn last: aspect and field of view, and `_outward`
        self._sides: dict[int, tuple[tuple[float, float], Array]] = {}
        self._uploaded = dict(scene.paint_version)
        _close_all_at_exit(self)

    def render(self, camera: str, size: int | tuple[int, int], mask: bool = True, depth: bool = False) -> View:
        """Returns what a camera sees: image and, if asked for, mask and depth, all of the same scene update.

        Args:
            camera: its name in the scene.
            size: height and width [pixels], one number or two.
            mask: whether the mask is drawn.
            depth: whether distances along the optical axis are read [m]; cameras.FAR where there is nothing.

        Raises:
            ConfigError: a larger image than the renderer was made for, another thread than the renderer's, or it is
                closed.
        """
        height, width = image_size(size)
        if max(height, width) > self._size:
            raise ConfigError(f"image of {height} x {width} pixels asked of a renderer made for {self._size}")
        if self._gl is None:
            raise ConfigError("the renderer is closed")
        if self._owner is not threading.current_thread():
            owner = f"thread {self._owner.name!r}"
            raise ConfigError(f"this renderer belongs to {owner}: render there, or make an environment per thread")
        self._gl.make_current()
        self._upload_paint()
        self._camera.fixedcamid = self._model.camera(camera).id
        view, context = self._view, self._context
        shown = (self._option, self._perturb, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value)
        mujoco.mjv_updateScene(self._model, self._scene.data, *shown, view)
        self._read_drawn()
        if (beside := self._beside_view(self._camera.fixedcamid, width / height)).any():
            group = self._model.geom_group
            before = group.copy()
            group[beside] = HIDDEN
            try:
                mujoco.mjv_updateScene(self._model, self._scene.data, *shown, view)
            finally:
                group[:] = before
        viewport = mujoco.MjrRect(0, 0, width, height)
        image = np.zeros((height, width, 3), np.uint8)
        buffer = np.zeros((height, width), np.float32) if depth else None
        mujoco.mjr_render(viewport, view, context)
        mujoco.mjr_readPixels(image, buffer, viewport, context)
        metres = None if buffer is None else depth_metres(buffer[::-1], clip_range(self._model))
        if not mask:
            return View(image[::-1].copy(), None, metres)
        view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        codes = np.zeros((height, width, 3), np.uint8)
        mujoco.mjr_render(viewport, view, context)
        mujoco.mjr_readPixels(codes, None, viewport, context)
        view.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = view.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        place = codes[::-1, :, 0].astype(np.intp)  # 0 is nothing, 1 + i the geom that was drawn at place i
        if view.ngeom > 255:
            place |= codes[::-1, :, 1].astype(np.intp) << 8
        table = np.zeros((2, view.ngeom + 1), np.uint8)
        in_view = self._drawn[~beside[self._drawn]]
        table[0, 1:], table[1, 1:] = self._scene.label[in_view], self._scene.number[in_view]
        return View(image[::-1].copy(), table[0].take(place), metres, table[1].take(place))

    def _upload_paint(self) -> None:
        """Uploads the textures that were painted since the last image."""
        if self._uploaded != self._scene.paint_version:
            for texture, version in self._scene.paint_version.items():
                if self._uploaded.get(texture) != version:
                    mujoco.mjr_uploadTexture(self._model, self._context, texture)
            self._uploaded = dict(self._scene.paint_version)

    def _beside_view(self, camera: int, aspect: float) -> NDArray[np.bool_]:
        """Returns per geom whether its bounding sphere is outside a camera's field of view: no pixel can show it.

        GL would find out from each of their vertices, in colours and again for the mask: most of the robot for the
        wrist's camera, a quarter for the front one.

        Args:
            camera: its id.
            aspect: width of the image over its height.
        """
        model, data = self._model, self._scene.data
        lens = aspect, float(model.cam_fovy[camera])
        if self._sides.get(camera, (None,))[0] != lens:
            self._sides[camera] = lens, self._outward(aspect)
        outward = self._sides[camera][1] @ data.cam_xmat[camera].reshape(3, 3).T  # (sides, 3)
        beyond = data.geom_xpos @ outward.T - outward @ data.cam_xpos[camera]  # (geoms, sides) [m]
        radius = model.geom_rbound  # 0 for planes, which end nowhere
        outside: NDArray[np.bool_] = (beyond.max(axis=1, initial=-np.inf) > radius + BORDER) & (radius > 0)
        return outside

    def _outward(self, aspect: float) -> Array:
        """Returns the outward normals (sides, 3) of the latest camera's field of view, in its frame: x right, y up, z
        backwards; none with shadows, which fall into view from outside, and where lines of view are parallel.
        """
        eye = mujoco.mjv_averageCamera(*self._view.camera)
        if self._view.flags[mujoco.mjtRndFlag.mjRND_SHADOW] or eye.orthographic:
            return np.zeros((0, 3))
        half = eye.frustum_width or 0.5 * aspect * (eye.frustum_top - eye.frustum_bottom)
        left, right = eye.frustum_center - half, eye.frustum_center + half
        near, bottom, top = eye.frustum_near, eye.frustum_bottom, eye.frustum_top
        sides = np.array([(near, 0.0, right), (-near, 0.0, -left), (0.0, near, top), (0.0, -near, -bottom)])
        return np.asarray(sides / np.linalg.norm(sides, axis=1, keepdims=True))

    def _read_drawn(self) -> None:
        """Brings `_drawn` up to date: ids of geoms in the order in which they are drawn, with nothing left out."""
        key = (*self._scene.loaded, self._view.ngeom)
        if self._drawn_of != key:
            self._drawn = np.array([geom.objid for geom in self._view.geoms[: self._view.ngeom]], np.int64)
            self._drawn_of = key

    def close(self) -> None:
        """Frees the GL context; may be called twice, and from any thread if the renderer is a Worker's.

        Raises:
            ConfigError: it belongs to another thread, which only that thread can put right.
        """
        if self._gl is None or self._owner is threading.current_thread():
            self._free()
        elif not isinstance(self._owner, Worker):
            raise ConfigError(f"this renderer belongs to thread {self._owner.name!r}: close its environment there")
        elif self._owner.stopped:
            self._owner.join()  # frees it at its end
        else:
            self._owner.submit(self._free).result()

    def _free(self) -> None:
        if self._gl is not None:
            self._gl.make_current()
            if self._context is not None:
                self._context.free()
            self._gl.free()
            self._gl = None

    def __del__(self) -> None:
        """Frees what was dropped without being closed; on its own thread, as everything."""
        if getattr(self, "_gl", None) is None or sys.is_finalizing():
            return
        if self._owner is threading.current_thread():
            self._free()
        elif isinstance(self._owner, Worker) and not self._owner.stopped:
            self._owner.submit(self._free)
        else:
            _dropped.append(self)


_open: weakref.WeakSet[Renderer] = weakref.WeakSet()
_dropped: list[Renderer] = []  # by threads that they do not belong to; kept until their own thread makes another


def _close_dropped() -> None:
    """Frees those dropped renderers that belong to this thread."""
    for renderer in list(_dropped):
        if renderer._owner is threading.current_thread():
            renderer.close()
            _dropped.remove(renderer)


def _close_own() -> None:
    """Frees every renderer of this thread."""
    _close_dropped()
    with _lock:
        own = [renderer for renderer in _open if renderer._owner is threading.current_thread()]
    for renderer in own:
        renderer.close()


def _close_all() -> None:
    """Frees every renderer of this thread and of workers, and gives back the contexts of other threads.

    Those can be made current nowhere else (a thread that has ended keeps its own), so what is in them goes with the
    process.
    """
    with _lock:
        workers = {renderer._owner for renderer in _open if isinstance(renderer._owner, Worker)}
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join()
    _close_own()
    for renderer in list(_open):
        if renderer._gl is not None:
            renderer._gl.free()
            renderer._gl = None


def _close_all_at_exit(renderer: Renderer) -> None:
    """Frees what is still open before MuJoCo ends GL at exit.

    Handlers run in reverse order of registration, and MuJoCo registers its own when the first context is made: ours
    must come later. `__del__` and finalisers may run after it.
    """
    with _lock:
        if not _open:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _open.add(renderer)
    if isinstance(renderer._owner, Worker):
        renderer._owner.at_end(_close_own)
