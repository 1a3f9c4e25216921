"""The colour detector on drawn images: what it finds to the pixel, and what it cannot find."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.policies.masks.detector import ColourDetector

TABLE, ROBOT, RED = (190, 150, 110), (200, 200, 200), (220, 40, 30)


def scene(*boxes: tuple[tuple[int, int, int, int], tuple[int, int, int]]) -> np.ndarray:
    """A grained table with the robot at the top edge and boxes (top, bottom, left, right) of one colour each."""
    grain = np.random.default_rng(0).uniform(0.93, 1.07, (48, 48, 1))
    image = np.asarray(TABLE) * grain
    for (top, bottom, left, right), colour in (((0, 6, 10, 38), ROBOT), *boxes):
        image[top:bottom, left:right] = colour
    return image.astype(np.uint8)


def found(image: np.ndarray, detector: ColourDetector | None = None) -> np.ndarray:
    mask = (detector or ColourDetector()).masks({"front": image})["front"]
    assert mask.dtype == np.uint8
    return mask == 1


BOX = (20, 30, 15, 27)
INSIDE = np.zeros((48, 48), bool)
INSIDE[20:30, 15:27] = True


@pytest.mark.parametrize("colour", [RED, (30, 60, 220), (245, 245, 245), (15, 15, 15)])
def test_an_object_of_another_colour_is_found_to_the_pixel(colour: tuple[int, int, int]) -> None:
    np.testing.assert_array_equal(found(scene((BOX, colour))), INSIDE)


def test_what_the_robot_touches_must_be_coloured() -> None:
    touching = (4, 12, 20, 30)
    assert found(scene((touching, RED))).sum() == 8 * 10
    assert not found(scene((touching, (245, 245, 245)))).any()  # white, and connected to the robot: part of it


def test_nothing_on_the_table_and_objects_of_its_colour_are_not_found() -> None:
    assert not found(scene()).any()
    assert not found(scene((BOX, TABLE))).any()


def test_the_largest_of_several_is_taken() -> None:
    np.testing.assert_array_equal(found(scene((BOX, RED), ((35, 40, 35, 40), (30, 60, 220)))), INSIDE)


def test_the_tables_colour_is_that_of_the_first_image() -> None:
    detector = ColourDetector()
    found(scene((BOX, RED)), detector)
    close = np.full((48, 48, 3), RED, np.uint8)  # later the object fills the view
    assert found(close, detector).all()
    assert not found(close).any()  # taken for the first image, it is the table
