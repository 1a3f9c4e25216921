"""Where an episode starts: the target's pose, the arm's joints, the objects around, drawn always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mujoco
import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.envs.control.gripper import write_robot
from toyshift.envs.rotations import matrix_to_quat, quat_to_matrix, yaw_to_matrix
from toyshift.envs.scene.scene import Scene
from toyshift.envs.shifted.distractors import Circle, place_distractors, radius_of
from toyshift.envs.shifted.start_state import Start
from toyshift.envs.shifts import Variation
from toyshift.envs.tasks.pick import Placed, resting, spread_out
from toyshift.envs.tasks.stage import SETTLE_ROUND, STILL, Setting, Stage

TOGETHER_ROUNDS = 100  # at most, for several objects


def place(
    stage: Stage, setting: Setting, variation: Variation, rng: np.random.Generator,
    stream: Callable[[str], np.random.Generator],
) -> None:
    """Writes the start of an episode into a scene's data; `mj_forward` must follow.

    Args:
        stage: knows how objects come to rest.
        setting: what is placed.
        variation: what shifts come to.
        rng: draws rest pose, yaw, position and joint noise of the target and the arm, always in this order.
        stream: gives the generators of the rest by name.
    """
    scene, config, obj = setting.scene, stage.config, setting.object
    shares = np.cumsum([pose.probability for pose in obj.rest_poses])
    pose = min(int(np.searchsorted(shares, rng.random() * shares[-1])), len(obj.rest_poses) - 1)
    yaw = rng.random() * 2 * np.pi
    offset = 2 * rng.random(2) - 1
    noise = config.start_noise * rng.standard_normal(len(stage.robot.joints))
    start = Start(config.spread, np.asarray(stage.robot.home) + noise)
    for apply, drawn in variation.at("start"):
        apply(start, drawn.value, stream(drawn.factor))
    quat, height = stage.settled(setting, pose)
    rotation = yaw_to_matrix(yaw) @ quat_to_matrix(quat)
    position = np.array([*config.centre, height])
    position[:2] += offset * start.half - (rotation @ obj.com)[:2]
    mujoco.mj_resetData(scene.model, scene.data)
    scene.data.qpos[scene.target.qpos] = [*position, *matrix_to_quat(rotation)]
    covered = place_others(stage, setting, start.half, stream("places")) if setting.others else []
    write_robot(scene, start.joints)
    if setting.distractors:
        around = (scene.data.qpos[scene.target.qpos][:2].copy(), radius_of(obj))
        place_distractors(scene, setting.distractors, [around, *covered], stream("distractor places"))


def place_others(stage: Stage, setting: Setting, half: float, rng: np.random.Generator) -> list[Circle]:
    """Puts the task's other objects on the table, settled with the target and the arm at home.

    The target's orientation is the one it has in the present state. In Grasp so is its place; in Pick all are spread
    out. What changes nothing of this, such as another look, finds it in the stage's memory.

    Args:
        stage: remembers the latest.
        setting: what is placed.
        half: half side of the square in which a lone target would start [m].
        rng: draws orientations and places.

    Returns:
        what the others cover of the table, where they have come to rest.
    """
    scene, data = setting.scene, setting.scene.data
    start = data.qpos[scene.target.qpos].copy()
    hulls = [thing.hull for thing in setting.things]
    target = Placed(setting.object, hulls[0], start[3:], start[2])
    beside = zip(setting.others, hulls[1:], strict=False)
    key = (scene.loaded, start.tobytes(), half, str(rng.bit_generator.state))
    things = [target, *(resting(obj, hull, rng) for obj, hull in beside)]
    bodies = [scene.target, *scene.others]

    def settle() -> list[Array]:
        fixed = None if stage.config.task == "pick" else start[:2] + target.com
        mujoco.mj_resetData(scene.model, data)
        write_robot(scene, np.asarray(scene.robot.home))
        for body, pose in zip(bodies, spread_out(things, stage.config.centre, half, rng, fixed), strict=True):
            data.qpos[body.qpos] = pose
        come_to_rest(scene, [body.body for body in bodies], stage.config.physics_dt)
        return [data.qpos[body.qpos].copy() for body in bodies]

    settled = stage.remembered(key, settle)
    mujoco.mj_resetData(scene.model, data)
    for body, pose in zip(bodies, settled, strict=True):
        data.qpos[body.qpos] = pose
    lying = [thing._replace(quat=pose[3:]) for thing, pose in zip(things, settled, strict=True)]
    return [(pose[:2] + thing.com, thing.radius) for pose, thing in zip(settled[1:], lying[1:], strict=True)]


def come_to_rest(scene: Scene, bodies: Sequence[int], physics_dt: float) -> None:
    """Steps until all bodies lie still; each is stopped whenever it gets slower, which finds the bottom of what it
    rolls in.
    """
    model, data = scene.model, scene.data
    dofs = model.body_dofadr[bodies][:, None] + np.arange(6)  # (m, 6)
    fastest, still = np.zeros(len(bodies)), 0
    for _ in range(TOGETHER_ROUNDS):
        mujoco.mj_step(model, data, nstep=round(SETTLE_ROUND / physics_dt))
        speeds = (np.abs(data.qvel[dofs]) / STILL).max(axis=1)
        still = still + 1 if (speeds < 1 / 8).all() else 0  # in a row: what begins to roll is slow, too
        if still == 3:
            break
        slower = speeds < fastest
        data.qvel[dofs[slower]] = 0.0
        fastest = np.where(slower, 0.0, speeds)


def check_cameras(setting: Setting, cameras: Sequence[str]) -> None:
    """Raises ConfigError where one of the cameras is inside an object."""
    model, data = setting.scene.model, setting.scene.data
    objects = [setting.object, *setting.others, *setting.distractors]
    radii = [float(np.linalg.norm(setting.things[0].hull, axis=1).max()), *map(radius_of, objects[1:])]
    for camera in cameras:
        position = data.cam_xpos[model.camera(camera).id]
        for thing, obj, radius in zip(setting.things, objects, radii, strict=True):
            local = (position - data.xpos[thing.body]) @ data.xmat[thing.body].reshape(3, 3)
            if np.linalg.norm(local) < radius:
                hull = obj.mesh.convex_hull
                if (np.einsum("ij,ij->i", local - hull.triangles[:, 0], hull.face_normals) < 0).all():
                    raise ConfigError(f"camera {camera!r} is inside {obj.id}: move it, or choose a smaller object")
