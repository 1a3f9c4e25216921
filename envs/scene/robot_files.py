"""Reads a robot's model files and makes templates of them: what this suite does not use is taken out."""

from __future__ import annotations

import dataclasses
import functools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco

from toyshift.core.extras import robosuite_file
from toyshift.envs.robots import Robot
from toyshift.envs.scene.spec import HIDDEN, VISIBLE
from toyshift.envs.scene.visuals import Piece, robot_visuals


def _read_spec(file: str) -> tuple[Any, Path]:
    """Returns a model file (or MJCF text) as a MjSpec, and the folder of its meshes."""
    if file.startswith("<"):
        return mujoco.MjSpec.from_string(file), Path()
    path = robosuite_file(file)
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
def robot_specs(robot: Robot, full_meshes: bool) -> tuple[Any, Any, list[Piece]]:
    """Reads arm and gripper, and their visuals, decimated or whole; users copy the specs, which are templates."""
    (arm, arm_folder), (gripper, gripper_folder) = _read_spec(robot.file), _read_spec(robot.gripper.file)
    keep = 1.0 if full_meshes else robot.keep
    of_hand = robot_visuals(gripper, gripper_folder, keep, robot.weld)
    if (paint := robot.gripper.paint) is not None:
        of_hand = [dataclasses.replace(piece, rgba=paint) for piece in of_hand]
    pieces = robot_visuals(arm, arm_folder, keep, robot.weld) + of_hand
    for spec in (arm, gripper):
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
