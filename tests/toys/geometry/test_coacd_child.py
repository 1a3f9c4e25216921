"""What CoACD cannot cut is an error; what it cuts, in a process of its own: `test_ycb.py`, the open box."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import MeshError
from toyshift.toys.geometry.coacd_child import coacd_parts


def test_an_index_out_of_range_is_an_error_of_the_mesh() -> None:
    broken = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)
    broken.faces = np.array([[0, 1, 700000000]])
    with pytest.raises(MeshError, match="CoACD cannot cut"):
        coacd_parts(broken)
