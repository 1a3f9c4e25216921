"""What an encoder is shown: boxes, crops and resized images, checked pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from toyshift.policies.views import MARGIN, crop, filled_box, mask_moments, prepare, target_box

H, W = 24, 32


def target(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    out = torch.zeros(len(boxes), H, W)
    for i, (left, top, right, bottom) in enumerate(boxes):
        out[i, top:bottom, left:right] = 1.0
    return out


def test_box_of_the_extreme_pixels_and_of_everything_where_nothing_is_seen() -> None:
    seen = target((3, 5, 9, 7), (0, 0, 0, 0), (31, 23, 32, 24))
    seen[0, 20, 4] = 1.0  # a second part
    torch.testing.assert_close(target_box(seen), torch.tensor([[3.0, 5.0, 9.0, 21.0], [0.0, 0.0, 32.0, 24.0], [31.0, 23.0, 32.0, 24.0]]))


def test_filled_box_is_the_box_and_stays_empty() -> None:
    seen = target((0, 0, 0, 0), (0, 0, 0, 0))
    seen[0, 4, 6] = seen[0, 9, 11] = 1.0
    assert torch.equal(filled_box(seen), target((6, 4, 12, 10), (0, 0, 0, 0)))


def test_a_crop_shows_the_square_around_the_target_and_says_where_it_was() -> None:
    ramp = torch.stack([torch.arange(W).expand(H, W), torch.arange(H)[:, None].expand(H, W), torch.zeros(H, W)], dim=-1)
    side = round(8 * MARGIN)
    cut, place = crop(ramp[None].to(torch.uint8), target((10, 8, 18, 12)), (side, side))
    torch.testing.assert_close(place, torch.tensor([[28 / W - 1, 20 / H - 1, side / W, side / H]]))
    torch.testing.assert_close(cut[0, 0, :, 0], 14.0 - side / 2 + torch.arange(side), rtol=1e-5, atol=1e-4)  # one pixel per pixel: x ...
    torch.testing.assert_close(cut[0, :, 0, 1], 10.0 - side / 2 + torch.arange(side), rtol=1e-5, atol=1e-4)  # ... and y


def test_pixels_outside_a_crop_do_not_matter() -> None:
    images = torch.randint(0, 256, (1, H, W, 3), dtype=torch.uint8)
    box = target((10, 8, 18, 12))
    changed = images.clone()
    changed[:, :, 24:] ^= 255
    changed[:, 18:] ^= 255
    assert torch.equal(crop(images, box, (16, 16))[0], crop(changed, box, (16, 16))[0])


def test_a_crop_of_nothing_is_the_whole_image() -> None:
    images = torch.randint(0, 256, (2, H, W, 3), dtype=torch.uint8)
    cut, place = crop(images, target((0, 0, 0, 0), (0, 0, 0, 0)), (H, W))
    torch.testing.assert_close(cut, images.float(), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(place, torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, 4))


def test_images_of_the_right_size_are_passed_on_untouched() -> None:
    images, seen = torch.zeros(1, H, W, 3, dtype=torch.uint8), target((1, 2, 3, 4))
    shown, mask, place = prepare(images, seen, "detpool", (H, W))
    assert shown is images
    assert mask is seen
    assert place is None


@pytest.mark.parametrize("pooling", ["detpool", "box", "crop", "mean"])
def test_resized_to_the_encoder(pooling: str) -> None:
    images, seen = torch.full((1, H, W, 3), 77, dtype=torch.uint8), target((8, 8, 16, 16))
    shown, mask, _ = prepare(images, None if pooling == "mean" else seen, pooling, (48, 64))
    torch.testing.assert_close(shown, torch.full((1, 48, 64, 3), 77.0))
    if pooling in ("detpool", "box"):
        assert mask is not None
        assert mask[0, 17:31, 17:31].eq(1.0).all()  # the mask grew with the image
        assert mask[0, :14].eq(0.0).all()
        assert mask.sum() == pytest.approx(4 * seen.sum().item())


def test_a_crop_is_as_sharp_in_bfloat16_training_and_repeats_the_edge() -> None:
    image = torch.randint(0, 256, (2, H, W, 3), dtype=torch.uint8)
    seen = target((0, 0, 4, 4), (10, 8, 20, 12))
    plain, place = crop(image, seen, (16, 16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again, there = crop(image, seen, (16, 16))
    assert torch.equal(again, plain)
    assert torch.equal(there, place)
    assert plain.dtype == torch.float32
    corner, _ = crop(image[:1], target((0, 0, 1, 1)), (32, 32))
    assert torch.equal(corner[0, 0, 0], image[0, 0, 0].float())  # beyond the image's corner: the corner's pixel


def bar(degrees: float, x: float, y: float, length: float = 30.0, width: float = 10.0, size: int = 96) -> torch.Tensor:
    """Returns a bar's mask (1, size, size), `degrees` from the x axis towards y (down)."""
    rows, columns = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    angle = math.radians(degrees)
    along = (columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)
    across = (rows - y) * math.cos(angle) - (columns - x) * math.sin(angle)
    return ((along.abs() < length / 2) & (across.abs() < width / 2)).float()[None]


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133])
def test_moments_of_a_bar_are_those_of_its_rectangle(degrees: float) -> None:
    share, x, y, longer, shorter, cosine, sine = mask_moments(bar(degrees, 60, 40))[0].tolist()
    assert share == pytest.approx(math.sqrt(300) / 96, rel=0.05)
    assert (x, y) == pytest.approx((60 / 48 - 1, 40 / 48 - 1), abs=0.01)
    assert longer == pytest.approx(4 * 30 / 48 / math.sqrt(12), rel=0.05)  # a rectangle's standard deviation
    assert shorter == pytest.approx(4 * 10 / 48 / math.sqrt(12), rel=0.1)
    assert math.hypot(cosine, sine) == pytest.approx(0.8, abs=0.05)  # (9 - 1) / (9 + 1)
    off = math.degrees(0.5 * math.atan2(sine, cosine)) - degrees
    assert abs((off + 90) % 180 - 90) < 2


def test_moments_of_nothing_of_a_disc_and_of_a_mirrored_image() -> None:
    assert mask_moments(torch.zeros(2, 32, 48)).abs().max() == 0
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    disc = mask_moments((torch.hypot(rows - 32, columns - 20) < 10).float()[None])[0]
    assert disc[5:].abs().max() < 0.02
    assert disc[3] == pytest.approx(float(disc[4]), rel=0.02)
    mask = bar(30, 60, 40)
    np.testing.assert_allclose(mask_moments(mask.flip(2)), mask_moments(mask) * torch.tensor([1.0, -1, 1, 1, 1, 1, -1]), atol=1e-5)
    np.testing.assert_allclose(mask_moments(mask.transpose(1, 2)), mask_moments(mask)[:, [0, 2, 1, 3, 4, 5, 6]] * torch.tensor([1.0, 1, 1, 1, 1, -1, 1]), atol=1e-5)
    one = torch.zeros(1, 8, 8)
    one[0, 3, 5] = 1
    assert mask_moments(one)[0, 5:].abs().max() < 1e-5  # a single pixel points nowhere


def test_moments_are_exact_in_bfloat16() -> None:
    mask = bar(17, 60, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = mask_moments(mask)
    assert torch.equal(low, mask_moments(mask))
