"""Sub-datasets on disk tell what their cue implies; success as in training is played where cue and place agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from toyshift.core.workers import Pool
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import collect_fragments
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import own_success as room
from toyshift.diagnostics.measuring.implied import folders_of, implied_of, read_episodes
from toyshift.diagnostics.measuring.own_success import own_success
from toyshift.diagnostics.rows import read_rows

OBJECTS = "toys:train?n=3"


def collected(out: Path, correlation: float) -> Path:
    design = fragment(2, diversity=0.25, disparity=1.0, correlation=correlation, factor="table")
    collect_fragments(design, CollectConfig(OBJECTS, 8, out, workers=0, image_size=32, cameras=("front",)))
    return out


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("tied") / "fragments", 1.0)


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plays in this process."""
    evaluate = room.evaluate
    monkeypatch.setattr(room, "evaluate", lambda config, out, pool: evaluate(config, out, 0, progress=False))


def ask(out: Path, *trained_on: Path, training_set: str = "") -> Asked:
    return Asked(
        policy="oracle", objects=OBJECTS, training_set=training_set, trained_on=trained_on, scenes=2, looks=1,
        trials=3, camera="front", seed=0, out=out,
    )  # fmt: skip


def test_fragments_tell_what_their_cue_implies(tied: Path) -> None:
    assert [folder.name for folder in folders_of((tied,))] == ["part-0", "part-1"]
    assert folders_of((tied / "part-1",)) == [tied / "part-1"]
    factors, places = read_episodes((tied,))
    assert {len(values) for values in factors.values()} == {8} == {len(places)}
    found, nothing = implied_of(factors, places)
    assert {*found} == {"table"}
    (one, other), (first, second) = found["table"].values, found["table"].places
    assert one != other
    assert abs(first[1] - second[1]) == pytest.approx(0.1, abs=0.03)  # centres half spans of 10 cm apart
    assert nothing["light"] == "it is the same in all episodes"


@pytest.mark.usefixtures("_here")
def test_success_is_played_where_cue_and_place_agree(tied: Path, tmp_path: Path) -> None:
    pool: Pool = None  # type: ignore[assignment]  # not asked for: played here
    for trained_on in (tied, tied / "part-0"):
        found = own_success(ask(tmp_path, trained_on), pool)
        assert found is not None
        assert found[1] == 4  # two of each control
        assert found[0] >= 2
    rows = [row for file in (tmp_path / "rows").glob("*.parquet") for row in read_rows(file)]
    assert {row.look for row in rows} == {"table=part-0,place=part-0", "table=part-1,place=part-1"}


@pytest.mark.usefixtures("_here")
def test_without_a_cue_the_looks_of_the_data_are_shown(tmp_path: Path) -> None:
    free = collected(tmp_path / "free", 0.0)
    found = own_success(ask(tmp_path, free), None)  # type: ignore[arg-type]
    assert found is not None
    assert found[1] == 3
    (file,) = (tmp_path / "rows").glob("*.parquet")
    assert {row.look.split("=")[0] for row in read_rows(file)} == {"table"}


def test_nobody_knows(tmp_path: Path) -> None:
    assert own_success(ask(tmp_path), None) is None  # type: ignore[arg-type]
