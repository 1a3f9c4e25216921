"""A bundle in an environment with NumPy and onnxruntime alone: `make DIR` where everything is, `check DIR` there.

`make` writes a bundle of a policy with random weights for the simulator's Panda, what its robot says in one state, from
cameras of 640 x 480, and the chunk that the simulator's observation of that state gives. `check` verifies the bundle's
golden vectors and lets `Runtime` make a chunk of the readings.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

ABSENT = ("torch", "mujoco", "gymnasium", "pyarrow", "tyro", "scipy", "robosuite", "PIL")
SIZE, WIDE, HIGH = 96, 640, 480


def make(folder: Path) -> None:
    """Writes the bundle, the readings and what must come of them."""
    import torch

    from toyshift.core.contract import ACTION, STATE
    from toyshift.core.files import write_json
    from toyshift.diagnostics.bundle_facts import arm_of
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.tasks.grasp import GraspEnv
    from toyshift.policies import Policy, PolicyConfig, checkpoints, export, load_policy
    from toyshift.policies.act.bundle_facts import BundleFacts

    env, lens = GraspEnv(EnvConfig(objects="toys:test", image_size=SIZE)), {}
    obs, _ = env.reset(seed=0, options={"episode": 0})
    names, size = env.observation_contract.state_names, env.action_contract.size
    torch.manual_seed(0)
    stats = {key: {"mean": np.zeros(n), "std": np.ones(n)} for key, n in ((STATE, len(names)), (ACTION, size))}
    stats[ACTION]["std"] *= 0.1
    policy = Policy(PolicyConfig(width=32, stem=16, hidden=64), env.action_contract, env.observation_contract, stats)
    run = folder / "run"
    checkpoints.write_contracts(run, env.action_contract, env.observation_contract)
    write_json(run / checkpoints.CONFIG_FILE, {"policy": policy.config.to_json(), "manifest": {"git": None}})
    checkpoints.save_checkpoint(run, 0, {checkpoints.MODEL: policy.state_dict()}, finished=True, extra={})
    looks = {"size": [SIZE, SIZE], "images_seen": 0, "quantiles": [], "looks": {}}
    for camera in env.observation_contract.camera_names:
        lens[camera] = looks | {"intrinsics": [[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1]]}
    export(run, folder / "bundle", BundleFacts(arm_of("panda").to_json(), lens))
    readings = {
        "joints": env.scene.data.qpos[env.scene.arm.qpos], "width": np.array(env.opening() * 0.08),
        "chunk": load_policy(folder / "bundle").act(obs),
    }  # fmt: skip
    for camera, image in obs["pixels"].items():  # what a camera with the same view in its middle would show
        readings |= {f"image.{camera}": _wide(image), f"mask.{camera}": _wide(obs["masks"][camera])}
    np.savez(folder / "readings.npz", **readings)
    env.close()


def _wide(image: np.ndarray) -> np.ndarray:
    """Returns an image (480, 640, ...) with a square image, each pixel 5 x 5 times, in its middle."""
    large = image.repeat(HIGH // SIZE, axis=0).repeat(HIGH // SIZE, axis=1)
    side = (WIDE - HIGH) // 2
    return np.pad(large, ((0, 0), (side, side), *((0, 0),) * (image.ndim - 2)))


def check(folder: Path) -> None:
    """Verifies golden vectors, and a chunk from raw readings; fails by an AssertionError."""
    from toyshift.policies import verify
    from toyshift.policies.runtime import Lens, Readings, Runtime

    verified = verify(folder / "bundle")
    assert verified["passed"], verified
    with np.load(folder / "readings.npz") as given:
        focal = HIGH  # SIZE pixels of the training are HIGH of the robot's
        lens = Lens((HIGH, WIDE), (focal, focal), (WIDE / 2, HIGH / 2))
        cameras = [name.removeprefix("image.") for name in given.files if name.startswith("image.")]
        readings = Readings(
            given["joints"], float(given["width"]), {c: given[f"image.{c}"] for c in cameras}, 0.0,
            dict.fromkeys(cameras, 0.0), {c: given[f"mask.{c}"] for c in cameras},
        )  # fmt: skip
        lenses = dict.fromkeys(cameras, lens)
        with Runtime(folder / "bundle", colours="rgb", lenses=lenses, clock=lambda: 0.0) as runtime:
            while (command := runtime.step(readings)) is None:
                time.sleep(0.01)
        difference = float(np.abs(command.action - given["chunk"][0]).max())
    assert difference < 1e-5, f"the action differs by {difference}"
    loaded = sorted(name for name in ABSENT if name in sys.modules)
    assert not loaded, f"loaded beside NumPy and onnxruntime: {loaded}"
    print(f"golden vectors: {verified['largest_difference']:.1e}; action from raw readings: {difference:.1e}")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
