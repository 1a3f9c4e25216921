"""CoACD stays out of every process but its own, and what it cannot cut is an error."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import MeshError
from toyshift.toys.geometry.coacd_child import coacd_parts


def test_an_open_surface_is_cut_without_loading_coacd_here() -> None:
    # onnxruntime crashes when it is loaded after coacd: a fresh process must survive both in this order.
    code = """
import sys, trimesh
from toyshift.toys.geometry.decompose import convex_parts
box = trimesh.creation.box((0.05, 0.06, 0.07))
parts = convex_parts(trimesh.Trimesh(box.vertices, box.faces[box.triangles_center[:, 2] < 0.034], process=False))
assert "coacd" not in sys.modules
import onnxruntime
onnxruntime.InferenceSession
print(len(parts))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4


def test_an_index_out_of_range_is_an_error_of_the_mesh() -> None:
    broken = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)
    broken.faces = np.array([[0, 1, 700000000]])
    with pytest.raises(MeshError, match="CoACD cannot cut"):
        coacd_parts(broken)
