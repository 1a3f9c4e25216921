"""toyshift toys show: one scale for all objects, whole captions, few empty places."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toyshift.scripts.toys.show import Config, bar_length, columns_of, fitting, main, wrapped

SIZE = 120


def across(cell: np.ndarray) -> int:
    """Width of what is coloured in a picture: the object, without shadow and table [pixels]."""
    coloured = (np.ptp(cell.astype(int), axis=2) > 60).any(axis=0)
    return int(np.flatnonzero(coloured)[-1] - np.flatnonzero(coloured)[0] + 1)


def test_all_objects_are_drawn_at_one_scale(tmp_path: Path) -> None:
    found = main(Config(out=tmp_path / "toys.png", objects="toys:train?n=6", size=SIZE))
    sheet = np.asarray(Image.open(found["out"]))
    columns, gap = columns_of(6), SIZE // 10
    high = SIZE + round(2.8 * max(10, SIZE // 11)) + gap
    first = sheet.shape[0] - gap - -(-6 // columns) * high
    shown = {}
    for i, name in enumerate(found["shown"]):
        top, left = first + i // columns * high, gap + i % columns * (SIZE + gap)
        shown[name] = across(sheet[top : top + SIZE, left : left + SIZE]) * found["mm_per_pixel"]  # [mm]
    assert shown["b5f637e6a77d52a0"] == pytest.approx(50, rel=0.06)  # a ball of 50 mm
    assert shown["2b9396e02aa60bc3"] > 62  # a box 62 mm wide where it is narrowest, seen over its edge


def test_a_bar_is_a_round_length_of_at_most_half_a_picture() -> None:
    assert [bar_length(span) for span in (0.04, 0.1, 0.332, 0.4)] == pytest.approx([0.02, 0.05, 0.1, 0.2])


@pytest.mark.parametrize("count", [1, 2, 7, 48, 78, 100])
def test_few_places_stay_empty(count: int) -> None:
    columns = columns_of(count)
    assert -count % columns <= 2
    assert columns <= count


def test_captions_are_shortened_and_headings_broken_only_where_they_do_not_fit() -> None:
    assert fitting("002_master_chef_can", len, 19) == "002_master_chef_can"
    assert fitting("002_master_chef_can", len, 9) == "002_…_can"
    assert wrapped("all at one scale", len, 10) == ["all at one", "scale"]
    assert wrapped("toys:a-very-long-name is one", len, 8) == ["toys:a-very-long-name", "is one"]
