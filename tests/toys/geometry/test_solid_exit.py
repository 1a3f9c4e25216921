"""At Python's end nanobind reports what is alive of manifold3d as leaks; nobody sees that, however a program ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HELD = """
import ctypes, os, signal, sys
import numpy as np
import trimesh
from toyshift.core.errors import MeshError
from toyshift.scripts import cli
from toyshift.toys import load_objects
from toyshift.toys.geometry.slicing import sliced_parts
from toyshift.toys.geometry.solid import trimesh_to_manifold

def fails(error):
    solid, mesh = trimesh_to_manifold(trimesh.creation.box()), load_objects("toys:train?n=1")[0].mesh
    if error is KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background jobs ignore it
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    raise error("planted")

def keep(thing):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # for good, as native libraries do
"""

ENDS = {
    "an error that nobody catches": (1, "fails(ValueError)"),
    "an error of a command": (2, "cli.run = lambda argv: fails(MeshError)\nsys.exit(cli.main(['toys']))"),
    "a bug of a command": (1, "cli.run = lambda argv: fails(ValueError)\nsys.exit(cli.main(['toys']))"),
    "Ctrl-C in a command": (130, "cli.run = lambda argv: fails(KeyboardInterrupt)\nsys.exit(cli.main(['toys']))"),
    "a mesh that is kept": (0, "keep(load_objects('toys:train?n=1')[0].mesh)"),
    "parts that are kept": (
        0, "keep(sliced_parts(trimesh_to_manifold(trimesh.creation.box()), np.eye(3), None, np.zeros(3), 4)[0])"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_end_of_a_program_speaks_of_leaks(end: str) -> None:
    code, words = ENDS[end]
    command = [sys.executable, "-c", HELD + words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    assert "nanobind" not in done.stderr


def test_a_failing_test_speaks_of_no_leaks(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(HELD + "\ndef test_it():\n    fails(ValueError)\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert "1 failed" in done.stdout
    assert "nanobind" not in done.stderr + done.stdout
