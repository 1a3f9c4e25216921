"""toyshift envs shifts: the sheet and its values, and wrong options."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toyshift.scripts.cli import run
from toyshift.scripts.envs.shifts import LABEL


def test_sheet_shows_each_level_and_its_value(tmp_path: Path, capsys: Any) -> None:
    words = [
        "envs", "shifts", "--out", str(tmp_path), "--objects", "toys:train?n=2", "--size", "64", "--factor",
        "light-intensity", "--factor", "action-latency"
    ]
    assert run(words) == 0
    assert "2 factors" in capsys.readouterr().out
    table = json.loads((tmp_path / "shifts.json").read_text())["factors"]
    np.testing.assert_allclose(table["action-latency"]["values"], [0, 0.1, 0.2, 0.3, 0.4, 0.5])
    sheet = np.asarray(Image.open(tmp_path / "shifts.png")).astype(float)
    values = table["light-intensity"]["values"]
    left, wide = 8 + round(LABEL * 64), 68
    brightness = [sheet[45:100, left + k * wide : left + k * wide + 64].mean() for k in range(6)]
    assert (np.diff(brightness) * np.sign(values[5] - values[0]) > 0).all()


@pytest.mark.parametrize(("option", "message"), [
    (["--factor", "light-intensty"], "Did you mean 'light-intensity'"), (["--size", "9"], "from 64 to 512"),
    (["--object", "x"], "unknown object")
])
def test_wrong_options_are_refused_before_anything_is_written(tmp_path: Path, option: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(["envs", "shifts", "--out", str(tmp_path / "out"), "--objects", "toys:train?n=2", *option])
    assert not (tmp_path / "out").exists()
