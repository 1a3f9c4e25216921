"""Rest poses: boxes, cylinders and balls have the ones they must have, with known heights, widths and probabilities."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
import trimesh

from toyshift.core.errors import MeshError
from toyshift.core.seeds import stream
from toyshift.toys.geometry.rest import compute_rest_poses, min_width
from toyshift.toys.geometry.solid import quat_between, quat_to_matrix
from toyshift.toys.model import GraspObject, RestPose
from toyshift.toys.random_toys.sampling import sample_toy
from toyshift.toys.random_toys.toy import toy_object


def _box_share(a: float, b: float, h: float) -> float:
    """Probability of a box's face a x b whose centre is h away: its solid angle over 4 pi."""
    return 4 * math.asin(a * b / math.sqrt((a * a + 4 * h * h) * (b * b + 4 * h * h))) / (4 * math.pi)


def test_box() -> None:
    x, y, z = 0.06, 0.09, 0.12
    mesh = trimesh.creation.box((x, y, z))
    poses = compute_rest_poses(mesh.vertices, np.zeros(3))
    assert len(poses) == 6
    assert sum(p.probability for p in poses) == pytest.approx(1)
    # height of the centre -> (smallest width, probability): on each kind of face.
    wanted = {
        x / 2: (y, _box_share(y, z, x / 2)),
        y / 2: (x, _box_share(x, z, y / 2)),
        z / 2: (x, _box_share(x, y, z / 2)),
    }
    for pose in poses:
        height = min(wanted, key=lambda h: abs(h - pose.height))
        assert pose.height == pytest.approx(height, abs=1e-9)
        assert pose.width == pytest.approx(wanted[height][0], abs=1e-9)
        assert pose.probability == pytest.approx(wanted[height][1], rel=1e-6)


def test_an_offset_centre_of_mass_makes_a_face_unstable() -> None:
    mesh = trimesh.creation.box((0.04, 0.04, 0.2))
    heights = {round(p.height, 3) for p in compute_rest_poses(mesh.vertices, np.array([0.0, 0.0, -0.08]))}
    assert 0.1 in heights  # it stands on the heavy end
    upward = [quat_to_matrix(p.quat)[2, 2] for p in compute_rest_poses(mesh.vertices, np.array([0.03, 0.0, 0.0]))]
    assert max(upward) < 0.5  # the centre of mass is beyond both ends' edge: it never stands
    assert max(abs(u) for u in upward) < 0.5


def test_cylinder_lies_and_stands() -> None:
    mesh = trimesh.creation.cylinder(0.03, 0.06, sections=64)
    poses = compute_rest_poses(mesh.vertices, np.zeros(3))
    lying = [p for p in poses if abs(quat_to_matrix(p.quat)[2, 2]) < 0.1]
    standing = [p for p in poses if abs(quat_to_matrix(p.quat)[2, 2]) > 0.99]
    assert len(standing) == 2
    assert 2 <= len(lying) <= 6
    # Solid angle of a disk of radius r at distance h: 2 pi (1 - h / sqrt(h^2 + r^2)), twice.
    assert sum(p.probability for p in standing) == pytest.approx(1 - 1 / math.sqrt(2), abs=0.01)
    assert all(p.width == pytest.approx(0.06, rel=0.01) for p in poses)


def test_ball_has_a_few_poses_that_stand_for_all() -> None:
    mesh = trimesh.creation.icosphere(3, 0.03)
    poses = compute_rest_poses(mesh.vertices, np.zeros(3))
    assert 2 <= len(poses) <= 12
    assert all(p.width == pytest.approx(0.06, rel=0.02) for p in poses)


def test_upright_pose_is_kept_although_rare() -> None:
    bottle = trimesh.creation.box((0.06, 0.09, 0.3))
    assert all(abs(quat_to_matrix(p.quat)[2, 2]) < 0.1 for p in compute_rest_poses(bottle.vertices, np.zeros(3)))
    standing = [
        p for p in compute_rest_poses(bottle.vertices, np.zeros(3), upright=True) if quat_to_matrix(p.quat)[2, 2] > 0.99
    ]
    assert len(standing) == 1
    assert 0.04 < standing[0].probability < 0.06


def test_poses_touch_the_table_and_do_not_depend_on_the_frame() -> None:
    toy = toy_object(sample_toy(stream(5)), "test")
    turn = quat_to_matrix((0.2, 0.5, -0.4, 0.7))
    again = compute_rest_poses(toy.mesh.vertices @ turn.T, turn @ toy.com)
    for pose in toy.rest_poses:
        lowest = (toy.mesh.vertices @ quat_to_matrix(pose.quat).T)[:, 2].min()
        assert lowest + pose.height == pytest.approx(0, abs=1e-12)
    assert sorted(round(p.width, 5) for p in again) == sorted(round(p.width, 5) for p in toy.rest_poses)
    assert toy.rest_poses == compute_rest_poses(toy.mesh.vertices, toy.com)


def test_min_width_of_a_turned_rectangle_and_a_triangle() -> None:
    c, s = math.cos(0.3), math.sin(0.3)
    corners = np.array([[0, 0], [5, 0], [5, 2], [0, 2], [2, 1]], dtype=float) @ np.array([[c, s], [-s, c]])
    assert min_width(corners) == pytest.approx(2)
    assert min_width(np.array([[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]])) == pytest.approx(math.sqrt(3) / 2)
    assert min_width(np.array([[0, 0], [1, 1], [2, 2]], dtype=float)) == 0.0


def test_quat_between_opposite_directions() -> None:
    for a in np.vstack([np.eye(3), -np.eye(3)]):
        for b in np.vstack([np.eye(3), -np.eye(3)]):
            np.testing.assert_allclose(quat_to_matrix(quat_between(a, b)) @ a, b, atol=1e-9)


def test_flat_points_are_refused() -> None:
    with pytest.raises(MeshError, match="flat"):
        compute_rest_poses(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]]), np.zeros(3))
    with pytest.raises(MeshError, match="flat or empty"):
        compute_rest_poses(np.zeros((0, 3)), np.zeros(3))


def _settle(found: GraspObject, pose: RestPose) -> tuple[float, float]:
    """Puts a toy on a MuJoCo plane in a rest pose; returns how far it drifts [m] and turns [rad] in 2 s."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    body = spec.worldbody.add_body(pos=[0, 0, pose.height], quat=pose.quat)
    body.add_freejoint()
    body.explicitinertial = True
    body.mass, body.ipos = found.mass, found.com
    i = found.inertia
    body.fullinertia = [i[0, 0], i[1, 1], i[2, 2], i[0, 1], i[0, 2], i[1, 2]]
    kinds = {
        "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
        "box": mujoco.mjtGeom.mjGEOM_BOX,
        "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    }
    for g in found.geoms:
        body.add_geom(type=kinds[g.kind], size=g.size, pos=g.pos, quat=g.quat, friction=found.friction, condim=4)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 1000)
    turned = 2 * math.acos(min(1.0, abs(float(np.dot(data.qpos[3:7], pose.quat)))))
    return float(np.linalg.norm(data.qpos[:2])), turned


def test_toys_stay_in_their_most_probable_rest_pose_in_mujoco() -> None:
    """Physics agrees with geometry: of 20 angular toys nearly all stay where they are put (rollers may roll)."""
    stayed, tried, i = 0, 0, 0
    while tried < 20:
        i += 1
        toy = sample_toy(stream(9, i))
        if any(p.kind in ("sphere", "cylinder", "ring") for p in toy.primitives):
            continue
        found = toy_object(toy, "test")
        drift, turned = _settle(found, found.rest_poses[0])
        tried += 1
        stayed += drift < 0.004 and turned < 0.1
    assert stayed >= 19
