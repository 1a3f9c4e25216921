"""The study of DSL against distance: planted rows give their curve; as small as it gets, it runs and goes on."""

import json
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import Row, read_rows, read_rows_manifest
from toyshift.diagnostics.dsl import CUE, INSTRUCTED
from toyshift.scripts.studies import dsl as study_dsl
from toyshift.scripts.studies.planted import PlantedCue


def planted(cue: PlantedCue, taken: int, seed: int, trials: int = 10) -> list[Row]:
    """Rows of a policy that goes to the cue's place in `taken` of `trials` episodes of each swapped cell."""
    rows = []
    for cell in cue.cells():
        for i in range(trials):
            follows = cell.swapped and i < taken
            rows.append(Row(
                policy=f"s{seed}", pooling="attention", object_set="toys:train", object_id=f"toy-{i}", seed=seed,
                episode=i, success=not follows, failure="missed" if follows else "", steps=10,
                max_height=0.1, wall_s=0.1, look=cell.label, approached=CUE if follows else INSTRUCTED,
            ))  # fmt: skip
    return rows


def test_the_curve_is_what_was_planted() -> None:
    cue = PlantedCue("table", 1.0, 1.0)
    line = study_dsl._line(cue, [planted(cue, 4, 0), planted(cue, 6, 1)])
    assert line["dsl"]["value_low_high"][0] == pytest.approx(0.5)
    assert line["by_chance"]["value_low_high"][0] == 0.0
    assert line["ood_success"]["value_low_high"][0] == pytest.approx(0.5)
    assert line["id_success"]["value_low_high"][0] == 1.0
    assert line["by_seed"]["dsl"] == [pytest.approx(0.4), pytest.approx(0.6)]
    assert line["excess"]["difference"]["value"] == pytest.approx(0.5)  # starts of both seeds are pairs of their own
    assert line["counts"][CUE] == 2 * 4 + 2 * 6


def test_the_control_is_tested_with_the_cue_that_it_was_not_told() -> None:
    clean, told = PlantedCue("azimuth", 1.0, 0.0), PlantedCue("azimuth", 1.0, 1.0)
    assert clean.cells() == told.cells()
    assert clean.design().planted() == pytest.approx(0.0)


def test_distances_that_tell_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="occurs in part-0 too"):
        study_dsl.Config(factor="table", disparities=(0.0,))


def test_controls_of_other_distances_have_names_of_their_own(tmp_path: Path) -> None:
    def names(*distances: float) -> set[str]:
        config = study_dsl.Config(out=tmp_path, disparities=distances, seeds=1)
        return {cell.name for cell in study_dsl.DslStudy(config).cells()}

    assert names(0.5, 1.0) == {"d0.500-s0", "d1.000-s0", "clean-s0"}
    assert names(0.5) == {"d0.500-s0", "clean-d0.500-s0"}


@pytest.mark.usefixtures("works_here")
def test_it_runs_and_goes_on(tmp_path: Path) -> None:
    config = study_dsl.Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", demos=2, seeds=1, steps=2, batch=4,
        trials=1, factor="background", disparities=(0.7, 1.0), workers=1, allow_dirty=True,
    )
    first = study_dsl.main(config)
    assert first["ran"] == ["d0.700-s0", "d1.000-s0", "clean-s0"]
    assert study_dsl.main(config)["ran"] == []
    facts = read_rows_manifest(tmp_path / "results" / "rows" / "clean-s0.parquet")
    assert facts["cue"] == {"factor": "background", "disparity": 1.0, "correlation": 0.0, "diversity": 0.0}
    rows = read_rows(tmp_path / "results" / "rows" / "d1.000-s0.parquet")
    assert [row.look for row in rows] == [cell.label for cell in PlantedCue("background", 1.0, 1.0).cells()]
    table = json.loads((tmp_path / "results" / "table.json").read_text())
    assert [(x["disparity"], x["correlation"]) for x in table["cues"]] == [(0.7, 1.0), (1.0, 1.0), (1.0, 0.0)]
    assert "| distance |" in (tmp_path / "docs" / "dsl.md").read_text()
    assert (tmp_path / "docs" / "dsl.png").stat().st_size > 1000
