"""Mugs, cups and bowls of object sets are held at rim or handle: upright, with the searches in the expert's order."""

import os
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import GraspError
from toyshift.data.grasping.expert import ExpertConfig
from toyshift.data.grasping.situation import Grasp, Situation
from toyshift.data.grasping.six_dof import search_six_dof
from toyshift.data.grasping.top_down import search_top_down
from toyshift.envs.robots.panda import PANDA_HAND
from toyshift.toys import GraspObject, load_objects

SCANS = Path(os.environ.get("TOYSHIFT_YCB", "/work/shared/ycb"))
PLACE = np.array([0.5, 0.0])
HOME = np.diag([1.0, -1.0, -1.0])
CONFIG = ExpertConfig()
RIM = 0.03  # wall that is held, from the outside of the vessel inwards (a bowl's wall leans) [m]


def load(spec: str, name: str, folder: Path) -> GraspObject:
    """An object of a set; a scan is imported alone, from an empty folder that it is linked into."""
    if spec == "ycb":
        if not (SCANS / name).is_dir():
            pytest.skip(f"no YCB scan {SCANS / name}; TOYSHIFT_YCB names another folder of scans")
        (folder / name).symlink_to(SCANS / name)
        spec = f"ycb:{folder}"
    return load_objects(spec).by_id(name)


def axis_and_radius(obj: GraspObject) -> tuple[np.ndarray, float]:
    """Centre (2,) and radius of the circle through the vessel's rim [m], by least squares; the handle ends below it."""
    vertices = obj.mesh.vertices
    rim = vertices[vertices[:, 2] > obj.mesh.bounds[1, 2] - 0.004, :2]
    solution = np.linalg.lstsq(np.column_stack([2 * rim, np.ones(len(rim))]), (rim**2).sum(axis=1), rcond=None)[0]
    return solution[:2], float(np.sqrt(solution[2] + solution[:2] @ solution[:2]))


def upright(obj: GraspObject, seed: int) -> Situation:
    position = np.array([*PLACE, -obj.mesh.bounds[0, 2]])
    place = obj, position, np.eye(3), position + obj.com
    return Situation(*place, PANDA_HAND, HOME, 0.0, np.random.default_rng(seed))


def upright_grasps(obj: GraspObject, seed: int) -> list[Grasp]:
    """What the expert's searches find, in its order."""
    for config in (CONFIG.planner, CONFIG.second_try):
        try:
            return search_top_down(upright(obj, seed), config)
        except GraspError:
            continue
    return search_six_dof(upright(obj, seed), CONFIG.six_dof)


def part_held(grasp: Grasp, centre: np.ndarray, radius: float) -> str:
    """Names what lies between the contacts: "rim", "handle", or "" for neither (a chord through the vessel)."""
    middle = grasp.position[:2] - PLACE - centre
    contacts = np.stack([middle + 0.5 * side * grasp.width * grasp.rotation[:2, 0] for side in (-1.0, 1.0)])
    inner, outer = np.sort(np.linalg.norm(contacts, axis=1))
    if inner > radius - 0.002:
        return "handle"
    # across the wall, not along it: one finger is inside, the other outside, and closing goes along the radius
    radial = abs(grasp.rotation[:2, 0] @ middle) / np.linalg.norm(middle)
    across = radial > 0.7 and outer - inner > 0.5 * grasp.width
    return "rim" if across and radius - RIM < inner < outer < radius + 0.005 else ""


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("ycb-like", "025_mug"),
        ("ycb-like", "024_bowl"),
        ("ycb-like", "065-j_cups"),
        ("ycb", "025_mug"),
        ("ycb", "024_bowl"),
    ],
)
def test_an_upright_vessel_is_held_at_its_rim_or_handle(spec: str, name: str, seed: int, tmp_path: Path) -> None:
    obj = load(spec, name, tmp_path)
    centre, radius = axis_and_radius(obj)
    assert 2 * radius > PANDA_HAND.opening  # the hand cannot span it
    best = upright_grasps(obj, seed)[0]
    assert part_held(best, centre, radius)
    assert best.width < 0.03
    height = obj.mesh.extents[2]
    assert best.position[2] - PANDA_HAND.palm_offset > height  # the palm stays above the rim
    assert best.position[2] - PANDA_HAND.tip_offset < height  # the tips are below it


def test_a_mug_can_be_held_at_its_handle_too(tmp_path: Path) -> None:
    obj = load("ycb-like", "025_mug", tmp_path)
    centre, radius = axis_and_radius(obj)
    found = search_six_dof(upright(obj, 0), CONFIG.six_dof)
    parts = [part_held(grasp, centre, radius) for grasp in found]
    assert {"rim", "handle"} <= set(parts)
