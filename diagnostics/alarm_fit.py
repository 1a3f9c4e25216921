"""What alarms are fitted to: a bundle's features, over datasets and over episodes that it plays in the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import STATE, TASK, image_key, mask_key
from toyshift.core.errors import ConfigError
from toyshift.core.progress import track
from toyshift.core.world import World
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.diagnostics.actors import EnvSpec, env_arguments, with_instruction
from toyshift.diagnostics.mask_sources import TRUTH, mask_source
from toyshift.policies.act.onnx_policy import OnnxPolicy

MOST_STEPS = 100  # of an episode, as evaluation has it


@dataclasses.dataclass(frozen=True, eq=False)
class PlayedEpisode:
    """One episode that a bundle played.

    Attributes:
        features: of each of its observations (T, F).
        success: whether it succeeded.
        object_id: of its target.
    """

    features: Float32
    success: bool
    object_id: str


def dataset_features(policy: OnnxPolicy, folders: Iterable[Path]) -> list[Float32]:
    """Returns the features (T, F) of every episode of datasets, of each observation that the policy would ask for.

    Raises:
        ConfigError: the datasets show other cameras or states than the policy looks at.
    """
    found = []
    for dataset in map(open_dataset, folders):
        _require_seen(policy, dataset)
        numbers = track(range(dataset.num_episodes), f"read {dataset.folder.name}", unit="episode")
        found += [_episode_features(policy, dataset, i) for i in numbers]
    return found


def _require_seen(policy: OnnxPolicy, dataset: Dataset) -> None:
    ours, theirs = policy.observation_contract, dataset.observation_contract
    sizes = dict(theirs.cameras)
    wrong = [camera for camera, size in ours.cameras if camera in policy.cameras and sizes.get(camera) != size]
    if ours.state_names != theirs.state_names or wrong:
        what = f"images of {', '.join(wrong)}" if wrong else "states"
        raise ConfigError(f"{dataset.folder} has other {what} than bundle {policy.name} looks at")


def _episode_features(policy: OnnxPolicy, dataset: Dataset, index: int) -> Float32:
    keys = [image_key(camera) for camera in policy.cameras]
    masks = [mask_key(camera) for camera in policy.cameras] if policy.needs_masks else []
    episode = dataset.episode(index, [*keys, *masks, STATE])
    frames = episode.frames
    policy.reset()
    found = []
    for t in range(0, len(episode), policy.execute):
        seen: dict[str, Any] = {
            "pixels": {camera: frames[image_key(camera)][t] for camera in policy.cameras},
            "masks": {camera: frames[mask_key(camera)][t] for camera in policy.cameras} if masks else {},
            "agent_pos": frames[STATE][t], TASK: episode.meta.get("task", ""),
        }  # fmt: skip
        policy.act(seen)
        found.append(policy.features[0].copy())
    return np.array(found)


def play(
    policy: OnnxPolicy, objects: str, episodes: Sequence[int], *, purpose: str, shift: str = "", seed: int = 0,
    masks: str = TRUTH, most_steps: int = MOST_STEPS,
) -> list[PlayedEpisode]:
    """Plays episodes in the simulator.

    Args:
        policy: a bundle that gives features.
        objects: object set.
        episodes: their numbers.
        purpose: "validation" for held-out episodes, "test" for those that are reported: their starts differ.
        shift: what differs from the training.
        seed: root seed.
        masks: where they come from, see `mask_source`.
        most_steps: after which an episode is over.
    """
    kwargs = env_arguments(policy, {"purpose": purpose, "shift": shift})
    env, source = EnvSpec().open(objects, **kwargs), mask_source(masks)
    policy.check(env.action_contract, env.observation_contract)
    try:
        found = []
        for episode in track(episodes, f"play {shift or 'unshifted'}", unit="episode"):
            env.reset(seed=seed, options={"episode": int(episode), "observe": False})
            policy.reset()
            source.reset(seed, int(episode))
            found.append(_played(policy, env, source, most_steps))
    finally:
        env.close()
    return found


def _played(policy: OnnxPolicy, env: World, source: Any, most_steps: int) -> PlayedEpisode:
    features, info, done, steps = [], {}, False, 0  # type: list[Float32], dict[str, Any], bool, int
    while not done and steps < most_steps:
        chunk = policy.act(with_instruction(source.shown(env.observe()), env))
        features.append(policy.features[0].copy())
        for action in chunk[: policy.execute]:
            _, done, info = env.advance(action)
            steps += 1
            if done or steps == most_steps:
                break
    return PlayedEpisode(np.array(features), bool(info["is_success"]), str(info.get("object_id", "")))
