"""A robot of LeRobot's own interface, in degrees and with a limit of its own, behind our driver."""

import dataclasses
import json
import sys
import time

import numpy as np
import pytest

robots = pytest.importorskip("lerobot.robots", reason="LeRobot is in .venv-interop: make test-interop")

from toyshift.core.errors import ConfigError, RobotError  # noqa: E402
from toyshift.policies.robots import open_robot  # noqa: E402
from toyshift.policies.safety.safety_layer import SafeCommand  # noqa: E402


@robots.RobotConfig.register_subclass("toyshift_mock")
@dataclasses.dataclass(kw_only=True)
class MockConfig(robots.RobotConfig):
    most: float = 5.0


class Mock(robots.Robot):
    """Two joints in degrees, a gripper 0 to 100, one camera; it goes at most 5 degrees per action."""

    config_class, name = MockConfig, "toyshift_mock"

    def __init__(self, config):
        super().__init__(config)
        self.values = {"a.pos": 10.0, "b.pos": -20.0, "g.pos": 100.0}
        self.config, self.connected, self.fails, self.seen, self.frozen = config, False, None, 0, False

    @property
    def observation_features(self):
        return dict.fromkeys(self.values, float) | {"cam": (4, 6, 3)}

    @property
    def action_features(self):
        return dict.fromkeys(self.values, float)

    @property
    def is_connected(self):
        return self.connected

    is_calibrated = True

    def connect(self, calibrate=True):
        self.connected = True

    def disconnect(self):
        self.connected = False

    def calibrate(self):
        pass

    def configure(self):
        pass

    def get_observation(self):
        if self.fails is not None:
            raise self.fails
        self.seen += not self.frozen
        return dict(self.values) | {"cam": np.full((4, 6, 3), self.seen % 256, np.uint8)}

    def send_action(self, action):
        def near(key):
            most = self.config.most if key != "g.pos" else 100.0
            return float(np.clip(action[key], self.values[key] - most, self.values[key] + most))

        self.values = {key: near(key) for key in self.values}
        return dict(self.values)


@pytest.fixture
def file(tmp_path, monkeypatch):
    # LeRobot looks for the class Mock of a MockConfig in a module "mock" beside the configuration's
    monkeypatch.setitem(sys.modules, f"{__name__.rpartition('.')[0]}.mock", sys.modules[__name__])
    path = tmp_path / "robot.json"
    path.write_text(json.dumps({
        "type": "toyshift_mock", "module": __name__, "config": {"id": "x", "calibration_dir": str(tmp_path)},
        "joints": {"joint1": "a.pos", "joint2": "b.pos"}, "unit": "deg", "low": [-1, -1], "high": [1, 1],
        "gripper": "g.pos", "gripper_open": 100, "gripper_shut": 0, "gripper_width": 0.07, "gripper_force": 10,
        "cameras": {"front": "cam"},
    }))  # fmt: skip
    return path


def command(joints, opening):
    return SafeCommand(np.array(joints), opening, opening, 10.0, np.zeros(3, np.float32))


def test_readings_and_what_was_sent(file):
    with open_robot(f"lerobot:{file}") as robot:
        assert robot.limits.cameras == {"front": (4, 6)}
        readings = robot.read()
        np.testing.assert_allclose(readings.joints, np.radians([10, -20]))
        assert readings.gripper_width == pytest.approx(0.07)
        assert readings.image_times["front"] <= time.monotonic()
        near = command(np.radians([12.0, -21.0]), 0.5)
        sent = robot.send(near)
        np.testing.assert_allclose(sent.joints, near.joints)
        assert sent.opening == 0.5
        far = robot.send(command(np.radians([50.0, -21.0]), 0.0))
        np.testing.assert_allclose(far.joints, np.radians([17.0, -21.0]))  # what `send_action` returned
        time.sleep(0.05)
        np.testing.assert_allclose(robot.read().joints, far.joints)
        robot.stop()
        with pytest.raises(RobotError, match="is stopped"):
            robot.send(near)
        robot.begin(1)
        robot.send(near)
        before = dict(robot._robot.values)
        robot._robot.values["a.pos"] = float("nan")
        with pytest.raises(RobotError, match="could not be stopped: it does not tell where its joints are"):
            robot.stop()  # nothing that is no number is sent
        robot._robot.values = before


def test_images_that_stand_still_grow_old_and_errors_are_told(file):
    with open_robot(f"lerobot:{file}") as robot:
        robot._robot.frozen = True
        time.sleep(0.05)
        first = robot.read()
        time.sleep(0.2)
        later = robot.read()
        assert later.time > first.time
        assert later.image_times["front"] == first.image_times["front"]
        robot._robot.fails = ConnectionError("no status packet")
        time.sleep(0.2)
        with pytest.raises(RobotError, match="cannot be read: no status packet"):
            robot.read()
        robot._robot.fails = None
        time.sleep(0.3)
        assert robot.read().joints.shape == (2,)


def test_a_file_that_names_none(file):
    told = json.loads(file.read_text())
    wrong = {"must be rad or deg": {"unit": "percent"}, "as many": {"low": [0]}, "its fields": {"x": 1}}
    for words, change in wrong.items():
        file.write_text(json.dumps(told | change))
        with pytest.raises(ConfigError, match=words):
            open_robot(f"lerobot:{file}")
    file.write_text(json.dumps(told | {"module": "nowhere"}))
    with pytest.raises(ConfigError, match="makes no robot 'toyshift_mock' of nowhere"):
        open_robot(f"lerobot:{file}")


def test_recorded_episodes_are_read_by_lerobot(tmp_path):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from toyshift.core.contract import ActionContract, ObservationContract
    from toyshift.diagnostics.robot_record import Recorder

    names, units = ("a", "b", "gripper"), ("rad", "rad", "1")
    action = ActionContract("joint_pos", names, units, (-1,) * 3, (1,) * 3, 10.0, ("a", "b"))
    seen = ObservationContract((("front", (16, 24)), ("side", (8, 8))), ("a", "b"))
    recorder = Recorder(tmp_path / "data", action, seen, ("front",), "mock", {"seed": 0})
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    for length in (4, 6):
        for step in range(length):
            shown = {"pixels": {"front": image}, "agent_pos": np.array([step, 0.5], np.float32)}
            recorder.add(shown, command([0.1 * step, 0.2], 1.0))
        recorder.finish("grasp the object", success=True)
    dataset = LeRobotDataset("local/data", root=tmp_path / "data")
    assert (len(dataset), dataset.num_episodes, dataset.fps) == (10, 2, 10)
    frame = dataset[7]  # the fourth of the second episode
    np.testing.assert_allclose(frame["observation.state"], [3.0, 0.5])
    np.testing.assert_allclose(frame["command.joints"], [0.3, 0.2])
    np.testing.assert_array_equal((frame["observation.images.front"].permute(1, 2, 0) * 255).round().byte(), image)
    assert frame["task"] == "grasp the object"
