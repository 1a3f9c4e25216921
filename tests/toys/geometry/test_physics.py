"""Physics: unions against closed forms, a hoop that fingers pass through and close on, toys that stay as they lie."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from toyshift.envs.config import EnvConfig
from toyshift.envs.scene.bodies import uses_slots, write_toy
from toyshift.envs.scene.build import build_scene
from toyshift.toys import GraspObject, load_objects
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.toy import Toy, toy_object


def _object(*parts: Primitive) -> GraspObject:
    return toy_object(Toy(parts, "red", 1000.0), "test")


def test_two_overlapping_spheres_against_the_lens() -> None:
    """V = 2 * 4/3 pi r^3 - lens, the lens being pi (4 r + d)(2 r - d)^2 / 12; inertia is that of balls without caps."""
    r, d = 0.03, 0.036
    found = _object(Primitive("sphere", (r,)), Primitive("sphere", (r,), (d, 0.0, 0.0)))
    lens = math.pi * (4 * r + d) * (2 * r - d) ** 2 / 12
    volume = 8 / 3 * math.pi * r**3 - lens
    assert found.mass == pytest.approx(1000 * volume, rel=4e-3)  # 32 facets
    np.testing.assert_allclose(found.com, [d / 2, 0, 0], atol=1e-5)
    # Along the axis the union is a solid of revolution of radius rho:
    # I_xx = pi/2 int rho^4, I_yy = pi/4 int rho^4 + pi int rho^2 x^2.
    x = np.linspace(0, d / 2 + r, 200_001)
    rho2 = np.maximum(r**2 - (x - d / 2) ** 2, 0.0)
    step = x[1] - x[0]
    axial = 2 * math.pi / 2 * (rho2**2).sum() * step
    across = axial / 2 + 2 * math.pi * (rho2 * x**2).sum() * step
    np.testing.assert_allclose(np.diag(found.inertia), 1000 * np.array([axial, across, across]), rtol=8e-3)
    np.testing.assert_allclose(found.inertia - np.diag(np.diag(found.inertia)), 0.0, atol=1e-3 * found.inertia.max())


def test_crossed_boxes_count_their_middle_once() -> None:
    """Two beams a x b x b crossing at right angles: both, less the cube b^3 in their middle."""
    a, b = 0.12, 0.02
    turned = Primitive("cuboid", (a, b, b), (0.0, 0.0, 0.0), (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)))
    found = _object(Primitive("cuboid", (a, b, b)), turned)
    beam, cube = 1000 * a * b * b, 1000 * b**3
    assert found.mass == pytest.approx(2 * beam - cube, rel=1e-5)
    np.testing.assert_allclose(found.com, 0.0, atol=1e-7)
    flat = beam / 12 * (2 * b**2) + beam / 12 * (a**2 + b**2) - cube * b**2 / 6
    up = 2 * beam / 12 * (a**2 + b**2) - cube * b**2 / 6
    np.testing.assert_allclose(np.diag(found.inertia), [flat, flat, up], rtol=1e-4)


def test_a_hoop_has_the_mass_of_its_wall_and_the_inertia_of_a_tube() -> None:
    outer, wall, height = 0.034, 0.004, 0.03
    found = _object(Primitive("ring", (outer, wall, height)))
    inner = outer - wall
    assert found.mass == pytest.approx(1000 * math.pi * (outer**2 - inner**2) * height, rel=1e-6)
    sides = found.mass * (3 * (outer**2 + inner**2) + height**2) / 12
    np.testing.assert_allclose(
        np.diag(found.inertia), [sides, sides, found.mass * (outer**2 + inner**2) / 2], rtol=8e-3
    )


def _hoop_and_fingers(gap: float) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """A free hoop, axis up, whose wall at +x stands between two fingers on a slide, `gap` [m] away on both sides."""
    ring = Primitive("ring", (0.034, 0.005, 0.03))
    found = _object(ring)
    spec = mujoco.MjSpec()
    spec.option.gravity = (0, 0, 0)
    body = spec.worldbody.add_body(name="hoop")
    body.add_freejoint()
    body.explicitinertial, body.mass, body.ipos = True, found.mass, found.com
    body.inertia = np.diag(found.inertia)
    for geom in found.geoms:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=geom.size,
            pos=geom.pos,
            quat=geom.quat,
            friction=found.friction,
            condim=4,
            mass=0,
        )
    middle, half = 0.0315, 0.004
    for name, side in (("inner", -1.0), ("outer", 1.0)):
        finger = spec.worldbody.add_body(name=name, pos=(middle + side * (0.0025 + gap + half), 0, 0.1))
        finger.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=(half, 0.008, 0.02), condim=4, mass=0.05)
        for axis, joint in (((0, 0, 1), "down"), ((-side, 0, 0), "close")):
            finger.add_joint(name=f"{name}_{joint}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
            spec.add_actuator(
                name=f"{name}_{joint}", target=f"{name}_{joint}", trntype=mujoco.mjtTrn.mjTRN_JOINT
            ).set_to_position(kp=500, kv=20)
    model = spec.compile()
    return model, mujoco.MjData(model)


def test_a_finger_goes_into_the_hole_and_closes_on_the_wall() -> None:
    model, data = _hoop_and_fingers(gap=0.006)
    hoop = model.body("hoop").id

    def run(seconds: float, down: float, close: float) -> int:
        touching = 0
        for finger in ("inner", "outer"):
            data.actuator(f"{finger}_down").ctrl, data.actuator(f"{finger}_close").ctrl = down, close
        for _ in range(round(seconds / model.opt.timestep)):
            mujoco.mj_step(model, data)
            touching = max(touching, data.ncon)
        return touching

    # One finger goes down through the hole, one beside the hoop: neither touches.
    assert run(1.0, down=-0.1, close=0.0) == 0
    assert data.body("inner").xpos[2] == pytest.approx(0.0, abs=2e-3)
    assert run(0.5, down=-0.1, close=0.012) > 0
    touched = {int(model.geom_bodyid[g]) for pair in data.contact.geom for g in pair}
    assert touched == {hoop, model.body("inner").id, model.body("outer").id}  # both hold the wall
    width = data.body("outer").xpos[0] - data.body("inner").xpos[0] - 2 * 0.004
    assert width == pytest.approx(0.005, abs=1e-3)
    run(1.0, down=0.1, close=0.012)
    assert data.xpos[hoop, 2] > 0.15  # and carry it up


# 3, 2 and 1 kinds of parts, among them balls and cylinders that roll; a box and a hollow vessel of the YCB-like set.
RESTING = [
    ("toys:train?n=6", 0),
    ("toys:train?n=6", 1),
    ("toys:train?n=6", 2),
    ("toys:train?n=6", 3),
    ("ycb-like", "003_cracker_box"),
    ("ycb-like", "024_bowl"),
]


@pytest.mark.parametrize(("spec", "which"), RESTING)
def test_what_is_dropped_comes_to_rest_stays_and_sinks_less_than_a_millimetre(spec: str, which: int | str) -> None:
    """Dropped from 1 cm in its likeliest rest pose; after 2 s it drifts less than 1 mm and 1 degree in 10 s."""
    objects = load_objects(spec)
    obj = objects[which] if isinstance(which, int) else objects.by_id(which)
    config = EnvConfig(objects=spec)
    scene = build_scene(config, None if uses_slots(obj) else obj)
    if uses_slots(obj):
        write_toy(scene, obj)
    model, data = scene.model, scene.data
    mujoco.mj_resetData(model, data)
    data.qpos[scene.arm.qpos] = data.ctrl[scene.arm.ctrl] = scene.robot.home
    pose = obj.rest_poses[0]
    low = 0.01 + pose.height
    data.qpos[scene.target.qpos] = [*config.centre, low, *pose.quat]
    mujoco.mj_step(model, data, nstep=round(2.0 / model.opt.timestep))
    before = data.qpos[scene.target.qpos].copy()
    deepest = 0.0
    for _ in range(round(10.0 / 0.1)):
        mujoco.mj_step(model, data, nstep=round(0.1 / model.opt.timestep))
        mine = scene.is_object[data.contact.geom].any(axis=1)
        deepest = min(deepest, float(data.contact.dist[mine].min(initial=0.0)))
    after = data.qpos[scene.target.qpos]
    assert deepest > -1e-3
    assert np.linalg.norm(after[:3] - before[:3]) < 1e-3
    assert 2 * math.acos(min(1.0, abs(float(after[3:] @ before[3:])))) < math.radians(1.0)
    assert np.abs(data.qvel[scene.target.qvel]).max() < 0.02
