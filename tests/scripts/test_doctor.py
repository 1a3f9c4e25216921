"""The doctor: its keys, and that a broken driver is contained."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toyshift.scripts import cli, doctor, measure


def test_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--quick", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer) == {"ok", "versions", "gl", "cpu", "gpu", "control_steps_per_s", "extras", "problems"}
    assert {"backend", "renderer", "software"} <= set(answer["gl"])
    assert {"toyshift", "numpy", "mujoco", "torch", "python"} <= set(answer["versions"])
    assert answer["cpu"]["cores"] >= 1
    assert answer["cpu"]["memory_gb"] > 0
    if answer["gl"]["backend"] is None:
        assert any("apt install" in problem for problem in answer["problems"])
    else:
        assert answer["gl"]["renderer"]


def test_extras_are_listed_and_none_of_them_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("mink", "onnx") else real(name))
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: ({}, "") if words[0] == "imports" else (
        {"renderer": "a GPU"}, ""
    ))
    monkeypatch.setattr(doctor, "isolated", measure.isolated)
    assert cli.main(["doctor", "--quick", "--json"]) == 0
    *page, last = capsys.readouterr().out.splitlines()
    answer = json.loads(last)
    assert answer["extras"]["robosuite"][0] == "mink"
    assert answer["extras"]["export"][0] == "onnx"
    assert answer["extras"]["serve"] == []
    assert not any("onnx" in problem or "mink" in problem for problem in answer["problems"])
    assert len([line for line in page if line.startswith("extra ")]) in (0, len(answer["extras"]))


def test_robosuites_missing_models_are_a_problem_with_both_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = doctor.package_versions()
    monkeypatch.setattr(doctor, "package_versions", lambda: versions | {"robosuite": "missing"})
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: ({}, "") if words[0] == "imports" else (
        {"renderer": "a GPU"}, ""
    ))
    monkeypatch.setattr(doctor, "isolated", measure.isolated)
    assert cli.main(["doctor", "--quick", "--json"]) == 1
    [problem] = [text for text in json.loads(capsys.readouterr().out.splitlines()[-1])["problems"] if "robos" in text]
    assert "pip install --no-deps robosuite==1.5.2" in problem
    assert 'pip install "toyshift[robosuite]"' in problem


def test_a_package_that_does_not_load_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "IMPORTED", ("json", "toyshift_not_there"))
    assert measure.imports() == {}

    def refuse(name: str) -> None:
        raise ImportError(f"{name} needs NumPy 2\nmore")

    monkeypatch.setattr(measure.importlib, "import_module", refuse)
    assert measure.imports() == {"json": "json needs NumPy 2", "toyshift_not_there": "toyshift_not_there needs NumPy 2"}


def test_no_opengl_is_a_problem_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: (None, "killed by signal 11"))
    monkeypatch.setattr(doctor, "isolated", lambda *words, **options: ({}, ""))  # all packages load
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
        return (
            {"renderer": "llvmpipe (LLVM 19.1.7, 256 bits)", "vendor": "Mesa", "version": "4.5"}, ""
        ) if backend == "osmesa" else (None, "no libEGL")

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


def test_a_backend_that_is_asked_for_and_missing_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: ({}, "") if words[0] == "imports" else (
        {"renderer": "a GPU"}, ""
    ))
    assert cli.main(["doctor", "--quick", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert any("apt-get install -y libosmesa6" in problem for problem in answer["problems"])
    assert not any("does not load" in problem for problem in answer["problems"])


@pytest.mark.parametrize(("average", "busy"), [(0.9, False), (1.5, True)])
def test_a_busy_machine_is_named(
    average: float, busy: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (average, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(measure, "isolated", lambda *words, **options: ({}, "") if words[0] == "imports" else (
        {"renderer": "a GPU"}, ""
    ))
    monkeypatch.setattr(doctor, "isolated", measure.isolated)
    cli.main(["doctor", "--quick", "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["cpu"]["load"] == average
    assert any("load average 1.5 on 2 cores" in problem for problem in answer["problems"]) == busy
    assert answer["ok"]  # nothing is missing


@pytest.mark.parametrize(
    "words", [["collect", "--episodes", "1", "--out", "OUT"], ["evaluate", "--policy", "DIR", "--out", "OUT"]],
    ids=lambda words: words[0]
)
def test_commands_that_render_name_the_package_before_they_start(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    out = tmp_path / "out"
    assert cli.main([str(out) if word == "OUT" else word for word in words] + ["--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    message = json.loads(captured.out)["error"]["message"]
    assert "apt-get install -y libegl1" in message
    assert "libosmesa6" in message
    assert not out.exists()


def test_mujoco_gl_without_its_library_is_one_line_wherever_the_environment_is_imported() -> None:
    code = """
import ctypes.util
import importlib.util
ctypes.util.find_library = lambda name: None
try:
    from toyshift.envs.tasks.grasp import GraspEnv
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"MUJOCO_GL": "osmesa"}, capture_output=True, text=True,
        timeout=60, check=True
    )
    assert done.stdout.startswith(
        "MissingDependencyError MUJOCO_GL=osmesa, but libOSMesa is not installed: run `apt-get install -y libosmesa6`"
    )
