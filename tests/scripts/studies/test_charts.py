"""Figures of studies: as wide as the page that shows them, so that their type is not shrunk."""

from pathlib import Path

import pytest
from PIL import Image

from toyshift.scripts.studies.charts import COLOURS, PAGE, CurvePanel, Group, curve_sheet, success_chart


@pytest.mark.parametrize("names", [("detpool", "random"), ("detpool (varied)", "random")], ids=["same", "other"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_chart_is_as_wide_as_the_page(tmp_path: Path, count: int, names: tuple[str, ...]) -> None:
    line = {"rate": 0.5, "clustered_objects_95": (0.3, 0.7), "by_seed": [0.4, 0.6]}
    groups = [Group("training toys", [(name, 1, line) for name in ("detpool", "random")])]
    groups += [Group(f"set {i}", [(name, 1, line) for name in names]) for i in range(1, count)]
    success_chart(tmp_path / "chart.png", groups)
    assert Image.open(tmp_path / "chart.png").width == PAGE


def test_panels_lie_in_rows_and_the_curves_of_others_are_grey(tmp_path: Path) -> None:
    line = [(x, 0.5, 0.4, 0.6) for x in (0.0, 1.0)]
    plain = CurvePanel("one", "radius", [("ours", line)], (0.0, 1.0))
    beside = plain._replace(beside=[("paper", [(x, 0.9, 0.9, 0.9) for x in (0.0, 1.0)])])
    curve_sheet(tmp_path / "sheet.png", [plain, beside, plain], 2, PAGE // 2 - 88)
    sheet = Image.open(tmp_path / "sheet.png").convert("RGB")
    assert sheet.width == PAGE
    side, high = PAGE // 2, sheet.height // 2

    def drawn(x: int, y: int) -> set[tuple[int, ...]]:
        """Colours where a curve at 90 % is drawn, below a panel's first line and above its second."""
        strip = sheet.crop((x + 70, y + 50, x + 380, y + 66))
        return {pixel for _, pixel in strip.getcolors(10_000) or []}

    assert drawn(0, 0) == drawn(0, high) == {(255, 255, 255)}
    assert min(drawn(side, 0)) == pytest.approx(COLOURS[4], abs=12)  # and nothing darker
