"""The OpenGL library that renders: which is chosen, and what is said where none is there."""

from __future__ import annotations

import ctypes.util

import pytest

from toyshift.core.errors import ConfigError, MissingDependencyError, UnknownNameError
from toyshift.core.graphics import check_mujoco_loads, gl_backend


def installed(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so" if name in libraries else None)


def test_egl_comes_first_and_the_environment_variable_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "EGL", "OSMesa")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    assert gl_backend() == "egl"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert gl_backend() == "osmesa"


def test_without_any_library_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    with pytest.raises(MissingDependencyError, match=r"apt-get install -y libegl1 .*libosmesa6"):
        gl_backend()
    check_mujoco_loads()  # state-only simulation needs none


def test_the_library_that_was_asked_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "EGL")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    for check in (gl_backend, check_mujoco_loads):
        with pytest.raises(MissingDependencyError, match="apt-get install -y libosmesa6"):
            check()


def test_other_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "elg")
    with pytest.raises(UnknownNameError, match="Did you mean 'egl'"):
        check_mujoco_loads()
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    check_mujoco_loads()
    monkeypatch.delenv("DISPLAY")
    with pytest.raises(ConfigError, match=r"glfw draws on a screen.*Available: egl, osmesa"):
        check_mujoco_loads()
    with pytest.raises(ConfigError, match="egl, osmesa"):
        gl_backend()
