"""Design decision 8: a toy written into the slots of the shared model behaves as if compiled for itself."""

import mujoco
import numpy as np

from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.scene.bodies import GEOM_TYPES, write_toy
from toyshift.envs.scene.build import build_scene
from toyshift.envs.scene.scene import Scene
from toyshift.toys.model import GEOM_KINDS

TOYS = 50


def fall(scene: Scene, home: tuple[float, ...]) -> tuple[np.ndarray, int]:
    """The toy's pose (50, 7) while it falls onto the table and rolls under the closing hand, and how many contacts
    there were.
    """
    mujoco.mj_resetData(scene.model, scene.data)
    scene.data.qpos[scene.arm.qpos] = scene.data.ctrl[scene.arm.ctrl] = home
    scene.data.qpos[scene.target.qpos] = [0.5, 0.0, 0.15, 0.9, 0.3, 0.1, 0.3]
    poses, contacts = [], 0
    for _ in range(50):
        mujoco.mj_step(scene.model, scene.data, nstep=3)
        poses.append(scene.data.qpos[scene.target.qpos].copy())
        contacts += scene.data.ncon
    return np.array(poses), contacts


def test_fifty_toys_in_slots_move_like_toys_compiled_for_themselves() -> None:
    config = EnvConfig(objects=f"toys:train?n={TOYS}", cameras=())
    env = GraspEnv(config)
    slots = build_scene(config)
    for i in range(TOYS):
        toy = env.objects[i]
        write_toy(slots, toy)
        own, contacts = fall(build_scene(config, toy), env.robot.home)
        written, same = fall(slots, env.robot.home)
        assert contacts == same > 0
        np.testing.assert_allclose(written, own, atol=1e-9, err_msg=toy.id)


def test_every_kind_of_geom_has_a_type() -> None:
    assert set(GEOM_TYPES) == set(GEOM_KINDS)
