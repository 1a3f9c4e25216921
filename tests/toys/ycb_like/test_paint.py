"""Paint of the YCB-like shapes: every face shows the colour that its rule gives at its place, on all six sides."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from toyshift.toys.model import VisualMesh
from toyshift.toys.ycb_like import paint as like_paint
from toyshift.toys.ycb_like.ycb_like_set import SHAPES
from toyshift.toys.ycb_table import ycb_table


def colour_at(visual: VisualMesh, face: int) -> np.ndarray:
    """The texture's colour in the middle of a face, read as renderers read it (v up, first row on top)."""
    assert visual.uv is not None
    assert visual.texture is not None
    u, v = visual.uv[visual.faces[face]].mean(axis=0)
    height, width = visual.texture.shape[:2]
    return visual.texture[int((1 - v) * height), int(u * width)]


def test_every_face_shows_its_place() -> None:
    cube = trimesh.creation.box([0.1, 0.2, 0.3]).subdivide().subdivide().subdivide()
    visual = like_paint.painted(cube, lambda p, axis: (p + 1) / 2, (0.5, 0.5, 0.5, 1.0))  # colour = place
    wanted = (cube.triangles_center / cube.extents + 0.5) * 255
    shown = np.array([colour_at(visual, k) for k in range(len(cube.faces))])
    assert np.abs(shown - wanted).max() < 255 / 50  # the width of a pixel
    np.testing.assert_allclose(visual.vertices[visual.faces], cube.triangles, atol=1e-7)  # the same faces, in order
    assert visual.texture is not None
    assert visual.texture.dtype == np.uint8


def test_a_puzzle_cube_has_six_colours() -> None:
    cube = trimesh.creation.box([0.06, 0.06, 0.06])
    visual = like_paint.painted(cube, like_paint.stickers, (0.1, 0.1, 0.1, 1.0))
    assert visual.texture is not None
    tiles = visual.texture.reshape(2, 64, 3, 64, 3).transpose(0, 2, 1, 3, 4).reshape(6, 64, 64, 3)
    assert len({tuple(tile[32, 32]) for tile in tiles}) == 6
    assert all((tile[32, 23] < 60).all() for tile in tiles)  # the gap between two stickers is black


def test_a_die_shows_one_to_six() -> None:
    from scipy.ndimage import label

    visual = like_paint.painted(trimesh.creation.box([0.017] * 3), like_paint.dots, (1.0, 1.0, 1.0, 1.0))
    assert visual.texture is not None
    tiles = visual.texture.reshape(2, 64, 3, 64, 3).transpose(0, 2, 1, 3, 4).reshape(6, 64, 64, 3)
    assert sorted(label(tile[..., 0] < 128)[1] for tile in tiles) == [1, 2, 3, 4, 5, 6]


def test_paint_is_for_objects_of_the_table() -> None:
    assert set(like_paint.PAINTS) <= set(ycb_table())
    assert set(like_paint.PAINTS) <= set(SHAPES)


RULES = {name: paint for name, paint in like_paint.PAINTS.items() if not isinstance(paint, like_paint.Bands)}


@pytest.mark.parametrize("name", sorted(RULES))
def test_rules_give_colours(name: str) -> None:
    for axis in range(3):
        places = np.random.default_rng(0).uniform(-1, 1, (200, 3))
        places[:, axis] = 1.0
        before = places.copy()
        colours = RULES[name](places, axis)
        assert colours.shape == (200, 3)
        assert colours.min() >= 0
        assert colours.max() <= 1
        np.testing.assert_array_equal(places, before)


def test_bands_are_cut_exactly() -> None:
    cube = trimesh.creation.box([0.1, 0.2, 0.4])
    colours = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    visual = like_paint.banded(
        cube, like_paint.Bands(2, tuple(zip((-0.5, 0.25, 1.0), colours, strict=True))), (0.5, 0.5, 0.5, 1.0)
    )
    middle = visual.vertices[visual.faces].mean(axis=1)[:, 2]
    for face, height in enumerate(middle):
        band = 0 if height < -0.1 else 1 if height < 0.05 else 2
        np.testing.assert_array_equal(colour_at(visual, face), 255 * np.array(colours[band]))
    shown = trimesh.Trimesh(visual.vertices, visual.faces)
    assert shown.area == pytest.approx(cube.area, rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(like_paint.PAINTS) - set(RULES)))
def test_bands_ascend(name: str) -> None:
    paint = like_paint.PAINTS[name]
    assert isinstance(paint, like_paint.Bands)
    ends = [end for end, _ in paint.bands]
    assert ends == sorted(ends)
    assert ends[-1] == 1
    assert ends[0] > -1
