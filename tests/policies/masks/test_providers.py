"""Masks by colour, against a picture of the empty table, and as boxes, on drawn images whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError, UnknownNameError
from toyshift.policies.masks.blobs import followed
from toyshift.policies.masks.provider import Prompt
from toyshift.policies.masks.providers import PROVIDERS, provider_maker, row_of

SIZE = (64, 80)
TABLE, ROBOT, RED, BLUE, GREEN = (190, 150, 110), (205, 205, 205), (220, 40, 30), (40, 70, 220), (40, 170, 60)
Area = tuple[int, int, int, int]  # top, left, bottom, right
HOME: Area = (0, 30, 8, 50)


def scene(*boxes: tuple[Area, tuple[int, int, int]], arm: Area = HOME, light: float = 1.0) -> np.ndarray:
    """A grained table, the robot at the top edge, and boxes of one colour each; what comes later lies on top."""
    grain = np.random.default_rng(0).uniform(0.95, 1.05, (*SIZE, 1))
    image = np.asarray(TABLE) * grain
    for (top, left, bottom, right), colour in ((arm, ROBOT), *boxes):
        image[top:bottom, left:right] = colour
    return (light * image).clip(0, 255).astype(np.uint8)


def area(box: Area) -> np.ndarray:
    found = np.zeros(SIZE, bool)
    found[box[0] : box[2], box[1] : box[3]] = True
    return found


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(((mask == 1) & truth).sum() / ((mask == 1) | truth).sum())


def path(steps: int = 8) -> list[Area]:
    """Where an object is, that moves by less than its size from image to image, and grows as under a hand camera."""
    return [(20 + 2 * i, 14 + 4 * i, 32 + 3 * i, 28 + 5 * i) for i in range(steps)]


def provider(text: str, prompt: Prompt | None = None, **options):
    made = provider_maker(text, {"front": scene()} if text == "background" else None, **options)()
    if prompt is not None:
        made.prompt({"front": prompt})
    return made


def look(made, image: np.ndarray) -> np.ndarray:
    mask = made.masks({"front": image})["front"]
    assert mask.dtype == np.uint8
    assert mask.shape == image.shape[:2]
    return mask


@pytest.mark.parametrize("text", ["background", "colour", "box"])
@pytest.mark.parametrize("light", [1.0, 0.9])
def test_a_moving_target_is_found_to_the_pixel(text, light):
    made = provider(text, Prompt(path()[0]) if PROVIDERS[text].prompted else None)
    for box in path():
        assert iou(look(made, scene((box, RED), light=light)), area(box)) == 1.0


@pytest.mark.parametrize("moving", [(), ("front",)])
def test_the_arm_is_no_target_wherever_it_reaches(moving):
    made, box = provider("background", moving=moving), (30, 30, 42, 44)
    for arm in (HOME, (0, 30, 16, 50), (0, 20, 30, 44), (0, 34, 34, 40), (0, 2, 20, 12)):
        assert iou(look(made, scene((box, BLUE), arm=arm)), area(box)) == 1.0  # where it was, is the table


def test_with_a_prompt_the_background_takes_that_one_and_else_the_largest():
    small, large = (20, 10, 28, 18), (40, 40, 56, 60)
    image = scene((small, RED), (large, BLUE))
    assert iou(look(provider("background"), image), area(large)) == 1.0
    for prompt in (Prompt(small), Prompt((18, 8, 30, 20)), Prompt(click=(24, 14))):
        assert iou(look(provider("background", prompt), image), area(small)) == 1.0


@pytest.mark.parametrize("text", ["colour", "box"])
def test_other_objects_are_left_alone(text):
    other, made = (40, 44, 56, 64), provider(text, Prompt(path()[0]))
    for box in path(4):
        assert iou(look(made, scene((other, BLUE), (box, RED))), area(box)) == 1.0


def test_a_target_of_two_colours_in_a_box_that_is_too_wide():
    top, bottom = (20, 14, 26, 30), (26, 14, 34, 30)
    made = provider("colour", Prompt((16, 10, 38, 36)))
    for shift in range(0, 20, 5):
        boxes = [(a + shift, b + shift, c + shift, d + shift) for a, b, c, d in (top, bottom)]
        image = scene((boxes[0], RED), (boxes[1], GREEN))
        assert iou(look(made, image), area(boxes[0]) | area(boxes[1])) > 0.95


def test_a_click_is_enough():
    box = (20, 14, 32, 28)
    for text in ("colour", "box"):
        assert iou(look(provider(text, Prompt(click=(25, 20))), scene((box, RED))), area(box)) == 1.0


def test_what_is_gone_is_not_found_and_is_found_again():
    box = (20, 14, 32, 28)
    made, filled = provider("colour", Prompt(box)), provider("box", Prompt(box))
    for one in (made, filled):
        look(one, scene((box, RED)))
    assert not look(made, scene()).any()
    assert iou(look(filled, scene()), area(box)) == 1.0  # a box stays where it was
    there = (40, 50, 52, 64)
    assert iou(look(made, scene((there, RED))), area(there)) == 1.0


def test_an_empty_table_shows_nothing():
    assert not look(provider("background"), scene()).any()
    assert not look(provider("background"), scene(light=0.8)).any()


def test_cameras_without_a_prompt_have_empty_masks_and_a_new_prompt_begins_anew():
    box, made = (20, 14, 32, 28), provider("colour", Prompt((20, 14, 32, 28)))
    masks = made.masks({"front": scene((box, RED)), "wrist": scene((box, RED))})
    assert masks["front"].any()
    assert not masks["wrist"].any()
    other = (40, 44, 56, 64)
    made.prompt({"front": Prompt(other)})
    assert iou(look(made, scene((box, RED), (other, BLUE))), area(other)) == 1.0


def test_a_maker_makes_one_for_every_episode():
    make = provider_maker("colour")
    first, second = make(), make()
    first.prompt({"front": Prompt((20, 14, 32, 28))})
    look(first, scene(((20, 14, 32, 28), RED)))
    with pytest.raises(ConfigError, match="colour: say where the target is"):
        second.masks({"front": scene()})


@pytest.mark.parametrize(("prompt", "said"), [
    ({}, "either a box or a click"), ({"box": (1, 1, 5, 5), "click": (2, 2)}, "either a box or a click"),
    ({"box": (5, 1, 5, 5)}, "is empty"), ({"box": (-1, 1, 5, 5)}, "is empty"),
])  # fmt: skip
def test_prompts_that_say_nothing(prompt, said):
    with pytest.raises(ConfigError, match=said):
        Prompt(**prompt)


@pytest.mark.parametrize("prompt", [
    Prompt((0, 0, 65, 80)), Prompt((60, 70, 64, 81)), Prompt(click=(64, 3)), Prompt(click=(3, -1)),
])
def test_prompts_outside_the_image(prompt):
    with pytest.raises(ConfigError, match="outside the image of camera front, 64 x 80 pixels"):
        look(provider("colour", prompt), scene())


def test_the_box_around_what_is_marked():
    assert Prompt.around(area((3, 4, 9, 20))) == Prompt((3, 4, 9, 20))
    assert Prompt.around(np.zeros(SIZE, bool)) is None


def test_images_of_another_size_or_kind(tmp_path):
    made = provider("colour", Prompt((20, 14, 32, 28)))
    look(made, scene())
    with pytest.raises(ContractError, match="of camera front were 64 x 80 pixels and are now 32 x 40"):
        look(made, scene()[::2, ::2])
    with pytest.raises(ContractError, match=r"\(64, 80, 3\) float64; it must be \(H, W, 3\) uint8"):
        look(made, scene() / 255.0)
    with pytest.raises(ConfigError, match="empty table by camera front is 64 x 80 pixels, its images 32 x 40"):
        look(provider("background"), scene()[::2, ::2])
    with pytest.raises(ConfigError, match="no picture of the empty table by camera top; there are: front"):
        provider("background").masks({"top": scene()})


def test_pictures_of_a_folder(tmp_path):
    for wanted, name in (("is no folder", "none"), ("holds no picture", "")):
        with pytest.raises(FileError, match=wanted):
            provider_maker(f"background:{tmp_path / name}")
    Image.fromarray(scene()).save(tmp_path / "front.png")
    box = (30, 30, 42, 44)
    assert iou(look(provider_maker(f"background:{tmp_path}")(), scene((box, RED))), area(box)) == 1.0
    (tmp_path / "wrist.png").write_bytes((tmp_path / "front.png").read_bytes()[:200])
    with pytest.raises(FileError, match=r"wrist.png cannot be read"):
        provider_maker(f"background:{tmp_path}")


def test_texts_of_providers(monkeypatch):
    assert row_of("background") == (PROVIDERS["background"], "")
    assert row_of("track:a:b") == (PROVIDERS["track"], "a:b")
    with pytest.raises(UnknownNameError, match=r"unknown mask provider 'colours'. Did you mean 'colour'"):
        row_of("colours")
    for text, said in (("box:3", "box takes nothing"), ("track", "write track:FOLDER"), ("background:", "FOLDER")):
        with pytest.raises(ConfigError, match=said):
            row_of(text)
    with pytest.raises(ConfigError, match="there is no picture of the empty table"):
        provider_maker("background")
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match="masks colour needs OpenCV"):
        provider_maker("colour")()


def test_following_keeps_all_parts_near_the_last_place():
    before = area((20, 20, 30, 30))
    parts = area((20, 20, 24, 30)) | area((27, 20, 30, 30))  # two colours of one thing
    np.testing.assert_array_equal(followed(parts | area((50, 50, 64, 64)), before), parts)
    far = area((50, 50, 64, 64))
    np.testing.assert_array_equal(followed(far, before), far)  # nothing is where it was: the largest
    assert not followed(np.zeros(SIZE, bool), before).any()
