"""CoACD in a process of its own: `python -m toyshift.toys.geometry.coacd_child IN.npz OUT.npz [remesh]`.

onnxruntime crashes when it is loaded after coacd in one process, so no process that may act, export or verify loads it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import trimesh

from toyshift.core.arrays import Array
from toyshift.core.errors import MeshError, MissingDependencyError
from toyshift.core.interrupts import end_with_parent

MISSING = 3  # exit code of the child where coacd does not load


def coacd_parts(mesh: trimesh.Trimesh, remesh: bool = False) -> list[Array]:
    """CoACD's convex parts, corners (n, 3) each, of a surface with holes, which it thickens to a thin shell first.

    Args:
        mesh: the surface.
        remesh: whether it is rebuilt first even where all its edges are closed.

    Raises:
        MissingDependencyError: coacd is not installed.
        MeshError: CoACD cannot cut the surface.
    """
    with tempfile.TemporaryDirectory(prefix="toyshift-coacd-") as folder:
        given, made = Path(folder, "in.npz"), Path(folder, "out.npz")
        vertices, faces = np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int32)
        np.savez(given, vertices=vertices, faces=faces)
        command = [sys.executable, "-W", "ignore", "-m", "toyshift.toys.geometry.coacd_child", str(given), str(made)]
        environment, nothing = os.environ | {"OMP_NUM_THREADS": "1"}, subprocess.DEVNULL
        command += ["remesh"] if remesh else []
        done = subprocess.run(command, env=environment, stdin=nothing, capture_output=True, text=True, check=False)
        if done.returncode == MISSING:
            what = f"coacd, which cuts surfaces with holes, does not load ({done.stderr.strip()})"
            raise MissingDependencyError(f"{what}: run `pip install coacd`")
        if done.returncode or not made.is_file():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise MeshError(f"CoACD cannot cut this surface with holes ({lines[-1]}); close its holes")
        with np.load(made) as arrays:
            return [np.asarray(arrays[name], dtype=np.float64) for name in arrays.files]


def main(given: Path, made: Path, remesh: bool) -> int:
    """The child.

    A small search and no cap on the parts: the defaults take minutes for a bowl, merging down to a cap as long again.
    """
    end_with_parent()
    try:
        import coacd
    except ImportError as error:
        sys.stderr.write(str(error))
        return MISSING
    coacd.set_log_level("error")
    with np.load(given) as arrays:
        surface = coacd.Mesh(arrays["vertices"], arrays["faces"])
    found = coacd.run_coacd(
        surface, threshold=0.05, preprocess_mode="on" if remesh else "auto", preprocess_resolution=30, resolution=200,
        mcts_iterations=20, mcts_nodes=6, mcts_max_depth=2, seed=0,
    )
    np.savez(made, *[np.asarray(points, dtype=np.float64) for points, _ in found])
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2]), "remesh" in sys.argv[3:]))
