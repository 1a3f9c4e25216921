"""Figures of studies: as wide as the page that shows them, so that their type is not shrunk."""

from pathlib import Path

import pytest
from PIL import Image

from toyshift.scripts.studies.charts import PAGE, Group, success_chart


@pytest.mark.parametrize("names", [("detpool", "random"), ("detpool (varied)", "random")], ids=["same", "other"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_chart_is_as_wide_as_the_page(tmp_path: Path, count: int, names: tuple[str, ...]) -> None:
    line = {"rate": 0.5, "clustered_objects_95": (0.3, 0.7), "by_seed": [0.4, 0.6]}
    groups = [Group("training toys", [(name, 1, line) for name in ("detpool", "random")])]
    groups += [Group(f"set {i}", [(name, 1, line) for name in names]) for i in range(1, count)]
    success_chart(tmp_path / "chart.png", groups)
    assert Image.open(tmp_path / "chart.png").width == PAGE
