"""Mask noise on planted masks: how much, where, how long it lasts, and which object is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toyshift.core.seeds import episode_rng
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.envs.shifted.mask_noise import (
    PERIOD,
    Sight,
    dilated,
    displaced,
    elsewhere,
    eroded,
    noisy_mask,
    with_iou,
)
from toyshift.envs.shifts import Variation

SIZE = 64
LASTING, ANEW = ("mask-outline", "mask-offset"), ("mask-jitter",)


def disc(radius: float = 12.0, middle: tuple[float, float] = (32.0, 32.0)) -> Any:
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = np.where(np.hypot(y - middle[0], x - middle[1]) < radius, 1, 0).astype(np.uint8)
    mask[:6] = 3
    return mask


def overlap(a: Any, b: Any) -> float:
    return float(((a == 1) & (b == 1)).sum() / ((a == 1) | (b == 1)).sum())


def middle(mask: Any) -> Any:
    return np.argwhere(mask == 1).mean(axis=0)


def spoilt(
    mask: Any, variation: dict[str, float], episode: int = 0, camera: str = "front", step: int = 0, number: Any = None,
    beside: int = 0,
) -> Any:
    number = np.zeros_like(mask) if number is None else number
    sight = Sight(lambda name: episode_rng(0, episode, name), camera, step, 0.1 * step, number, beside)
    return noisy_mask(mask, Variation(variation), sight)


@pytest.mark.parametrize("iou", [0.86, 0.58, 0.3])
def test_a_mask_reaches_its_iou(iou: float) -> None:
    mask = disc()
    area = (mask == 1).sum()
    worse = [with_iou(mask, iou, np.random.default_rng(seed)) for seed in range(5)]
    for one in worse:
        assert overlap(mask, one) == pytest.approx(iou, abs=1.5 / area)
        assert (one == 1).sum() == area
    assert not np.array_equal(worse[0], worse[1])


@pytest.mark.parametrize(("pixels", "angle"), [(3, 0.0), (6, 0.5 * np.pi), (10, np.pi)])
def test_a_disc_is_displaced_as_far_as_its_iou_says(pixels: int, angle: float) -> None:
    radius = 12.0
    lens = 2 * radius**2 * np.arccos(pixels / (2 * radius)) - pixels / 2 * np.sqrt(4 * radius**2 - pixels**2)
    iou = lens / (2 * np.pi * radius**2 - lens)  # of two circles whose middles are so far apart
    mask = disc(radius)
    out = displaced(mask, iou, angle)
    assert overlap(mask, out) == pytest.approx(iou, abs=2 / (mask == 1).sum())
    assert (out == 1).sum() == (mask == 1).sum()
    way = np.array([np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(middle(out) - middle(mask), pixels * way, atol=0.5)


def test_what_is_displaced_over_the_border_keeps_area_and_iou() -> None:
    mask = disc(middle=(32.0, 58.0))
    out = displaced(mask, 0.5, 0.0)
    assert overlap(mask, out) == pytest.approx(0.5, abs=2 / (mask == 1).sum())
    assert (out == 1).sum() == (mask == 1).sum()


@pytest.mark.parametrize("factor", LASTING)
def test_an_error_that_lasts_is_the_same_to_the_end_and_goes_along_with_the_target(factor: str) -> None:
    first, moved = disc(), disc(middle=(40.0, 27.0))
    start, later, elsewhere_ = (
        spoilt(mask, {factor: 0.5}, step=step) for mask, step in ((first, 0), (first, 31), (moved, 44))
    )
    np.testing.assert_array_equal(start, later)
    assert overlap(np.roll(start, (8, -5), axis=(0, 1)), elsewhere_) > 0.98  # ties fall either way
    assert not np.array_equal(start, spoilt(first, {factor: 0.5}, episode=1))
    assert not np.array_equal(start, spoilt(first, {factor: 0.5}, camera="wrist"))


def test_jitter_comes_anew_in_every_image_and_so_has_no_bias_as_an_offset_has() -> None:
    mask = disc()
    bias, spread = {}, {}
    for factor in (*LASTING, *ANEW):
        shown = [spoilt(mask, {factor: 0.5}, step=step) for step in range(60)]
        moves = np.array([middle(one) - middle(mask) for one in shown])
        bias[factor], spread[factor] = np.linalg.norm(moves.mean(axis=0)), moves.std(axis=0).max()
    assert spread["mask-jitter"] > 0.5
    assert max(spread["mask-outline"], spread["mask-offset"]) < 1e-9
    assert bias["mask-jitter"] < 1.0 < bias["mask-offset"]


def test_dropout_comes_in_its_share_of_images_one_by_one() -> None:
    missing = np.array([not (spoilt(disc(), {"mask-dropout": 0.3}, step=i) == 1).any() for i in range(2000)])
    assert missing.mean() == pytest.approx(0.3, abs=0.03)
    after = missing[1:][missing[:-1]].mean()  # images after one without a mask
    assert after == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_a_gap_is_one_stretch_of_its_share_and_begins_otherwise_in_every_episode(share: float) -> None:
    steps, begins = round(PERIOD * 10), set()
    for episode in range(8):
        missing = np.array([
            not (spoilt(disc(), {"mask-gap": share}, episode, step=i) == 1).any() for i in range(2 * steps)
        ])
        assert missing[:steps].sum() == pytest.approx(share * steps, abs=1)
        assert np.abs(np.diff(missing[:steps].astype(int))).sum() <= 2  # gone once in a period
        begins.add(int(np.flatnonzero(np.diff(missing.astype(int)) == 1)[0]))
    assert len(begins) > 4


def test_the_combination_of_errors_is_what_each_does_alone() -> None:
    alone = [not (spoilt(disc(), {"mask-dropout": 0.5}, step=i) == 1).any() for i in range(40)]
    both = [not (spoilt(disc(), {"mask-jitter": 0.5, "mask-dropout": 0.5}, step=i) == 1).any() for i in range(40)]
    assert alone == both


def test_another_object_is_taken_only_where_there_is_one() -> None:
    mask, number = disc(radius=8.0), np.zeros((SIZE, SIZE), np.uint8)
    number[50:58, 4:12], number[50:58, 50:60] = 1, 2
    mask[number > 0] = 2
    taken = set()
    for episode in range(40):
        shown = spoilt(mask, {"mask-wrong": 1.0}, episode, number=number, beside=3)
        np.testing.assert_array_equal(shown == 2, ((number > 0) & (shown != 1)) | (mask == 1))
        which = np.unique(number[shown == 1]).tolist()
        assert len(which) <= 1  # the third is not in view: no target then
        assert not which or ((shown == 1) == (number == which[0])).all()
        taken.add(tuple(which))
        for camera, step in (("wrist", 0), ("front", 17)):  # the same one in all images of the episode
            again = spoilt(mask, {"mask-wrong": 1.0}, episode, camera, step, number, 3)
            np.testing.assert_array_equal(shown, again)
    assert taken == {(), (1,), (2,)}


def test_with_nothing_beside_it_the_outline_lies_elsewhere() -> None:
    mask = disc(radius=7.0)
    for episode in range(10):
        shown = spoilt(mask, {"mask-wrong": 1.0}, episode)
        assert overlap(mask, shown) == 0.0
        assert set(np.unique(shown)) <= {0, 1, 3}
        assert not (shown[mask == 3] == 1).any()  # background only
    whole = disc(radius=7.0)
    whole[:6] = 0
    assert (elsewhere(whole, 0.1, 0.9) == 1).sum() == (whole == 1).sum()


def test_a_wrong_object_comes_in_its_share_of_episodes() -> None:
    mask = disc(radius=7.0)
    wrong = [overlap(mask, spoilt(mask, {"mask-wrong": 0.4}, episode)) == 0.0 for episode in range(1000)]
    assert np.mean(wrong) == pytest.approx(0.4, abs=0.05)


def test_erosion_and_dilation_are_rims_of_the_right_width() -> None:
    mask = disc(radius=20.0)
    smaller, larger = eroded(mask, 0.5), dilated(mask, 0.5)
    assert np.sqrt((smaller == 1).sum() / np.pi) == pytest.approx(10.0, abs=0.7)
    assert np.sqrt((larger == 1).sum() / np.pi) == pytest.approx(30.0, abs=0.7)
    assert set(np.unique(smaller)) == {0, 1, 3}
    sizes = [(eroded(mask, w) == 1).sum() for w in (0.16, 0.32, 0.48, 0.64, 0.8)]
    assert (np.diff(sizes) < 0).all()
    assert sizes[-1] > 0


def test_a_mask_without_its_target_stays_as_it_is() -> None:
    empty = np.where(disc() == 3, 3, 0).astype(np.uint8)
    worst = {name: row.ends[0] for name, row in SHIFT_FACTORS.items() if "mask" in row.apply}
    np.testing.assert_array_equal(spoilt(empty, worst), empty)


def test_in_a_scene_a_gap_lasts_its_share_of_the_time() -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=6", image_size=32, cameras=("front",)))
    env.reset(seed=3, options={"episode": 1, "shift": "mask-gap=5"})
    still, missing = np.array([0, 0, 0, 0, 0, 0, 1], np.float32), []
    for _ in range(round(PERIOD * 2)):  # ten images, half a second apart
        missing.append(not (env.observe()["masks"]["front"] == 1).any())
        assert (env.true_masks()["front"] == 1).any()
        for _ in range(5):
            env.advance(still)
    assert sum(missing) == 8
    assert np.abs(np.diff(np.array(missing, int))).sum() <= 2
    env.close()


def test_in_a_scene_one_object_is_taken_for_the_target_by_all_cameras_to_the_end() -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=6", image_size=64, clutter=3))
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    chosen = []
    for episode in range(4):
        env.reset(seed=3, options={"episode": episode, "shift": "mask-wrong=5"})
        seen = set()
        for _ in range(3):
            observation = env.step(still)[0]
            for camera, mask in observation["masks"].items():
                view = env.renderer().render(camera, 64)
                true = env.true_masks()[camera]
                np.testing.assert_array_equal(true, view.mask)
                assert view.number is not None
                np.testing.assert_array_equal(view.number > 0, true == 2)
                assert not ((mask == 1) & (true != 2)).any()
                seen |= set(view.number[mask == 1].tolist())
        assert len(seen) == 1
        chosen += seen
    assert set(chosen) <= {1, 2, 3}
    assert len(set(chosen)) > 1
    env.reset(seed=3, options={"episode": 0})
    np.testing.assert_array_equal(env.observe()["masks"]["front"], env.true_masks()["front"])
    env.close()
