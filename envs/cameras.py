"""Cameras as values, in OpenCV's convention: where one stands, how it images; MuJoCo's when the scene is built.

OpenCV's camera frame: x right, y down, z forward along the optical axis. Pixel coordinates start at the image's top
left corner, so pixel (row i, column j) covers [j, j + 1] x [i, i + 1] and the middle of the image is (width / 2, height
/ 2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.rotations import matrix_to_quat

Matrix = tuple[tuple[float, ...], ...]

CAMERAS = ("front", "wrist")  # every scene has them
RESERVED = ("film",)  # the view for people
SIDES = (16, 1024)  # least and largest side of an image [pixels]
FAR = 20.0  # what depth images hold at most, and where there is nothing [m]; the scene ends before
FOVY = 45.0  # vertical field of view where none is given [deg]
MOUNT = "wrist"  # `body` of a camera on the robot's last link, whatever its name
FLIP = np.diag([1.0, -1.0, -1.0])  # OpenCV's camera axes to MuJoCo's (x right, y up, z backward), and back


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera of an environment, in place of a name in `EnvConfig.cameras`.

    A built-in camera (front, wrist) takes a size only. Any other needs a pose: `extrinsics`, or `position` and
    `look_at`.

    Attributes:
        name: key of its images; a Python identifier.
        extrinsics: (4, 4) transform from `body`'s frame to the camera's, OpenCV axes [m].
        position: where it stands in `body`'s frame [m].
        look_at: point in the middle of its image, in `body`'s frame [m]; the image's top is towards `body`'s +z axis,
            or -x (the robot) where it looks straight up or down.
        intrinsics: (3, 3) for images of `size` [pixels]: focal lengths and principal point, no skew.
        fovy: vertical field of view [deg], in place of intrinsics; 45 if neither is given.
        size: height and width of its images [pixels]; None takes the configuration's image_size.
        body: what it is mounted on: "" the world (the robot's base frame), "wrist" the robot's last link, or a MuJoCo
            body.
    """

    name: str
    extrinsics: Matrix | None = None
    position: tuple[float, ...] | None = None
    look_at: tuple[float, ...] | None = None
    intrinsics: Matrix | None = None
    fovy: float | None = None
    size: tuple[int, int] | None = None
    body: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or self.name in RESERVED:
            reserved = ", ".join(RESERVED)
            raise ConfigError(f"camera name {self.name!r}: use letters, digits and underscores, and none of {reserved}")
        for field, shape in (("extrinsics", (4, 4)), ("position", (3,)), ("look_at", (3,)), ("intrinsics", (3, 3))):
            value = getattr(self, field)
            if value is not None:  # lists and arrays become tuples: the value can be hashed
                object.__setattr__(self, field, _numbers(value, shape, f"{self._who}: {field}"))
        if self.size is not None:
            object.__setattr__(self, "size", image_size(self.size, f"{self._who}: size"))
        self._check_pose()
        self._check_lens()

    @property
    def _who(self) -> str:
        return f"camera {self.name!r}"

    @property
    def built_in(self) -> bool:
        """Whether every scene has it."""
        return self.name in CAMERAS

    def _check_pose(self) -> None:
        by_points = self.position is not None and self.look_at is not None
        if self.built_in:
            own = (self.extrinsics, self.position, self.look_at, self.intrinsics, self.fovy)
            if self.body or own != (None,) * len(own):
                raise ConfigError(f"{self._who} is built in: give it a size only, or another name to one of your own")
        elif (self.extrinsics is not None) == by_points or (self.extrinsics and (self.position or self.look_at)):
            raise ConfigError(f"{self._who} needs a pose: either extrinsics (4 x 4), or position and look_at")
        if by_points and np.allclose(self.position or (), self.look_at or ()):
            raise ConfigError(f"{self._who} looks at its own position {self.position}")
        if self.extrinsics is not None:
            matrix = np.asarray(self.extrinsics)
            rotation = matrix[:3, :3]
            turns = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) and np.linalg.det(rotation) > 0
            if not turns or not np.allclose(matrix[3], (0, 0, 0, 1)):
                wanted = "a rotation and a translation over the row 0 0 0 1 (OpenCV axes: x right, y down, z forward)"
                raise ConfigError(f"{self._who}: extrinsics must be {wanted}")

    def _check_lens(self) -> None:
        if self.intrinsics is not None:
            (fx, skew, _), (zero, fy, _), last = self.intrinsics
            if self.fovy is not None:
                raise ConfigError(f"{self._who}: give either intrinsics or fovy, not both")
            if self.size is None:
                raise ConfigError(f"{self._who}: intrinsics are in pixels and need size=(height, width)")
            if min(fx, fy) <= 0 or skew != 0 or zero != 0 or last != (0, 0, 1):
                wanted = "((fx, 0, cx), (0, fy, cy), (0, 0, 1)), focal lengths above 0 [pixels]; MuJoCo has no skew"
                raise ConfigError(f"{self._who}: intrinsics must be {wanted}")
        if self.fovy is not None and not 1 <= self.fovy <= 170:
            raise ConfigError(f"{self._who}: fovy is {self.fovy}; it must be between 1 and 170 degrees")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Camera:
        """Reads what `to_json` writes: a mapping of the attributes.

        Raises:
            UnknownNameError: an attribute that cameras do not have.
            ConfigError: no name.
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        for key in value:
            if key not in fields:
                raise UnknownNameError("field of a camera", key, fields)
        if "name" not in value:
            raise ConfigError(f"a camera needs a name: {dict(value)!r}")
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Returns the attributes that are set, as plain lists, numbers and text."""
        plain = {k: _plain(v) for k, v in dataclasses.asdict(self).items()}
        return {k: v for k, v in plain.items() if v not in (None, "")}

    def mount_pose(self) -> tuple[Array, Array]:
        """Returns position (3,) [m] and rotation (3, 3), columns right, down and forward, in the frame of `body`."""
        if self.extrinsics is not None:
            matrix = np.asarray(self.extrinsics)
            return -matrix[:3, :3].T @ matrix[:3, 3], matrix[:3, :3].T
        position = np.asarray(self.position)
        forward = np.asarray(self.look_at) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        if np.linalg.norm(right) < 1e-6:  # straight up or down
            right = np.cross(forward, (-1.0, 0.0, 0.0))
        right /= np.linalg.norm(right)
        return position, np.stack([right, np.cross(forward, right), forward], axis=1)


def as_camera(value: str | Camera | Mapping[str, Any]) -> str | Camera:
    """Returns an entry of `EnvConfig.cameras`: a built-in camera's name, or a Camera, also from plain data.

    Raises:
        UnknownNameError: a name that no built-in camera has.
        ConfigError: neither name, Camera nor mapping.
    """
    if isinstance(value, Camera):
        return value
    if isinstance(value, Mapping):
        return Camera.from_json(value)
    if not isinstance(value, str):
        names = ", ".join(CAMERAS)
        raise ConfigError(f"a camera is a name ({names}), a Camera or a mapping of its attributes, got {value!r}")
    if value not in CAMERAS:
        raise UnknownNameError("camera", value, CAMERAS)
    return value


def image_size(value: Any, what: str = "image_size") -> tuple[int, int]:
    """Returns (height, width) [pixels] of one number or of two.

    Raises:
        ConfigError: something else, or out of range.
    """
    pair = (value, value) if isinstance(value, int | np.integer) else value
    whole = [
        isinstance(x, int | np.integer) and not isinstance(x, bool) for x in pair
    ] if isinstance(pair, tuple | list) else []
    if whole != [True, True]:
        raise ConfigError(f"{what} is {value!r}; it must be a whole number of pixels, or (height, width)")
    if not all(SIDES[0] <= x <= SIDES[1] for x in pair):
        raise ConfigError(f"{what} is {value}; it must be between {SIDES[0]} and {SIDES[1]} pixels")
    return int(pair[0]), int(pair[1])


def add_camera(spec: Any, camera: Camera, mount: str) -> None:
    """Adds a camera to a MuJoCo spec that has its body already.

    Args:
        spec: mujoco.MjSpec.
        camera: a camera with a pose.
        mount: name of the body that "wrist" stands for.

    Raises:
        UnknownNameError: the scene has no such body.
    """
    bodies = {body.name: body for body in spec.bodies}
    parent = spec.worldbody if not camera.body else bodies.get(mount if camera.body == MOUNT else camera.body)
    if parent is None:
        raise UnknownNameError(f"body of camera {camera.name!r}", camera.body, (MOUNT, *filter(None, bodies)))
    position, rotation = camera.mount_pose()
    quat = matrix_to_quat(rotation @ FLIP)
    added = parent.add_camera(name=camera.name, pos=position, quat=quat, fovy=camera.fovy or FOVY)
    if camera.intrinsics is not None and camera.size is not None:
        height, width = camera.size
        (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
        added.resolution, added.sensor_size = (width, height), (width / 1000, height / 1000)  # a sensor of 1 mm pixels
        added.focal_pixel = (fx, fy)
        # MuJoCo: of the image's middle from the principal point
        added.principal_pixel = (0.5 * width - cx, 0.5 * height - cy)


def camera_matrices(model: Any, data: Any, name: str, size: tuple[int, int]) -> tuple[Array, Array]:
    """Returns a camera's extrinsics (4, 4), world to camera, and intrinsics (3, 3) for images of a size (height, width)
    [pixels].
    """
    index = model.camera(name).id
    rotation = data.cam_xmat[index].reshape(3, 3) @ FLIP
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = rotation.T
    extrinsics[:3, 3] = -rotation.T @ data.cam_xpos[index]
    height, width = size
    sensor = model.cam_sensorsize[index]  # (0, 0) where a field of view is given
    if sensor[1] > 0:
        scale = np.array([width, height]) / sensor  # [pixels/m]
        fx, fy = model.cam_intrinsic[index, :2] * scale
        right, lower = model.cam_intrinsic[index, 2:] * scale
    else:
        fx = fy = 0.5 * height / np.tan(0.5 * np.radians(model.cam_fovy[index]))
        right = lower = 0.0
    return extrinsics, np.array([[fx, 0, 0.5 * width - right], [0, fy, 0.5 * height - lower], [0, 0, 1.0]])


def clip_range(model: Any) -> tuple[float, float]:
    """Returns the distances along the optical axis between which things are drawn [m].

    MuJoCo scales both with the model's extent, which it computes anew when a toy is written: 7 cm and 144 m then.
    """
    extent = float(model.stat.extent)
    return float(model.vis.map.znear) * extent, float(model.vis.map.zfar) * extent


def depth_metres(buffer: Float32, clip: tuple[float, float]) -> Float32:
    """Returns distances along the optical axis [m] from a reversed depth buffer (1 near, 0 far); FAR where there is
    nothing.
    """
    near, far = clip
    return np.minimum(near * far / (near + buffer * (far - near)), FAR, dtype=np.float32)


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> Any:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what} must be {' x '.join(map(str, shape))} numbers, got {value!r}") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise ConfigError(f"{what} must be {' x '.join(map(str, shape))} finite numbers, got {value!r}")
    rows = array.tolist()
    return tuple(map(tuple, rows)) if len(shape) == 2 else tuple(rows)


def _plain(value: Any) -> Any:
    return [_plain(x) for x in value] if isinstance(value, tuple) else value
