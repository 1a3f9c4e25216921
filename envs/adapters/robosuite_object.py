"""A GraspObject as one of robosuite's objects, built as MJCF in memory; only a texture is a file, in the cache."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from toyshift.core.arrays import Array, Image
from toyshift.core.errors import FileError
from toyshift.core.extras import needs
from toyshift.core.files import atomic_path, cache_dir, content_hash
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix
from toyshift.envs.scene.bodies import principal
from toyshift.toys.model import GraspObject, RestPose, VisualMesh

try:
    from robosuite.models.objects import MujocoObject
    from robosuite.utils.mjcf_utils import add_prefix
except ImportError as error:  # not there, or its model files alone
    raise needs("robosuite", "the robosuite task", error) from error

COLLISION, VISUAL = "0", "1"  # robosuite's geom groups


class ToyObject(MujocoObject):  # type: ignore[misc]  # robosuite is not typed
    """One of ToyShift's objects with a free joint.

    Collision shapes, mass, centre of mass, inertia and friction are the GraspObject's, not sums over geoms; contacts
    are as soft as robosuite's, whose grippers squeeze hard enough to blow up a simulation with stiffer ones. The body's
    frame is the object's. Placement samplers are told of the object as it lies in `pose`, and draw a turn about z.

    Args:
        obj: the object.
        pose: the rest pose it starts in.
        name: prefix of its names in the model.
    """

    def __init__(self, obj: GraspObject, pose: RestPose, name: str = "toy") -> None:
        super().__init__()
        self._name = name
        self.object, self.pose = obj, pose
        self.hull = np.asarray(obj.mesh.convex_hull.vertices, np.float64)  # (n, 3)
        lying = self.hull @ quat_to_matrix(np.array(pose.quat)).T
        self._lowest, self._highest = float(lying[:, 2].min()), float(lying[:, 2].max())
        centre = quat_to_matrix(np.array(pose.quat)) @ obj.com
        self._radius = float(np.linalg.norm((lying - centre)[:, :2], axis=1).max())
        self._obj = self._get_object_subtree()
        self._get_object_properties()
        add_prefix(root=self.asset, prefix=self.naming_prefix)

    def exclude_from_prefixing(self, inp: Any) -> bool:
        return False

    def _get_object_subtree(self) -> ET.Element:
        obj = self.object
        body = ET.Element("body", name="main")
        ET.SubElement(body, "joint", name="joint0", type="free")
        ET.SubElement(body, "site", self.get_site_attrib_template(), name="default_site")
        moments, axes = principal(obj.inertia)  # MuJoCo's own axes of a full inertia are only good to 1e-6
        ET.SubElement(
            body, "inertial", pos=_text(obj.com), mass=_text([obj.mass]), diaginertia=_text(moments),
            quat=_text(matrix_to_quat(axes)),
        )
        touch = {"group": COLLISION, "condim": "4", "friction": _text(obj.friction)}
        look = {"group": VISUAL, "contype": "0", "conaffinity": "0"}
        for i, part in enumerate(obj.parts):
            ET.SubElement(self.asset, "mesh", name=f"part{i}", vertex=_text(np.ravel(part)), inertia="convex")
            ET.SubElement(body, "geom", touch, name=f"part{i}", type="mesh", mesh=f"part{i}", mass="0")
        for i, geom in enumerate(obj.geoms):
            shape = {
                "type": geom.kind, "size": _text(geom.size), "pos": _text(geom.pos), "quat": _text(geom.quat),
                "rgba": _text(geom.rgba), "mass": "0",
            }
            ET.SubElement(body, "geom", touch | shape, name=f"geom{i}")
            if obj.visual is None:
                ET.SubElement(body, "geom", look | shape, name=f"geom{i}_visual")
        if obj.visual is not None:
            self._add_visual(body, obj.visual, look)
        return body

    def _add_visual(self, body: ET.Element, visual: VisualMesh, look: dict[str, str]) -> None:
        mesh = ET.SubElement(
            self.asset, "mesh", name="shape", vertex=_text(visual.vertices.ravel()), face=_text(visual.faces.ravel()),
            inertia="shell",
        )
        geom = ET.SubElement(body, "geom", look, name="shape_visual", type="mesh", mesh="shape", mass="0")
        if visual.uv is None or visual.texture is None:
            geom.set("rgba", _text(visual.rgba))
            return
        mesh.set("texcoord", _text((visual.uv * (1, -1) + (0, 1)).ravel()))  # MuJoCo's v runs down the image
        ET.SubElement(self.asset, "texture", name="skin", type="2d", file=str(_texture_file(visual.texture)))
        ET.SubElement(self.asset, "material", name="skin", texture="skin", specular="0.2", shininess="0.3")
        geom.set("material", "skin")

    @property
    def bottom_offset(self) -> Array:
        return np.array([0.0, 0.0, self._lowest])

    @property
    def top_offset(self) -> Array:
        return np.array([0.0, 0.0, self._highest])

    @property
    def horizontal_radius(self) -> float:
        """Largest horizontal distance from the centre of mass in the rest pose [m]."""
        return self._radius

    def get_bounding_box_half_size(self) -> Array:
        return np.array([self._radius, self._radius, (self._highest - self._lowest) / 2])


def _text(values: Iterable[float]) -> str:
    return " ".join(repr(float(v)) if isinstance(v, float | np.floating) else str(v) for v in values)


def _texture_file(image: Image) -> Path:
    """Returns a PNG of the image in the cache folder, named after its content."""
    path = cache_dir("robosuite-textures") / f"{content_hash(str(image.shape), image.tobytes())}.png"
    if "robosuite" in path.parts:  # robosuite reads such a path as one of its own assets
        raise FileError(
            f"{path} has a folder called robosuite in it, which robosuite would look for in its own assets; set "
            "TOYSHIFT_CACHE to another folder"
        )
    if not path.exists():
        with atomic_path(path) as temporary:
            Pillow.fromarray(image).save(temporary, format="PNG")
    return path
