"""What a test shares with training is found: objects by id, starts by purpose, root seed and episode."""

from __future__ import annotations

from pathlib import Path

import pytest

from toyshift.core.files import write_json
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.overlap import overlap

IDS = ("a", "b", "c", "d")


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """A folder that was trained on episodes 0-4 and 6-20 of seed 3, with objects b and d."""
    known = {"object_sets": ["some"], "object_ids": ["b", "d", "x"], "starts": [
        ["collection", 3, 0, 4], ["collection", 3, 6, 20], ["collection", 8, 0, 99],
    ]}
    write_json(tmp_path / "p" / "config.json", {"trained_on": [known]})
    return str(tmp_path / "p")


def test_objects_and_starts_are_counted(policy: str) -> None:
    found = overlap(EvaluateConfig(policy, "some", trials=10, seed=3, purpose="collection"), IDS)
    assert found is not None
    assert (found.tested, found.objects, found.trials, found.starts) == (4, 2, 10, 9)  # all but episode 5
    assert "trained on 2 of the 4 objects of some" in str(found)
    assert "starts of 9 of the 10 episodes" in str(found)


@pytest.mark.parametrize(("seed", "purpose"), [(3, "test"), (3, "validation"), (4, "collection")])
def test_another_purpose_or_seed_shares_no_start(policy: str, seed: int, purpose: str) -> None:
    found = overlap(EvaluateConfig(policy, "some", trials=10, seed=seed, purpose=purpose), ("a", "c"))
    assert found is not None
    assert not found


def test_only_objects_that_are_met_count(policy: str) -> None:
    config = EvaluateConfig(policy, "some", trials=1, seed=0)
    found = overlap(config, ("b", "d"))
    assert found is not None
    assert (found.tested, found.objects) == (1, 1)


def test_namesakes_of_another_set_are_not_called_the_same(policy: str) -> None:
    found = overlap(EvaluateConfig(policy, "others", trials=10, seed=3), IDS)
    assert found is not None
    assert (found.objects, found.unclear, bool(found)) == (0, 2, True)
    assert str(found).endswith(
        "was perhaps trained on 2 of the 4 objects of others that are tested: "
        "what follows is not known to be zero-shot success"
    )


def test_nobody_knows_what_others_were_trained_on(tmp_path: Path) -> None:
    write_json(tmp_path / "old" / "config.json", {"policy": {}})
    for policy in ("random", "ws://localhost:1", str(tmp_path / "old")):
        assert overlap(EvaluateConfig(policy, "some"), IDS) is None
