"""Cameras: poses and lenses against what is seen, depth in metres, plain data, processes, and nothing left open."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

import toyshift.envs
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs import sb3
from toyshift.envs.cameras import FAR, Camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.render import renderer as rendering
from toyshift.envs.scene.surroundings import TABLE
from toyshift.envs.tasks.grasp import GraspEnv

OBJECTS = "toys:train?n=4"
SIDE = Camera("side", position=(0.5, -0.7, 0.4), look_at=(0.5, 0.0, 0.1), fovy=50.0, size=(120, 200))
TOP = Camera("top", position=(0.5, 0.0, 0.9), look_at=(0.5, 0.0, 0.0))
# looks straight down, the robot at the top of the image; the principal point far from the middle, fx != fy
LENS = Camera(
    "lens", extrinsics=((0, 1, 0, 0.05), (1, 0, 0, -0.5), (0, 0, -1, 0.8), (0, 0, 0, 1)),
    intrinsics=((150, 0, 40.5), (0, 190, 100), (0, 0, 1)), size=(160, 140),
)
PALM = Camera("palm", position=(0.0, 0.06, 0.0), look_at=(0.0, 0.0, 0.12), fovy=80.0, size=(90, 150), body="wrist")
SKY = Camera("sky", position=(0.0, 0.0, 1.5), look_at=(0.0, 0.0, 5.0), fovy=30.0, size=(20, 30))
EVERY = ("front", Camera("wrist", size=(100, 160)), SIDE, TOP, LENS, PALM, SKY)


@pytest.fixture(scope="module")
def env() -> Any:
    made = GraspEnv(EnvConfig(objects=OBJECTS, image_size=128, cameras=EVERY, depth=True))
    yield made
    made.close()


def project(env: GraspEnv, camera: str, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Returns pixel coordinates (x, y) and depth [m] of a point in the base frame."""
    extrinsics, intrinsics = env.camera_pose(camera)
    local = extrinsics[:3, :3] @ point + extrinsics[:3, 3]
    return (intrinsics @ local)[:2] / local[2], float(local[2])


def back_projected(env: GraspEnv, camera: str, depth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the points (H, W, 3) in the base frame that an image of depths shows."""
    extrinsics, intrinsics = env.camera_pose(camera)
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]] + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    return (rays * depth[..., None] - extrinsics[:3, 3]) @ extrinsics[:3, :3]


def show_ball(env: GraspEnv, centre: tuple[float, float, float], radius: float = 0.01) -> None:
    """Draws the object as a ball at a place."""
    model, data = env.scene.model, env.scene.data
    first, *others = env.scene.looks.target_visuals
    model.geom_group[others] = 4
    model.geom_type[first], model.geom_size[first], model.geom_pos[first] = mujoco.mjtGeom.mjGEOM_SPHERE, radius, 0.0
    data.qpos[env.scene.target.qpos] = [*centre, 1, 0, 0, 0]
    mujoco.mj_forward(model, data)


def test_a_point_is_seen_where_it_is_projected() -> None:
    """A ball of 1 cm: the middle of its mask is within a pixel of the projection, and its near point as deep as
    computed.
    """
    radius = 0.01
    env = GraspEnv(EnvConfig(objects=OBJECTS, image_size=128, cameras=EVERY, depth=True))
    seen: dict[str, int] = dict.fromkeys(env.config.camera_names, 0)
    env.reset(seed=1)
    for centre in ((0.5, 0.0, 0.03), (0.45, 0.12, 0.1), (0.52, -0.1, 0.15), (0.65, -0.15, 0.05)):
        show_ball(env, centre, radius)
        observation = env.observe()
        for camera in env.config.camera_names:
            mask = observation["masks"][camera] == 1
            rows, columns = np.nonzero(mask)
            height, width = mask.shape
            last = (height - 1, width - 1)
            if not len(rows) or 0 in (rows.min(), columns.min()) or (rows.max() == last[0] or columns.max() == last[1]):
                continue
            pixel, depth = project(env, camera, np.asarray(centre))
            middle = np.array([columns.mean(), rows.mean()]) + 0.5
            whole = len(rows) > 0.8 * np.pi * radius**2 * np.prod(np.diag(env.camera_pose(camera)[1])[:2]) / depth**2
            if whole:  # not half behind the gripper
                assert np.abs(middle - pixel).max() < 1.0, (camera, middle, pixel)
                assert abs(observation["depth"][camera][mask].min() - (depth - radius)) < 2e-3, camera
                seen[camera] += 1
    env.close()
    assert {name for name, times in seen.items() if times} == {"front", "wrist", "side", "top", "lens", "palm"}, seen


def test_a_camera_on_the_wrist_moves_with_it(env: GraspEnv) -> None:
    env.reset(seed=1)
    before = {camera: env.camera_pose(camera)[0] for camera in ("palm", "wrist", "side")}
    for _ in range(3):
        env.advance(np.array([0, 0.05, 0, 0, 0, 0, 1], np.float32))
    after = {camera: env.camera_pose(camera)[0] for camera in before}
    np.testing.assert_array_equal(after["side"], before["side"])
    # both are on the same body: how one stands to the other does not change
    np.testing.assert_allclose(
        after["palm"] @ np.linalg.inv(after["wrist"]), before["palm"] @ np.linalg.inv(before["wrist"]), atol=1e-6,
    )
    assert np.abs(after["palm"] - before["palm"]).max() > 0.02


def test_given_matrices_come_back(env: GraspEnv) -> None:
    env.reset(seed=0)
    extrinsics, intrinsics = env.camera_pose("lens")
    np.testing.assert_allclose(extrinsics, LENS.extrinsics, atol=1e-6)
    np.testing.assert_allclose(intrinsics, LENS.intrinsics, rtol=1e-6)
    _, intrinsics = env.camera_pose("side")
    focal = 60 / np.tan(np.radians(25.0))
    np.testing.assert_allclose(intrinsics, [[focal, 0, 100], [0, focal, 60], [0, 0, 1]], rtol=1e-6)


def test_depth_of_the_table_lies_on_its_plane_and_nothing_is_far(env: GraspEnv) -> None:
    observation, _ = env.reset(seed=2)
    for camera in ("front", "side", "top", "lens"):
        depth = observation["depth"][camera]
        assert depth.dtype == np.float32
        assert depth.shape == env.config.image_sizes[camera]
        points = back_projected(env, camera, depth)
        x, y, z = np.moveaxis(points, -1, 0)[:3]
        on_table = (np.abs(x - 0.45) < TABLE[0] - 0.02) & (np.abs(y) < TABLE[1] - 0.02) & (z > -0.3)
        inside = (observation["masks"][camera] == 0) & on_table
        assert inside.sum() > 3000, camera
        assert np.abs(points[inside][:, 2]).max() < 2e-3, camera
    np.testing.assert_array_equal(observation["depth"]["sky"], FAR)
    assert observation in env.observation_space


def test_stable_baselines_gets_depth_in_flat_keys() -> None:
    made = sb3.make(objects=OBJECTS, cameras=("front", SIDE), image_size=32, depth=True)
    observation, _ = made.reset(seed=0)
    assert observation["depth_side"].shape == (120, 200, 1)
    assert observation in made.observation_space
    made.close()


def test_depth_changes_nothing_else_and_noise_leaves_it() -> None:
    plain = GraspEnv(EnvConfig(objects=OBJECTS, image_size=32))
    deep = GraspEnv(EnvConfig(objects=OBJECTS, image_size=32, depth=True))
    first, second = plain.reset(seed=3)[0], deep.reset(seed=3)[0]
    assert "depth" not in first
    for key in ("pixels", "masks"):
        for camera in ("front", "wrist"):
            np.testing.assert_array_equal(first[key][camera], second[key][camera])
    spoiled, _ = deep.reset(seed=3, options={"episode": 0, "shift": "image-noise=5,mask-dropout=5"})
    np.testing.assert_array_equal(spoiled["depth"]["front"], second["depth"]["front"])
    assert (spoiled["pixels"]["front"] != second["pixels"]["front"]).any()
    plain.close()
    deep.close()


def test_image_mask_and_depth_of_a_camera_share_their_scene_updates(
    env: GraspEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at most: the first finds what is in view, the second leaves out what is not."""
    env.reset(seed=0)
    calls: list[None] = []
    update = mujoco.mjv_updateScene
    monkeypatch.setattr(mujoco, "mjv_updateScene", lambda *args: (calls.append(None), update(*args)))
    env.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert len(EVERY) <= len(calls) <= 2 * len(EVERY)


# ---------------------------------------------------------------- values and plain data


def test_cameras_are_values_and_plain_data() -> None:
    for camera in (SIDE, TOP, LENS, PALM):
        assert Camera.from_json(json.loads(json.dumps(camera.to_json()))) == camera
    lists = json.loads(json.dumps(dataclasses.asdict(EnvConfig(objects=OBJECTS, cameras=EVERY))))
    assert EnvConfig(**lists | {"centre": (0.5, 0.0)}) == EnvConfig(objects=OBJECTS, cameras=EVERY)
    extrinsics, intrinsics = np.asarray(LENS.extrinsics), np.asarray(LENS.intrinsics)
    lens: dict[str, Any] = {"extrinsics": extrinsics, "intrinsics": intrinsics, "size": [160, 140]}
    assert Camera("lens", **lens) == LENS


def test_gym_make_takes_cameras_as_plain_data() -> None:
    made = gym.make(
        "toyshift/Grasp-v0", objects=OBJECTS, cameras=["front", SIDE.to_json()], image_size=[48, 64], depth=True,
    )
    observation, _ = made.reset(seed=0)
    shapes = {camera: image.shape for camera, image in observation["pixels"].items()}
    assert shapes == {"front": (48, 64, 3), "side": (120, 200, 3)}
    contract = made.get_wrapper_attr("observation_contract")
    assert dict(contract.cameras) == {"front": (48, 64), "side": (120, 200)}
    made.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "side"}, "'side' needs a pose"),
        ({"name": "side", "position": (0, 0, 1)}, "needs a pose"),
        ({"name": "side", "position": (0, 0, 1), "look_at": (0, 0, 1)}, "its own position"),
        ({"name": "side", "position": (0, 0, float("nan")), "look_at": (0, 0, 0)}, "position must be 3 finite numbers"),
        ({"name": "side", "extrinsics": np.eye(3)}, "extrinsics must be 4 x 4"),
        ({"name": "side", "extrinsics": np.diag([1.0, 1.0, -1.0, 1.0])}, "must be a rotation"),
        ({"name": "side", "extrinsics": np.eye(4), "position": (0, 0, 1)}, "either extrinsics"),
        ({"name": "side", "extrinsics": np.eye(4), "intrinsics": np.eye(3)}, r"need size=\(height, width\)"),
        (
            {
                "name": "side", "extrinsics": np.eye(4), "intrinsics": ((9, 1, 5), (0, 9, 5), (0, 0, 1)),
                "size": (16, 16),
            },
            "no skew",
        ),
        ({"name": "side", "extrinsics": np.eye(4), "fovy": 200}, "between 1 and 170"),
        ({"name": "side", "extrinsics": np.eye(4), "size": (8, 40)}, "between 16 and 1024"),
        ({"name": "side", "extrinsics": np.eye(4), "size": (32.5, 40)}, "whole number"),
        ({"name": "front", "position": (0, 0, 1), "look_at": (0, 0, 0)}, "'front' is built in"),
        ({"name": "film", "extrinsics": np.eye(4)}, "film"),
        ({"name": "my camera", "extrinsics": np.eye(4)}, "letters"),
        ({"name": "side", "extrinsic": np.eye(4)}, "Did you mean 'extrinsics'"),
        ({"position": (0, 0, 1)}, "needs a name"),
        (3, "a name .front, wrist., a Camera or a mapping"),
    ],
)
def test_wrong_cameras_name_what_is_wrong(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnvConfig(cameras=(wrong,))


def test_wrong_names_and_bodies_name_the_choices(env: GraspEnv) -> None:
    with pytest.raises(ConfigError, match="'side' is given twice"):
        EnvConfig(cameras=(SIDE, "front", SIDE))
    with pytest.raises(ConfigError, match=r"\('front',\)"):
        EnvConfig(cameras="front")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="right_hand"):
        GraspEnv(EnvConfig(objects=OBJECTS, cameras=(dataclasses.replace(PALM, body="right_hnd"),)))
    with pytest.raises(UnknownNameError, match="palm"):
        env.camera_pose("palmm")


def test_a_camera_inside_the_object_is_refused() -> None:
    inside = Camera("inside", position=(0.0, 0.0, 0.0), look_at=(0.0, 0.0, 1.0), body="object")
    env = GraspEnv(EnvConfig(objects="ycb-like", cameras=(inside,)))
    with pytest.raises(ConfigError, match="camera 'inside' is inside"):
        env.reset(seed=0, options={"object": 0})
    env.close()


# ---------------------------------------------------------------- quality and render modes


def test_high_quality_draws_full_meshes_and_plays_the_same() -> None:
    fast, high = (GraspEnv(EnvConfig(objects=OBJECTS, cameras=(), quality=quality)) for quality in ("fast", "high"))
    for env in (fast, high):
        env.reset(seed=4)
        for _ in range(5):
            env.advance(np.array([0.02, 0, -0.02, 0, 0, 0.1, 0], np.float32))
    assert high.scene.model.nmeshface > 5 * fast.scene.model.nmeshface
    np.testing.assert_array_equal(fast.sim_state(), high.sim_state())
    assert fast.model_hash() == high.model_hash()


def test_without_a_display_human_mode_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ConfigError, match=r"rgb_array.*toyshift envs play"):
        GraspEnv(EnvConfig(objects=OBJECTS, cameras=()), render_mode="human")
    with pytest.raises(UnknownNameError, match="rgb_array"):
        GraspEnv(EnvConfig(objects=OBJECTS, cameras=()), render_mode="rgb")
    film = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()), render_mode="rgb_array")
    film.reset(seed=0)
    image = film.render()
    assert image is not None
    assert image.shape == (256, 256, 3)
    assert image.std() > 10
    film.close()


# ---------------------------------------------------------------- processes and closing


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_another_process_draws_the_same_bytes(context: str) -> None:
    options = {"objects": OBJECTS, "image_size": 32, "cameras": ["front", SIDE.to_json()], "depth": True}
    here = gym.make("toyshift/Grasp-v0", **options)
    expected, _ = here.reset(seed=5)
    there = gym.make_vec("toyshift/Grasp-v0", 1, "async", vector_kwargs={"context": context}, **options)
    observation, _ = there.reset(seed=5)
    for key in ("pixels", "masks", "depth"):
        for camera in ("front", "side"):
            np.testing.assert_array_equal(observation[key][camera][0], expected[key][camera])
    there.close()
    here.close()


def test_thirty_environments_leave_nothing_open() -> None:
    config = EnvConfig(objects=OBJECTS, cameras=("front",), image_size=16)
    files, contexts = [], []
    for i in range(30):
        env = GraspEnv(config)
        assert env.reset(seed=i)[0]["pixels"]["front"].any()
        env.close()
        if i in (9, 29):
            gc.collect()
            files.append(len(os.listdir("/proc/self/fd")))
            contexts.append(sum(renderer._gl is not None for renderer in rendering._open))
    assert files[1] <= files[0]
    assert contexts[1] == contexts[0]


def test_a_context_of_a_thread_that_has_ended_leaves_silently() -> None:
    code = (
        "import threading\n"
        "from toyshift.envs import EnvConfig, GraspEnv\n"
        f"env = GraspEnv(EnvConfig(objects={OBJECTS!r}, cameras=('front',), image_size=16))\n"
        "thread = threading.Thread(target=env.reset)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


assert toyshift.envs  # registers the environments
