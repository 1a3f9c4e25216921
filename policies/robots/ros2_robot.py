"""A robot under ROS 2, by ros2_control's topics: a thin node around the mapping of `ros2_messages`.

rclpy comes with ROS 2, not from PyPI: source its setup file first. The node itself is untested here; its mapping is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toyshift.core.errors import MissingDependencyError, RobotError
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.robots.ros2_messages import RosNames, image_of, joints_of, trajectory_of
from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety.limits import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand

NEWS = 0.01  # by which the gripper's goal must differ to be told again [share of its opening]
PERIOD = 0.1  # that a command's way takes [s]


class Ros2Robot(RobotDriver):
    """Subscribes to joint states and images, publishes trajectories of one point, and asks for gripper commands.

    Args:
        address: JSON file with the fields of `RosNames`.
        clock: of this machine; ROS's stamps, of the system's time, are brought to it.

    Raises:
        MissingDependencyError: there is no ROS 2 here.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.names = RosNames.read(Path(address))
        try:
            import rclpy
            from control_msgs.action import GripperCommand
            from rclpy.action import ActionClient
            from rclpy.executors import SingleThreadedExecutor
            from rclpy.qos import qos_profile_sensor_data
            from sensor_msgs.msg import Image, JointState
            from trajectory_msgs.msg import JointTrajectory
        except ImportError as error:
            told = f"a robot under ROS 2 needs rclpy and ros2_control's messages ({error})"
            raise MissingDependencyError(
                f"{told}: they come with ROS 2, not from PyPI; source its setup file and use its Python"
            ) from error
        self._clock, self._ahead = clock, time.time() - clock()
        self._news, self._joints, self._images = threading.Lock(), None, {}  # type: ignore[var-annotated]
        self._stopped, self._told = False, -1.0
        if not rclpy.ok():
            rclpy.init()
        self._node = rclpy.create_node("toyshift")
        names = self.names
        self._node.create_subscription(JointState, names.joint_states, self._take_joints, qos_profile_sensor_data)
        for camera, topic in names.cameras.items():
            self._node.create_subscription(Image, topic, self._taker(camera), qos_profile_sensor_data)
        self._trajectories = self._node.create_publisher(JointTrajectory, names.trajectory, 1)
        self._gripper = ActionClient(self._node, GripperCommand, names.gripper_action)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        threading.Thread(target=self._executor.spin, name="toyshift-ros2", daemon=True).start()
        self.limits = RobotLimits(
            tuple(names.joints), names.low, names.high, (), (), names.gripper_width, names.gripper_force, (1.0, 100.0),
            names.sizes,
        )  # fmt: skip

    def read(self) -> Readings:
        with self._news:
            joints, images = self._joints, dict(self._images)
        if joints is None or len(images) < len(self.names.cameras):
            lacking = [c for c in self.names.cameras if c not in images]
            raise RobotError(f"nothing yet of {', '.join(['joints'] * (joints is None) + lacking)}")
        positions, stamp = joints_of(joints, [*self.names.joints.values(), self.names.gripper_joint])
        seen = {camera: image_of(message) for camera, message in images.items()}
        return Readings(
            positions[:-1], self.names.width_of(float(positions[-1])), {c: one[0] for c, one in seen.items()},
            stamp - self._ahead, {c: one[1] - self._ahead for c, one in seen.items()},
        )  # fmt: skip

    def send(self, command: SafeCommand) -> SafeCommand:
        if self._stopped:
            raise RobotError("the robot is stopped; begin again")
        self._publish(trajectory_of(command.joints, list(self.names.joints.values()), PERIOD))
        if abs(command.gripper - self._told) > NEWS:
            self._told = command.gripper
            self._ask_gripper(self.names.opening_position(command.gripper), command.force)
        return command

    def stop(self) -> None:
        """Publishes an empty trajectory: the trajectory controller then holds its position."""
        self._stopped = True
        self._publish({"joint_names": list(self.names.joints.values()), "points": []})

    def begin(self, episode: int) -> None:
        self._stopped, self._told = False, -1.0

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()

    # ---------------------------------------------------------------- ROS's side

    def _take_joints(self, message: Any) -> None:
        with self._news:
            self._joints = message

    def _taker(self, camera: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            with self._news:
                self._images[camera] = message

        return take

    def _publish(self, fields: dict[str, Any]) -> None:
        from builtin_interfaces.msg import Duration
        from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

        points = [
            JointTrajectoryPoint(**{**point, "time_from_start": Duration(**point["time_from_start"])})
            for point in fields["points"]
        ]
        self._trajectories.publish(JointTrajectory(joint_names=fields["joint_names"], points=points))

    def _ask_gripper(self, position: float, force: float) -> None:
        from control_msgs.action import GripperCommand

        goal = GripperCommand.Goal()
        goal.command.position, goal.command.max_effort = position, force
        self._gripper.send_goal_async(goal)
