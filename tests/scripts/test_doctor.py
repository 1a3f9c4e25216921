"""The doctor: its keys, and that a broken driver is contained."""

from __future__ import annotations

import json

import pytest

from toyshift.scripts import cli, measure


def test_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--quick", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer) == {"ok", "versions", "gl", "cpu", "gpu", "control_steps_per_s", "problems"}
    assert {"backend", "renderer", "software"} <= set(answer["gl"])
    assert {"toyshift", "numpy", "mujoco", "torch", "python"} <= set(answer["versions"])
    assert answer["cpu"]["cores"] >= 1
    assert answer["cpu"]["memory_gb"] > 0
    if answer["gl"]["backend"] is None:
        assert any("apt install" in problem for problem in answer["problems"])
    else:
        assert answer["gl"]["renderer"]


def test_a_package_that_does_not_load_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "IMPORTED", ("json", "toyshift_not_there"))
    assert measure.imports() == {}

    def refuse(name: str) -> None:
        raise ImportError(f"{name} needs NumPy 2\nmore")

    monkeypatch.setattr(measure.importlib, "import_module", refuse)
    assert measure.imports() == {"json": "json needs NumPy 2", "toyshift_not_there": "toyshift_not_there needs NumPy 2"}


def test_no_opengl_is_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: (None, "killed by signal 11"))
    assert cli.main(["doctor", "--quick", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["ok"] is False
    [problem] = [text for text in answer["problems"] if "OpenGL" in text]
    assert "libegl1" in problem
    assert "signal 11" in problem


def test_software_rendering_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    asked: list[str] = []

    def fake(*words: str, backend: str, timeout: float) -> tuple[dict[str, str] | None, str]:
        asked.append(backend)
        return ({"renderer": "llvmpipe (LLVM 19.1.7, 256 bits)", "vendor": "Mesa", "version": "4.5"}, "") if backend == "osmesa" else (None, "no libEGL")

    monkeypatch.setattr(measure, "isolated", fake)
    gl, reasons = measure.find_gl()
    assert asked == ["egl", "osmesa"]
    assert gl["backend"] == "osmesa"
    assert gl["software"] is True
    assert reasons == ["egl: no libEGL"]


def test_a_measurement_that_fails_says_why() -> None:
    answer, reason = measure.isolated("gl", "nonsense", backend="nonsense")
    assert answer is None
    assert "nonsense" in reason or "MUJOCO_GL" in reason
