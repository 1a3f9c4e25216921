"""A renderer that Ctrl-C leaves half made."""

from __future__ import annotations

import gc
import sys
from typing import Any

import mujoco
import numpy as np
import pytest

from toyshift.envs import GraspEnv
from toyshift.envs.render import renderer


def test_one_that_was_never_finished_is_freed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    contexts: list[Any] = []
    make = renderer.make_gl_context

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def kept(width: int, height: int) -> Any:
        contexts.append(make(width, height))
        return contexts[-1]

    monkeypatch.setattr(sys, "unraisablehook", lambda what: said.append(what.exc_value))
    monkeypatch.setattr(renderer, "make_gl_context", kept)
    monkeypatch.setattr(mujoco, "MjrContext", interrupt)
    env = GraspEnv(objects="toys:train?n=1", cameras=("front",), image_size=32)
    with pytest.raises(KeyboardInterrupt) as error:
        env.reset(seed=0)
    error.value.__traceback__ = None  # which holds the half of it
    del error
    env.close()
    gc.collect()
    assert said == []
    [context] = contexts
    assert not context._context  # MuJoCo's own: freed


@pytest.mark.parametrize("options", [{}, {"clutter": 3}, {"quality": "high"}])
def test_what_is_out_of_view_is_not_drawn_and_nothing_looks_otherwise(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = [[90.0, 0.0, 70.0], [0.0, 80.0, 20.0], [0.0, 0.0, 1.0]]  # looks past its middle
    aside = {"name": "aside", "position": (0.9, 0.5, 0.4), "look_at": (0.5, 0.0, 0.1), "size": (64, 96)}
    cameras = ("front", "wrist", aside | {"intrinsics": lens})
    env = GraspEnv(objects="toys:test?n=6", cameras=cameras, image_size=64, depth=True, **options)
    rng = np.random.default_rng(0)
    left_out = []
    high = "quality" in options
    for episode, shift in enumerate(("camera-azimuth=5",) if high else ("", "camera-fov=5", "distractors=3")):
        env.reset(seed=0, options={"episode": episode, "shift": shift, "observe": False})
        for _ in range(1 if high else 3):
            env.advance(rng.uniform(env.action_contract.low, env.action_contract.high).astype(np.float32))
            groups = env.scene.model.geom_group.copy()
            seen = env.observe()
            assert np.array_equal(env.scene.model.geom_group, groups)
            env.renderer().render("wrist", 64)
            drawn = env.renderer()._view.ngeom
            with monkeypatch.context() as patch:
                patch.setattr(renderer.Renderer, "_beside_view", lambda self, *_: np.zeros(self._model.ngeom, np.bool_))
                whole = env.observe()
            left_out.append(env.renderer()._view.ngeom - drawn)
            for kind in ("pixels", "masks", "depth"):
                for camera, image in seen[kind].items():
                    assert np.array_equal(image, whole[kind][camera]), (kind, camera, episode)
    env.close()
    if high:
        assert max(left_out) == 0  # what throws shadows into view is drawn
    else:
        assert min(left_out) >= 10  # of the robot's 24 parts
