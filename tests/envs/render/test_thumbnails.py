"""Pictures of objects: their scale, that they are whole, and that round things look round."""

import numpy as np
import pytest

from toyshift.envs.render.thumbnails import extent, thumbnail
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.toy import Toy, toy_object


def toy(kind: str, *size: float) -> GraspObject:
    return toy_object(Toy((Primitive(kind, size),), "red"), "toys:<test>")


def seen(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=2) > 60  # the toy: shadow and table are grey


@pytest.mark.parametrize("radius", [0.02, 0.025, 0.04])
def test_a_ball_is_as_large_as_the_scale_says(radius: float) -> None:
    ball = toy("sphere", radius)
    assert extent(ball) == pytest.approx(2 * radius, rel=0.02)
    rows, columns = (np.flatnonzero(seen(thumbnail(ball, 200, span=0.1)).any(axis=k)) for k in (1, 0))
    assert np.ptp(rows) + 1 == pytest.approx(2 * radius / 0.1 * 200, rel=0.03, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(2 * radius / 0.1 * 200, rel=0.03, abs=2)


def test_without_a_scale_an_object_fills_its_picture_and_is_whole() -> None:
    shown = seen(thumbnail(toy("cuboid", 0.02, 0.03, 0.15), 160))
    assert not np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).any()
    assert max(np.ptp(np.flatnonzero(shown.any(axis=k))) for k in (0, 1)) > 0.75 * 160


def test_a_ring_is_shaded_without_facets() -> None:
    lying = toy("ring", 0.034, 0.005, 0.035)
    picture = thumbnail(lying, 400)
    column = picture[:, 200]
    low = np.flatnonzero(seen(column[:, None])[:, 0])[-1] - 30  # a row through the outer wall, well above its foot
    wall = np.flatnonzero(seen(picture)[low])
    red = picture[low, wall[0] + 20 : wall[-1] - 19, 0].astype(int)
    assert np.ptp(red) > 15  # the light comes from one side ...
    assert np.abs(np.diff(red)).max() <= 4  # ... and wanes little by little: facets are steps


def test_things_stand_as_they_are_modelled_and_toys_lie_as_they_mostly_fall() -> None:
    objects = load_objects("ycb-like")
    for name in ("003_cracker_box", "006_mustard_bottle", "025_mug", "072-a_toy_airplane"):
        _, x, y, _ = objects.by_id(name).shown_pose.quat
        assert 1 - 2 * (x * x + y * y) > 0.7, name
    hoop = toy("ring", 0.034, 0.005, 0.006)
    assert hoop.shown_pose == max(hoop.rest_poses, key=lambda pose: pose.probability)
