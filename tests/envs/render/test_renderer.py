"""A renderer that Ctrl-C leaves half made."""

from __future__ import annotations

import gc
import sys
from typing import Any

import mujoco
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
