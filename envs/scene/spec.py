"""What is added to a MuJoCo spec again and again: meshes, textures and materials, and how geoms touch and are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from toyshift.core.arrays import Image

VISIBLE, HIDDEN = 1, 4  # geom groups: only group 1 is drawn
EMPTY_PREFIX = "spec with an empty prefix"  # in a warning of MuJoCo 4
# twice the usual 4 ms step: MuJoCo scales contact stiffness with mass, and a gripper sinks into light toys otherwise
STIFF = (0.008, 1.0)
SOLID: dict[str, Any] = {"condim": 4, "solref": STIFF}  # of an object's geoms that collide
DRAWN: dict[str, Any] = {"group": VISIBLE, "contype": 0, "conaffinity": 0}  # of geoms that are seen and touch nothing


def add_mesh(
    spec: Any, body: Any, mesh: str, vertices: Any, faces: Any = None, skin: Mapping[
        str, Any
    ] | None = None, **geom: Any
) -> Any:
    """Adds a geom with a mesh of its own to a body and returns it.

    Args:
        spec: mujoco.MjSpec.
        body: of the spec.
        mesh: its name, and the geom's unless `geom` has another.
        vertices: (n, 3) [m].
        faces: (m, 3); None for their convex hull.
        skin: texture coordinates, as `MjSpec.add_mesh` takes them.
        geom: options of the geom.
    """
    shape: dict[str, Any] = {"uservert": np.asarray(vertices, np.float32).ravel().tolist(), **(skin or {})}
    if faces is None:
        shape["inertia"] = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
    else:
        shape |= {"userface": faces.ravel().tolist(), "inertia": mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL}
    spec.add_mesh(name=mesh, **shape)
    return body.add_geom(**{"name": mesh, "type": mujoco.mjtGeom.mjGEOM_MESH, "meshname": mesh, "mass": 0} | geom)


def add_material(spec: Any, name: str, image: Image, *, cube: bool = False, **look: Any) -> None:
    """Adds a material whose texture, of the same name, is an image (height, width, 3); a cube's are six squares, one
    below the other.
    """
    height, width, channels = image.shape
    kind = mujoco.mjtTexture.mjTEXTURE_CUBE if cube else mujoco.mjtTexture.mjTEXTURE_2D
    spec.add_texture(name=name, type=kind, width=width, height=height, nchannel=channels).data = image.tobytes()
    spec.add_material(name=name, **look).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
