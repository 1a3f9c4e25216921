"""What a monitor saw: a course that moves or has settled, and a network that finds clusters after its labels."""

from __future__ import annotations

import json
import math
from pathlib import Path

from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring.finding import findings_table
from toyshift.diagnostics.measuring.monitored import monitored, monitored_of
from toyshift.diagnostics.measuring.planted_learning import xor_clusters


def course(*apart: float) -> list[dict[str, float]]:
    return [{"step": 10 * i, "pathway_distance": one, "weight_distance": i} for i, one in enumerate(apart, 1)]


def test_a_course_that_has_settled_or_still_moves() -> None:
    settled = monitored(course(0.2, 0.5, 0.3, 0.25, 0.25, 0.25))
    assert settled.value.value == 0.5
    assert settled.verdict == "its pathways have settled (pathway distance 0.50 at step 20, 0.25 at step 60)"
    assert settled.card == ""
    moving = monitored(course(0.5, 0.5, 0.5, 0.5, 0.4, 0.3))
    assert moving.card.startswith("still reorganising at the end of its training: 20 % in the last third")
    for found in (settled, moving):
        assert "generalizes" not in found.verdict
        assert math.isnan(found.value.low)
        assert [*found.table[0]] == ["step", "pathway_distance", "weight_distance"]


def test_what_was_not_watched_is_undefined() -> None:
    assert "train with --monitor" in monitored([{"step": 1, "loss": 1.0}]).verdict
    assert "0 rows" in monitored([]).verdict
    assert monitored(course(0, 0, 0, 0)).verdict.startswith("undefined: all samples of a group have the same pathway")


def test_a_folder_is_read(tmp_path: Path) -> None:
    asked = Asked(policy=str(tmp_path), objects="", scenes=2, looks=1, trials=0, camera="", seed=0, out=tmp_path)
    assert "brings no metrics.jsonl" in monitored_of(asked).found[0].verdict
    rows = [{"step": 5, "loss": 1.0}, *course(0.5, 0.4, 0.3, 0.3)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert "settled" in findings_table(monitored_of(asked))


def test_a_network_finds_clusters_long_after_its_labels() -> None:
    first, last = xor_clusters(5)[1], xor_clusters(5)[30]
    assert first.train > 0.99
    assert first.test < 0.7
    assert last.train >= 0.95  # flipped labels among them
    assert last.test >= 0.85
    assert last.within < 0.65 * first.within
    assert last.between > first.between  # between groups it rises
