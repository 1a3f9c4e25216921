"""Cameras of somebody else's beside an arm whose driver knows none: `toyshift robot run ... --cameras module:name`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from toyshift.core.arrays import Image
from toyshift.core.errors import RobotError
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime.robot_runtime import Colours, Readings
from toyshift.policies.safety.safety_layer import SafeCommand


class Cameras(Protocol):
    """Whatever gives images.

    Attributes:
        sizes: camera -> height and width of its images [pixels].
        colours: of its images, rgb or bgr.
    """

    sizes: Mapping[str, tuple[int, int]]
    colours: Colours

    def read(self) -> Mapping[str, tuple[Image, float]]:
        """Returns at once: camera -> its newest image (H, W, 3) uint8, and when it was taken by `time.monotonic`."""
        ...


class WithCameras(RobotDriver):
    """An arm, and cameras beside it.

    Args:
        robot: without cameras.
        cameras: gives images.
    """

    def __init__(self, robot: RobotDriver, cameras: Cameras) -> None:
        self._robot, self._cameras = robot, cameras
        sizes = {camera: (int(size[0]), int(size[1])) for camera, size in cameras.sizes.items()}
        self.limits = dataclasses.replace(robot.limits, cameras=sizes, masks=(), colours=cameras.colours)

    def read(self) -> Readings:
        readings = self._robot.read()
        taken = self._cameras.read()
        if lacking := [camera for camera in self.limits.cameras if camera not in taken]:
            raise RobotError(f"no image of camera {', '.join(lacking)}")
        images = {camera: image for camera, (image, _) in taken.items()}
        stamps = {camera: stamp for camera, (_, stamp) in taken.items()}
        return dataclasses.replace(readings, images=images, image_times=stamps, masks={})

    def send(self, command: SafeCommand) -> SafeCommand:
        return self._robot.send(command)

    def stop(self) -> None:
        self._robot.stop()

    def begin(self, episode: int) -> None:
        self._robot.begin(episode)

    def close(self) -> None:
        self._robot.close()
