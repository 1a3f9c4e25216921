"""The objects of other sub-datasets in a sub-dataset's episodes: graspable in the same way, acted out in simulation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import mujoco
import numpy as np

from toyshift.augment.augmentation import Augmentation
from toyshift.core.arrays import Array
from toyshift.core.contract import ACTION, SIM_STATE, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError
from toyshift.core.fields import check_ranges
from toyshift.data.episode import EXECUTED, Episode
from toyshift.envs.rotations import matrix_to_quat, yaw_to_matrix
from toyshift.envs.tasks.pick import phrase

if TYPE_CHECKING:
    from toyshift.augment.sources import Sources
    from toyshift.envs.tasks.grasp import GraspEnv

FLIP = np.diag([-1.0, -1.0, 1.0])  # the other finger first: two fingers grasp alike


class FittingObject(NamedTuple):
    """Another object where an episode's was: how much its grasp differs, its meta data, and its pose (4, 4)."""

    cost: float
    meta: dict[str, Any]
    pose: Array


@dataclasses.dataclass(frozen=True)
class ObjectSwap(Augmentation):
    """Copies with an object of another sub-dataset, of those whose own grasp is the episode's but for turn and place.

    The actions are those of the episode; a copy is kept if they lift the object. Of each episode one object is drawn
    for a copy, and the next one tried where it does not succeed.

    Attributes:
        tilt: how much the direction of the grasp may differ [deg].
        height: how much its height may [m].
        width: how much the width between the fingers may [m].
        tries: objects that are tried for a copy.
    """

    tilt: float = 20.0
    height: float = 0.02
    width: float = 0.02
    tries: int = 4

    several = True
    replays = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, {"tilt": (0, 90), "height": (0, 1), "width": (0, 1), "tries": (1, 100)})

    def fits(self, meta: dict[str, Any], others: list[dict[str, Any]]) -> list[FittingObject]:
        """Returns the objects that are graspable as an episode's was, the most alike first; each object once."""
        found: dict[str, FittingObject] = {}
        if meta.get("attempts", 1) > 1:  # its grasp is not the one that its first actions lead to
            return []
        for other in others:
            for turn in (np.eye(3), FLIP):
                fit = self._fit(meta, other, turn)
                known = found.get(other["object_id"])
                if fit and (known is None or fit.cost < known.cost):
                    found[other["object_id"]] = fit
        return sorted(found.values(), key=lambda fit: fit.cost)

    def _fit(self, meta: dict[str, Any], other: dict[str, Any], turn: Array) -> FittingObject | None:
        here, there = meta["grasp"], other["grasp"]
        if other["object_id"] == meta["object_id"] or other.get("attempts", 1) > 1:
            return None
        position, old = np.asarray(here["position"]), np.asarray(there["position"])
        way = np.asarray(here["rotation"]) @ turn @ np.asarray(there["rotation"]).T  # from its grasp to this one
        tilt = float(np.degrees(np.arccos(np.clip(way[2, 2], -1, 1))))
        height, width = abs(float(position[2] - old[2])), abs(float(here["width"] - there["width"]))
        if tilt > self.tilt or height > self.height or width > self.width:
            return None
        yaw = yaw_to_matrix(float(np.arctan2(way[1, 0] - way[0, 1], way[0, 0] + way[1, 1])))
        rest = np.asarray(other["object_pose"])
        pose = np.eye(4)
        pose[:3, :3] = yaw @ rest[:3, :3]
        pose[:2, 3] = position[:2] + (yaw @ (rest[:3, 3] - old))[:2]
        pose[2, 3] = rest[2, 3]  # it rests on the table as it did
        return FittingObject(tilt / 10 + height / 0.01 + width / 0.01, other, pose)

    def check_sources(self, sources: Sources, part: int) -> None:
        others = sources.grasped(sources.around(part).others)
        if not any(self.fits(meta, others) for meta in sources.grasped([part])):
            limits = f"tilt={self.tilt:g}, height={self.height:g}, width={self.width:g}"
            raise ConfigError(f"no object of the other sub-datasets is graspable as its own are ({limits}): allow more")

    def episode(self, sources: Sources, part: int, number: int, rng: np.random.Generator) -> Episode | None:
        episode = sources.datasets[part].episode(number)
        fits = self.fits(episode.meta, sources.grasped(sources.around(part).others))
        first = int(rng.random() * min(len(fits), self.tries))
        for fit in [*fits[first:], *fits[:first]][: self.tries]:
            if made := self._acted(sources.env(part), episode, fit):
                return made
        return None

    def _acted(self, env: GraspEnv, episode: Episode, fit: FittingObject) -> Episode | None:
        """Acts an episode out with another object; None where that is not lifted."""
        meta, other = episode.meta, fit.meta
        beside = meta.get("others")
        if beside and other["object_id"] in beside:
            return None
        env.load_sim_state(other["object_id"], episode.frames[SIM_STATE][0], None, beside)
        if env.config.task == "pick" and phrase(env.object) in [phrase(thing) for thing, _, _ in env.others()]:
            return None  # an instruction could not tell it from what lies beside it
        data, target = env.scene.data, env.scene.target
        data.qpos[target.qpos] = [*fit.pose[:3, 3], *matrix_to_quat(fit.pose[:3, :3])]
        data.qvel[target.qvel] = 0.0
        mujoco.mj_forward(env.scene.model, data)
        env.load_sim_state(other["object_id"], env.sim_state(), None, beside)  # from here on it is judged
        frames: dict[str, list[Any]] = {key: [] for key in episode.frames}
        done = False
        for t, executed in enumerate(episode.frames.get(EXECUTED, episode.frames[ACTION])):
            seen = env.observe()
            for key in episode.frames:  # actions stay, and whatever is not of the world
                frames[key].append(episode.frames[key][t])
            for camera in env.config.camera_names:
                extrinsics, intrinsics = env.camera_pose(camera)
                frames[image_key(camera)][t], frames[mask_key(camera)][t] = (
                    seen["pixels"][camera], seen["masks"][camera]
                )  # fmt: skip
                frames[f"camera.{camera}.extrinsics"][t] = extrinsics.astype(np.float32)
                frames[f"camera.{camera}.intrinsics"][t] = intrinsics.astype(np.float32)
            frames[STATE][t], frames[SIM_STATE][t] = seen["agent_pos"], env.sim_state()
            _, terminated, info = env.advance(executed)
            done = bool(info["is_success"])
            if terminated:
                break
        if not done:
            return None
        factors = {key: value for key, value in meta.get("factors", {}).items() if key != "colours"}  # not painted
        if "sub_dataset" in factors and "sub_dataset" in other.get("factors", {}):
            factors["sub_dataset"] = factors["sub_dataset"] | {"object": other["factors"]["sub_dataset"]["object"]}
        told = {
            "task": env.task_description, "object_id": other["object_id"], "object_set": env.config.objects,
            "object_pose": fit.pose.round(6).tolist(), "model_hash": env.model_hash(), "factors": factors,
            "grasp": meta["grasp"] | {"width": other["grasp"]["width"]},
        }  # fmt: skip
        return Episode(episode.index, {key: np.stack(value) for key, value in frames.items()}, meta | told)
