"""What every object is to the rest of the house: a frozen value of surface, collision shapes, inertia, rest poses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Image

RGBA = tuple[float, float, float, float]
GREY: RGBA = (0.7, 0.7, 0.7, 1.0)
GEOM_KINDS = ("sphere", "capsule", "ellipsoid", "cylinder", "box")


@dataclasses.dataclass(frozen=True)
class Geom:
    """A collision primitive with MuJoCo's conventions for sizes.

    Attributes:
        kind: one of GEOM_KINDS.
        size: MuJoCo sizes [m]: sphere (r, 0, 0); capsule and cylinder (r, half length, 0); box and ellipsoid half
            extents.
        pos: centre in the object's frame [m].
        quat: rotation from the primitive's to the object's frame, wxyz.
        rgba: colour, 0..1.
    """

    kind: str
    size: tuple[float, float, float]
    pos: tuple[float, float, float]
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    rgba: RGBA = GREY


@dataclasses.dataclass(frozen=True, eq=False)
class VisualMesh:
    """What is drawn, where it is not the collision primitives.

    Attributes:
        vertices: (n, 3) float32, object frame [m].
        faces: (m, 3) int32, counter-clockwise from outside.
        uv: (n, 2) float32 texture coordinates with v up (OBJ's convention), or None.
        texture: (h, w, 3) uint8 sRGB image whose first row is the top, or None.
        rgba: colour where there is no texture.
    """

    vertices: Float32
    faces: NDArray[np.int32]
    uv: Float32 | None = None
    texture: Image | None = None
    rgba: RGBA = GREY


@dataclasses.dataclass(frozen=True)
class RestPose:
    """A stable orientation on a horizontal table.

    Attributes:
        quat: rotation from the object's to the table's frame (z up), wxyz.
        height: z of the object's origin when its lowest point touches the table [m].
        probability: share of random drops that end here; the shares of an object's rest poses sum to 1.
        width: smallest horizontal width in this orientation [m]: the least distance between two vertical planes that
            enclose the object.
    """

    quat: tuple[float, float, float, float]
    height: float
    probability: float
    width: float


@dataclasses.dataclass(frozen=True, eq=False)
class GraspObject:
    """One rigid object.

    Attributes:
        id: unique inside its source (a toy's content hash, "002_master_chef_can").
        name: what an instruction calls it ("red toy", "master chef can").
        source: the object set it comes from, e.g. "toys:train".
        mesh: outer surface, object frame [m]; used by grasp searches and distances.
        geoms: collision primitives; empty where `parts` are used.
        parts: convex collision parts, each the (n, 3) vertices of a hull; empty where `geoms` are used.
        visual: what is drawn; None draws the geoms.
        mass: [kg].
        com: (3,) centre of mass in the object's frame [m].
        inertia: (3, 3) about the centre of mass, axes of the object's frame [kg m^2].
        rest_poses: at least one.
        friction: sliding, torsional [m], rolling [m].
        info: what is known besides; "volume" is that of the solid [m^3], where the mesh may be open.
    """

    id: str
    name: str
    source: str
    mesh: trimesh.Trimesh
    geoms: tuple[Geom, ...]
    parts: tuple[Array, ...]
    visual: VisualMesh | None
    mass: float
    com: Array
    inertia: Array
    rest_poses: tuple[RestPose, ...]
    friction: tuple[float, float, float] = (1.0, 0.02, 0.001)
    info: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def width(self) -> float:
        """Smallest horizontal width over the rest poses [m]."""
        return min(pose.width for pose in self.rest_poses)

    @property
    def shown_pose(self) -> RestPose:
        """How pictures show it: standing, its z axis within 45 degrees of up, in the most probable such rest pose.

        What cannot stand, and a toy, which has no top, is shown in its most probable rest pose.
        """
        up = [1 - 2 * (pose.quat[1] ** 2 + pose.quat[2] ** 2) for pose in self.rest_poses]  # of its z axis
        standing = [pose for pose, z in zip(self.rest_poses, up, strict=True) if self.visual and z > 0.5**0.5]
        return max(standing or self.rest_poses, key=lambda pose: pose.probability)

    def scaled(self, scale: float) -> GraspObject:
        """The same object `scale` times as large, of the same density."""
        if scale == 1.0:
            return self

        def larger(lengths: tuple[float, float, float]) -> tuple[float, float, float]:
            return lengths[0] * scale, lengths[1] * scale, lengths[2] * scale

        change, seen = dataclasses.replace, self.visual
        volume = {"volume": self.info["volume"] * scale**3} if "volume" in self.info else {}
        return change(
            self, mesh=trimesh.Trimesh(self.mesh.vertices * scale, self.mesh.faces, process=False),
            geoms=tuple(change(g, size=larger(g.size), pos=larger(g.pos)) for g in self.geoms),
            parts=tuple(p * scale for p in self.parts),
            visual=seen and change(seen, vertices=(seen.vertices * scale).astype(np.float32)),
            mass=self.mass * scale**3, com=self.com * scale, inertia=self.inertia * scale**5,
            rest_poses=tuple(change(p, height=p.height * scale, width=p.width * scale) for p in self.rest_poses),
            info=self.info | volume,
        )

    @property
    def density(self) -> float:
        """Mass over the volume of the solid [kg/m^3]: of a cup its wall, not the space that the wall encloses."""
        return self.mass / float(self.info.get("volume") or self.mesh.volume)

    @property
    def rgba(self) -> RGBA:
        """The colour of what is drawn where it has one, and of its first part where it has several."""
        return self.visual.rgba if self.visual is not None else self.geoms[0].rgba if self.geoms else GREY

    def graspable(self, opening: float) -> bool:
        """Whether a parallel gripper that opens to `opening` [m] can close around the object in some rest pose."""
        return self.width < opening
