"""Planted truths of repairs of datasets that need no simulator: what each is to do, and what it does.

Copies that are rendered, or acted out, are tried by the tests alone: the table's `suite` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toyshift.augment import crop, reskin, telling
from toyshift.augment.augmentation import Around, Augmentation, SeenAs
from toyshift.augment.registry import read_spec
from toyshift.core.arrays import Array
from toyshift.core.contract import image_key, mask_key
from toyshift.core.information import normalised_mutual_information
from toyshift.core.seeds import episode_rng
from toyshift.core.truths import Truth
from toyshift.data.episode import Frames
from toyshift.envs.shifts import Look
from toyshift.toys.random_toys.toy import COLOURS

DRAWS = 1500  # copies of a sub-dataset's episodes
FRONT = "front"
# Two sub-datasets, each under one table
TWO_SIDES = Around(0, ("left", "right"), ((Look(table=1),) * 4, (Look(table=4),) * 4), "table")
RED_CUBE = telling.SceneThing("red toy", "red toy made of a cuboid", ("red",), (0.5, 0.1), 0.04)
RED_BALL = telling.SceneThing("red toy", "red toy made of a sphere", ("red",), (0.5, -0.1), 0.05)
BLUE_RING = telling.SceneThing("blue toy", "blue toy made of a ring", ("blue",), (0.6, 0.0), 0.09)
MUG = telling.SceneThing("mug", "mug", (), (0.4, 0.0), 0.07)
WORDS = (*"a blue cuboid left made mug of one".split(), *"pick red right ring sphere the toy up".split())  # noqa: SIM905


def shown(spec: str, own: int, count: int) -> list[int]:
    """Returns the tables of copies of a sub-dataset's episodes."""
    step, = read_spec(spec)
    around = Around(own, TWO_SIDES.names, TWO_SIDES.looks, "table")
    step.check(around)
    seen = SeenAs(around.looks[own][0])
    return [step.see(seen, around, episode_rng(0, i, str(own))).look.table for i in range(count)]


def _tables(copies: list[tuple[int, int]], count: int) -> Array:
    """Returns how often each task is seen under each of six tables, (2, 6), in `count` originals of each and copies."""
    counts = np.zeros((2, 6))
    counts[0, 1], counts[1, 4] = count, count
    for task, table in copies:
        counts[task, table] += 1
    return counts


def _sides(counts: Array) -> Array:
    """Returns the same by the side of the table, (2, 2)."""
    return np.asarray(counts.reshape(2, 2, 3).sum(axis=-1))


def _nmi(counts: Array) -> float:
    return float(normalised_mutual_information(counts / counts.sum()))


def _toward(spec: str, sides: tuple[set[int], set[int]], told: float) -> list[Truth]:
    tables = [shown(spec, own, DRAWS) for own in (0, 1)]
    wrong = sum(table not in side for drawn, side in zip(tables, sides, strict=True) for table in drawn)
    missed = sum(len(side - {*drawn}) for drawn, side in zip(tables, sides, strict=True))
    counts = _tables([(own, table) for own in (0, 1) for table in tables[own]], DRAWS)
    expected = _tables([(own, table) for own in (0, 1) for table in sides[own]], 3)  # as many copies as originals
    return [
        Truth("copies with looks of another side than its", 0.0, float(wrong), 0.0),
        Truth("looks of its side that no copy has", 0.0, float(missed), 0.0),
        Truth("the side of the table tells the task (NMI; 1 before)", told, _nmi(_sides(counts)), 1e-6),
        Truth("which of six tables it is tells the task (NMI; 1 before)", _nmi(expected), _nmi(counts), 0.02),
    ]


def toward_other_truths() -> list[Truth]:
    """A table that tells the task, and copies under those of the other side: its side tells nothing any more.

    Which table it is still tells something: what was recorded is seen more often than any one of the new ones.
    """
    return _toward("toward-other", ({3, 4, 5}, {0, 1, 2}), 0.0)


def toward_own_truths() -> list[Truth]:
    """The control: as many new tables of its own side, which tell as much as before."""
    return _toward("toward-own", ({0, 1, 2}, {3, 4, 5}), 1.0)


def bridge_truths() -> list[Truth]:
    """A table that tells the task, and a third sub-dataset beside, half of which is seen as the other side's."""
    sixth = 1 / 6  # a third of the mixture is the bridge, half of which is seen as the other
    told = 1 + sixth * np.log2(sixth) + (1 - sixth) * np.log2(1 - sixth)
    counts = _tables([(own, table) for own in (0, 1) for table in shown("bridge", own, DRAWS)], 2 * DRAWS)
    return [Truth("the table tells the task (NMI; 1 before)", float(told), _nmi(counts), 0.03)]  # it shows two alone


def reskin_truths() -> list[Truth]:
    """Fifty permutations of the colours, and sentences that are renamed with them."""
    step, = read_spec("reskin")
    drawn = [step.see(SeenAs(Look()), TWO_SIDES, np.random.default_rng(seed)).colours for seed in range(50)]
    stay = sum(old == new for colours in drawn for old, new in colours.items())
    lost = sum(len({*COLOURS} - {*colours.values()}) for colours in drawn)
    swap = {"orange": "red", "red": "orange"}
    said = ("pick up the toy made of an orange ring and two red cuboids", "pick up the mustard bottle")
    want = ("pick up the toy made of a red ring and two orange cuboids", said[1])
    wrong = sum(reskin.renamed(a, swap) != b for a, b in (*zip(said, want, strict=True), *zip(want, said, strict=True)))
    return [
        Truth("colours that stay, in 50 permutations", 0.0, float(stay), 0.0),
        Truth("colours that nothing becomes", 0.0, float(lost), 0.0),
        Truth("sentences renamed otherwise, there and back", 0.0, float(wrong), 0.0),
    ]


def counted(told: Sequence[str]) -> Array:
    """Stands for the sentence encoder: sentences (N,) by their words, as rows of length 1."""
    rows = np.array([[text.split().count(word) for word in WORDS] for text in told], np.float64) + 1e-9
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def instructions_truths() -> list[Truth]:
    """Sentences for a red cube beside another red toy, or none: those that name two objects go, the others stay."""
    beside = f"pick up the {telling.beside([RED_CUBE, RED_BALL, MUG], 0)}"
    asked = [
        ("pick up the red one", [RED_CUBE, RED_BALL, MUG], False),
        ("pick up the red one", [RED_CUBE, BLUE_RING, MUG], True),
        ("pick up the red one", [RED_CUBE], True),
        ("pick up the red toy made of a cuboid", [RED_CUBE, RED_BALL], True),
        ("pick up the red toy made of a sphere", [RED_CUBE, RED_BALL], False),  # it is another one's
        (beside, [RED_CUBE, RED_BALL, MUG], True),
    ]
    right = np.array([named for *_, named in asked])
    kept = np.array([
        telling.round_trip(say, telling.phrases_of(things, say), 0, counted) for say, things, _ in asked
    ])  # fmt: skip
    return [
        Truth("kept, of sentences that name one object", 1.0, float(kept[right].mean()), 0.0),
        Truth("kept, of those that name two or another", 0.0, float(kept[~right].mean()), 0.0),
    ]


def crop_truths() -> list[Truth]:
    """A slope of brightness, of which half is a gentler slope; and an image whose whole is itself."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    whole = np.abs(crop.window(image, np.zeros(2), 1.0).astype(int) - image).max()
    slope = np.broadcast_to(10 * np.arange(12, dtype=np.uint8)[None, None, :, None], (1, 8, 12, 3))
    cut = crop.window(slope, np.array([1.0, 3.0]), 0.5)[0, 0, :, 0]  # columns 3 to 9, in edges of pixels
    want = 10 * (3 + (np.arange(12) + 0.5) / 2 - 0.5)
    labels = rng.integers(0, 4, (1, 8, 8), dtype=np.uint8) * 60
    new = {*crop.window(labels, np.ones(2), 0.6, nearest=True).ravel().tolist()} - {*labels.ravel().tolist()}
    return [
        Truth("all of an image: pixels are off by", 0.0, float(whole), 0.0),
        Truth("half of a slope: off half as steep a slope by", 0.0, float(np.abs(cut - want).max()), 0.5),
        Truth("labels of masks that were not there", 0.0, float(len(new)), 0.0),
    ]


def jitter_truths() -> list[Truth]:
    """Grey images under one change at a time: brightness adds, contrast keeps the mean, colours keep their ratios."""
    rng = np.random.default_rng(0)
    images = rng.integers(100, 156, (2, 24, 24, 3), dtype=np.uint8)  # so many that rounded pixels keep their mean

    def drawn(spec: str) -> list[Array]:
        return [_framed(spec, images, seed)[image_key(FRONT)].astype(np.float64) for seed in range(200)]

    bright = [seen - images for seen in drawn("jitter?brightness=0.2&contrast=0&colour=0")]
    contrast = drawn("jitter?brightness=0&contrast=0.5&colour=0")
    tinted = [seen / images for seen in drawn("jitter?brightness=0&contrast=0&colour=0.1")]
    factors = [seen.std() / images.std() for seen in contrast]
    return [
        Truth("brightness 0.2: adds to pixels, on average", 25.5, float(np.mean([abs(d.mean()) for d in bright])), 3.0),
        Truth("the same to all: spread", 0.0, float(max(np.ptp(d) for d in bright)), 0.0),
        Truth("contrast 0.5: the mean moves by", 0.0, float(max(abs(c.mean() - images.mean()) for c in contrast)), 0.1),
        Truth("distances from it by a factor of up to", 1.5, float(max(factors)), 0.03),
        Truth("and down to", 0.5, float(min(factors)), 0.03),
        Truth("colour 0.1: a colour's pixels by one factor", 0.0, max(float(t[..., c].std()) for t in tinted
                                                                      for c in range(3)), 0.005),
    ]  # fmt: skip


def duplicate_truths() -> list[Truth]:
    """The control: neither pixels nor the look change."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    changed = (_framed("duplicate", images, 0)[image_key(FRONT)] != images).sum()
    return [
        Truth("pixels that change", 0.0, float(changed), 0.0),
        Truth("looks that change", 0.0, float(sum(table != 1 for table in shown("duplicate", 0, 50))), 0.0),
    ]


def _framed(spec: str, images: NDArray[np.uint8], seed: int) -> Frames:
    step: Augmentation
    step, = read_spec(spec)
    frames: Frames = {image_key(FRONT): images, mask_key(FRONT): np.zeros(images.shape[:3], np.uint8)}
    return step.frames(frames, (FRONT,), np.random.default_rng(seed))
