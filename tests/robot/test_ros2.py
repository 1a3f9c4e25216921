"""ROS 2 messages as rosbags writes and reads them in CDR, to readings and from commands."""

import numpy as np
import pytest

from toyshift.core.errors import ContractError
from toyshift.policies.robots.ros2_messages import duration_of, image_of, joints_of, lens_of, seconds_of, trajectory_of

typesys = pytest.importorskip("rosbags.typesys", reason="rosbags is in .venv-robot: make test-robot")
STORE = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)


def made(kind, **fields):
    """A message that has been to CDR bytes and back."""
    return STORE.deserialize_cdr(STORE.serialize_cdr(STORE.types[kind](**fields), kind), kind)


def header(sec=7, nanosec=250_000_000):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=sec, nanosec=nanosec)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="base_link")


def test_joints_come_in_our_order():
    names = ["panda_finger_joint1", "panda_joint2", "panda_joint1"]
    message = made(
        "sensor_msgs/msg/JointState", header=header(), name=names, position=np.array([0.03, 2.0, 1.0]),
        velocity=np.zeros(3), effort=np.zeros(3),
    )  # fmt: skip
    positions, stamp = joints_of(message, ["panda_joint1", "panda_joint2", "panda_finger_joint1"])
    np.testing.assert_array_equal(positions, [1.0, 2.0, 0.03])
    assert stamp == 7.25
    with pytest.raises(ContractError, match="without panda_joint3; it has: panda_finger_joint1"):
        joints_of(message, ["panda_joint3"])
    message.name[1] = "panda_joint1"
    with pytest.raises(ContractError, match="a name twice"):
        joints_of(message, ["panda_joint1"])


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_images_of_every_encoding_and_padded_rows(encoding):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    raw = {
        "rgb8": image, "bgr8": image[..., ::-1], "rgba8": np.pad(image, ((0, 0), (0, 0), (0, 1))),
        "bgra8": np.pad(image[..., ::-1], ((0, 0), (0, 0), (0, 1))), "mono8": image[..., :1],
    }[encoding]  # fmt: skip
    rows = np.pad(raw.reshape(4, -1), ((0, 0), (0, 3)), constant_values=9)
    message = made(
        "sensor_msgs/msg/Image", header=header(), height=4, width=5, encoding=encoding, is_bigendian=0,
        step=rows.shape[1], data=rows.ravel(),
    )  # fmt: skip
    found, stamp = image_of(message)
    np.testing.assert_array_equal(found, image if encoding != "mono8" else image[..., :1].repeat(3, axis=2))
    assert stamp == 7.25
    message.step = 3
    with pytest.raises(ContractError, match="rows of 3"):
        image_of(message)
    message.encoding = "16UC1"
    with pytest.raises(ContractError, match="encoding '16UC1'; known: rgb8"):
        image_of(message)


def test_a_lens():
    info = STORE.types["sensor_msgs/msg/CameraInfo"]
    region = STORE.types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    k = np.array([600.0, 0, 320, 0, 610.0, 240, 0, 0, 1])
    message = info(
        header=header(), height=480, width=640, distortion_model="plumb_bob", d=np.zeros(5), k=k, r=np.eye(3).ravel(),
        p=np.zeros(12), binning_x=0, binning_y=0, roi=region,
    )  # fmt: skip
    name = "sensor_msgs/msg/CameraInfo"
    lens = lens_of(STORE.deserialize_cdr(STORE.serialize_cdr(message, name), name))
    assert (lens.size, lens.focal, lens.centre) == ((480, 640), (600.0, 610.0), (320.0, 240.0))


def test_a_command_is_a_trajectory_of_one_point():
    fields = trajectory_of(np.arange(7.0), [f"panda_joint{i}" for i in range(1, 8)], 0.1)
    point, duration = (STORE.types[name] for name in (
        "trajectory_msgs/msg/JointTrajectoryPoint", "builtin_interfaces/msg/Duration",
    ))  # fmt: skip
    points = []
    for one in fields["points"]:
        arrays = {key: np.array(one[key], np.float64) for key in ("positions", "velocities", "accelerations", "effort")}
        points.append(point(**arrays, time_from_start=duration(**one["time_from_start"])))
    message = made(
        "trajectory_msgs/msg/JointTrajectory", header=header(0, 0), joint_names=fields["joint_names"], points=points
    )
    assert message.joint_names[6] == "panda_joint7"
    np.testing.assert_array_equal(message.points[0].positions, np.arange(7.0))
    assert seconds_of(message.points[0].time_from_start) == pytest.approx(0.1)
    for seconds in (0.0, 0.1, 1.0, 2.9999999999):
        back = duration_of(seconds)
        assert 0 <= back["nanosec"] < 10**9
        assert back["sec"] + 1e-9 * back["nanosec"] == pytest.approx(seconds, abs=1e-9)
