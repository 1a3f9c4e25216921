"""A robot's images become the training's: the part that its camera saw, of its size, each pixel the mean it covers."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import ContractError
from toyshift.policies.runtime.framing import Lens, frame_of, looks_of, looks_table

TRAINING = Lens.of([[120.0, 0, 48], [0, 120.0, 48], [0, 0, 1]], (96, 96))


def rays(lens: Lens, scene: np.ndarray) -> np.ndarray:
    """Images a pattern far away: the pattern's value where a pixel's middle looks, in thousandths of a tangent."""
    (height, width), (fx, fy), (cx, cy) = lens.size, lens.focal, lens.centre
    x, y = (np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy
    value = 128 + scene[0] * x[None, :] + scene[1] * y[:, None]
    return np.repeat(value[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(480, 640), (480, 848), (1080, 1920), (300, 300)])
def test_the_part_is_cut_out_that_the_training_saw(size: tuple[int, int]) -> None:
    """A slope in the world looks the same through any camera once it is cut to the training's field of view."""
    height, width = size
    lens = Lens(size, (0.9 * height, 0.95 * height), (0.51 * width, 0.49 * height))
    frame = frame_of("front", size, lens, TRAINING, (96, 96))
    for scene in (np.array([200.0, 0.0]), np.array([0.0, -180.0])):
        ours, theirs = frame.image(rays(lens, scene)).astype(int), rays(TRAINING, scene).astype(int)
        assert ours.shape == (96, 96, 3)
        assert np.abs(ours - theirs).max() <= 2  # both are rounded


def test_a_pixel_is_the_mean_of_what_it_covers() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 192, 3), dtype=np.uint8)
    frame = frame_of("front", (96, 192), None, None, (32, 64))
    means = image.reshape(32, 3, 64, 3, 3).mean((1, 3))
    np.testing.assert_allclose(frame.image(image), means, atol=0.51)
    odd = frame_of("front", (96, 192), None, None, (40, 80)).image(np.full((96, 192, 3), 77, np.uint8))
    np.testing.assert_array_equal(odd, 77)  # shares of pixels at the edges add up


def test_images_of_the_training_stay_as_they_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    for lens in (None, TRAINING):
        frame = frame_of("front", (96, 96), lens, TRAINING, (96, 96))
        assert frame.whole
        assert frame.image(image) is image


def test_masks_keep_their_labels() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[100:200, 300:420] = 3
    lens = Lens((480, 640), (600.0, 600.0), (320.0, 240.0))
    frame = frame_of("wrist", (480, 640), lens, TRAINING, (96, 96))
    small = frame.mask(mask)
    assert set(np.unique(small)) == {0, 3}
    assert (small == 3).mean() == pytest.approx(100 * 120 / 480**2, rel=0.05)


def test_a_camera_that_sees_less_is_refused_by_name() -> None:
    narrow = Lens((480, 640), (1500.0, 1500.0), (320.0, 240.0))
    with pytest.raises(ContractError, match="camera wrist sees less than the training's camera"):
        frame_of("wrist", (480, 640), narrow, TRAINING, (96, 96))
    aside = Lens((480, 640), (600.0, 600.0), (20.0, 240.0))
    with pytest.raises(ContractError, match="left or right"):
        frame_of("wrist", (480, 640), aside, TRAINING, (96, 96))


def test_without_intrinsics_only_the_trainings_shape_is_taken() -> None:
    with pytest.raises(ContractError, match=r"camera front are 480 x 640, the training's 96 x 96.*give its intrinsics"):
        frame_of("front", (480, 640), None, TRAINING, (96, 96))
    with pytest.raises(ContractError, match="the bundle has no intrinsics"):
        frame_of("front", (480, 640), Lens((480, 640), (500.0, 500.0), (320.0, 240.0)), None, (96, 96))
    with pytest.raises(ContractError, match="its intrinsics are for"):
        frame_of("front", (240, 320), Lens((480, 640), (500.0, 500.0), (320.0, 240.0)), TRAINING, (96, 96))
    for wrong in (((480, 640), (0.0, 500.0), (320.0, 240.0)), ((480, 640), (np.nan, 500.0), (320.0, 240.0))):
        with pytest.raises(ContractError, match="no lens"):
            Lens(*wrong)


def test_what_images_are_like() -> None:
    flat = np.full((8, 8, 3), (10, 20, 30), np.uint8)
    brightness, red, green, blue, sharpness = looks_of(flat)
    assert (red, green, blue, sharpness) == (10, 20, 30, 0)
    assert brightness == pytest.approx(0.299 * 10 + 0.587 * 20 + 0.114 * 30, abs=1e-4)
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = 100
    assert looks_of(stripes)[4] == pytest.approx(50.0, abs=1e-3)  # every step to the side, none down
    table = looks_table([np.full((4, 4, 3), value, np.uint8) for value in range(101)])
    assert table["red"] == [0, 1, 5, 25, 50, 75, 95, 99, 100]
