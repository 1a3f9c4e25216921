"""Episodes of a robot as a LeRobot v3 dataset: what the policy was shown, what was sent, and to which joints."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key, mask_key
from toyshift.data.episode import Episode, episode_indices, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.policies.safety.safety_layer import SafeCommand

COMMANDED, HELD = "command.joints", "command.held"


class Recorder:
    """Gathers an episode, and adds it to a dataset when it is over.

    Args:
        folder: of the dataset; recorded into again, it grows.
        action: what actions mean.
        observation: what the policy is shown; of its cameras, those that the policy looks at are recorded.
        cameras: those.
        robot: name of the robot.
        manifest: facts about the run, see `core.manifest`.
    """

    def __init__(
        self, folder: Path, action: ActionContract, observation: ObservationContract, cameras: tuple[str, ...],
        robot: str, manifest: Mapping[str, Any],
    ) -> None:  # fmt: skip
        sizes = tuple(entry for entry in observation.cameras if entry[0] in cameras)
        self.folder, self._robot, self._manifest = Path(folder), robot, dict(manifest)
        self._contracts = action, ObservationContract(sizes, observation.state_names)
        self._columns: dict[str, list[Any]] = collections.defaultdict(list)

    def __len__(self) -> int:
        return len(self._columns[ACTION])

    def add(self, shown: Mapping[str, Any], command: SafeCommand) -> None:
        """Adds a control step: the observation of `Runtime.shown`, and what the robot was given."""
        for camera, image in shown["pixels"].items():
            self._columns[image_key(camera)].append(image)
        for camera, mask in shown.get("masks", {}).items():
            self._columns[mask_key(camera)].append(mask)
        self._columns[STATE].append(shown["agent_pos"])
        self._columns[ACTION].append(command.action)
        self._columns[COMMANDED].append(command.joints)
        self._columns[HELD].append(command.held)

    def finish(self, task: str, **meta: Any) -> int | None:
        """Writes the episode into the dataset, which is whole afterwards; returns its number, None where it is empty.

        Args:
            task: the instruction.
            meta: further facts, JSON-able; "success" among them where it is known.
        """
        if not len(self):
            return None
        frames = {key: np.array(values) for key, values in self._columns.items()}
        self._columns.clear()
        number = max(episode_indices(self.folder), default=-1) + 1 if self.folder.exists() else 0
        write_episode(self.folder, Episode(number, frames, {"task": task, **meta}))
        finalize(self.folder, *self._contracts, self._manifest, robot_type=self._robot)
        return number
