"""toyshift envs shifts: the sheet and its values, and wrong options."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.scripts.cli import run
from toyshift.scripts.envs.shifts import FILMED, LABEL, WAYS, shown_value, way_of


def test_sheet_shows_each_level_and_its_value(tmp_path: Path, capsys: Any) -> None:
    words = [
        "envs", "shifts", "--out", str(tmp_path), "--objects", "toys:train?n=2", "--size", "64", "--factor",
        "light-intensity", "--factor", "action-latency"
    ]
    assert run(words) == 0
    assert "2 factors" in capsys.readouterr().out
    table = json.loads((tmp_path / "shifts.json").read_text())["factors"]
    np.testing.assert_allclose(table["action-latency"]["values"], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    sheet = np.asarray(Image.open(tmp_path / "shifts.png").convert("RGB")).astype(float)
    values = table["light-intensity"]["values"]
    left, wide = 4 + round(LABEL * 64), 68
    brightness = [sheet[45:100, left + k * wide : left + k * wide + 64].mean() for k in range(6)]
    assert (np.diff(brightness) * np.sign(values[5] - values[0]) > 0).all()


def cells(sheet: Image.Image, row: int, rows: int) -> list[Any]:
    """The six pictures of a row, each (64, 64, 3), of a sheet whose rows are equally high."""
    image = np.asarray(sheet.convert("RGB")).astype(int)
    top, left = 40 + row * (len(image) - 40) // rows, 4 + round(LABEL * 64)
    return [image[top : top + 64, left + k * 68 : left + k * 68 + 64] for k in range(6)]


def test_chances_are_shares_and_places_a_plan(tmp_path: Path) -> None:
    words = ["envs", "shifts", "--out", str(tmp_path), "--objects", "toys:train?n=2", "--size", "64"]
    assert run([*words, "--factor", "mask-dropout"]) == 0
    green = [(c[..., 1] - c[..., 0] > 60).mean() for c in cells(Image.open(tmp_path / "shifts.png"), 0, 1)]
    shares = np.array(green) / green[0]
    assert green[0] > 0.6  # nothing is missing in training
    np.testing.assert_allclose(shares, 1 - np.linspace(0, 0.8, 6), atol=0.25)  # 25 images: 3 standard deviations
    assert (np.diff(shares) < 0).all()
    assert run([*words, "--factor", "object-pose"]) == 0
    sides = []
    for cell in cells(Image.open(tmp_path / "shifts.png"), 0, 1):
        rows, columns = np.nonzero(cell[..., 0] - cell[..., 1] > 60)
        sides.append(np.ptp(rows) + np.ptp(columns))
    assert sides[5] / sides[0] == pytest.approx(2, rel=0.15)  # the square's side doubles


@pytest.mark.parametrize("factor", [name for name, way in WAYS.items() if way == FILMED])
def test_what_the_front_camera_hardly_sees_is_seen_from_the_side(tmp_path: Path, factor: str) -> None:
    words = ["--objects", "toys:train?n=2", "--size", "64", "--factor", factor]
    assert run(["envs", "shifts", "--out", str(tmp_path), *words]) == 0
    shown = cells(Image.open(tmp_path / "shifts.png"), 0, 1)
    assert (np.abs(shown[5] - shown[0]).max(axis=2) > 15).mean() > 0.08


def test_every_factor_that_the_table_names_exists_and_what_no_camera_sees_is_drawn() -> None:
    assert WAYS.keys() <= SHIFT_FACTORS.keys()
    assert [factor.name for factor in SHIFT_FACTORS.values() if not factor.visual and not way_of(factor).note] == []


def test_chances_are_written_in_percent_and_values_with_their_unit() -> None:
    assert shown_value(SHIFT_FACTORS["mask-gap"], 0.16) == "16 %"
    assert shown_value(SHIFT_FACTORS["robot-start"], 0.1) == "0.1 rad"
    assert shown_value(SHIFT_FACTORS["object-size"], 1.6) == "1.6"


@pytest.mark.parametrize(("option", "message"), [
    (["--factor", "light-intensty"], "Did you mean 'light-intensity'"), (["--size", "9"], "from 64 to 512"),
    (["--object", "x"], "unknown object")
])
def test_wrong_options_are_refused_before_anything_is_written(tmp_path: Path, option: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(["envs", "shifts", "--out", str(tmp_path / "out"), "--objects", "toys:train?n=2", *option])
    assert not (tmp_path / "out").exists()
