"""What an encoder is shown: boxes, crops and resized images, checked pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from toyshift.policies.network.views import MARGIN, crop, filled_box, prepare, target_box

H, W = 24, 32


def target(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    out = torch.zeros(len(boxes), H, W)
    for i, (left, top, right, bottom) in enumerate(boxes):
        out[i, top:bottom, left:right] = 1.0
    return out


def test_box_of_the_extreme_pixels_and_of_everything_where_nothing_is_seen() -> None:
    seen = target((3, 5, 9, 7), (0, 0, 0, 0), (31, 23, 32, 24))
    seen[0, 20, 4] = 1.0  # a second part
    torch.testing.assert_close(
        target_box(seen), torch.tensor([[3.0, 5.0, 9.0, 21.0], [0.0, 0.0, 32.0, 24.0], [31.0, 23.0, 32.0, 24.0]])
    )


def test_filled_box_is_the_box_and_stays_empty() -> None:
    seen = target((0, 0, 0, 0), (0, 0, 0, 0))
    seen[0, 4, 6] = seen[0, 9, 11] = 1.0
    assert torch.equal(filled_box(seen), target((6, 4, 12, 10), (0, 0, 0, 0)))


def test_a_crop_shows_the_square_around_the_target_and_says_where_it_was() -> None:
    ramp = torch.stack([torch.arange(W).expand(H, W), torch.arange(H)[:, None].expand(H, W), torch.zeros(H, W)], dim=-1)
    side = round(8 * MARGIN)
    cut, place = crop(ramp[None].to(torch.uint8), target((10, 8, 18, 12)), (side, side))
    torch.testing.assert_close(place, torch.tensor([[28 / W - 1, 20 / H - 1, side / W, side / H]]))
    # one pixel per pixel: x ...
    torch.testing.assert_close(cut[0, 0, :, 0], 14.0 - side / 2 + torch.arange(side), rtol=1e-5, atol=1e-4)
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
