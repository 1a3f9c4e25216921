"""`toyshift toys stats` and `toys list`: what is drawn beside what is accepted, and what is said of placeholders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trimesh

from toyshift.core.files import write_json
from toyshift.scripts.cli import main
from toyshift.scripts.toys.stats import made_of
from toyshift.toys import load_objects
from toyshift.toys.random_toys.toy_set import ToySet

PAGE = Path(__file__).parents[3] / "docs" / "objects.md"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, Any]]:
    """What a command prints, and its result."""
    assert main([*words]) == 0
    text = capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    return text, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_stats_count_the_accepted_toys_beside_what_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cube of 66 mm is narrow enough, two that are turned against each other are not, though half are drawn so."""
    shares = {"counts": [0.5, 0.5], "kinds": [0.0, 1.0, 0.0, 0.0]}
    write_json(tmp_path / "d.json", shares | {"cuboid_edge": [0.066, 0.066]})
    spec = f"toys:train?of={tmp_path / 'd.json'}&n=12"
    text, result = said(capsys, "toys", "stats", spec)
    objects = load_objects(spec)
    assert isinstance(objects, ToySet)
    parts = [len(objects.toy(name).primitives) for name in objects.ids]
    assert result["toys"]["primitives"] == {str(k): parts.count(k) for k in sorted(set(parts))}
    assert result["toys"]["drawn"]["primitives"] == {"1": 0.5, "2": 0.5}
    assert result["toys"]["drawn"]["kinds"]["ring"] == 0.0
    assert parts.count(1) >= 10
    assert re.search(rf"primitives, beside the share that is drawn:\n  1 +{parts.count(1)} +[\d.]+% +50.0%", text)


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests run against an installed wheel")
def test_docs_state_the_accepted_distribution() -> None:
    objects = load_objects("toys:train")
    assert isinstance(objects, ToySet)
    counts = made_of(objects.toy(name) for name in objects.ids)["primitives"]
    text = " ".join(PAGE.read_text("utf-8").split())
    found = re.search(r"of the (\d+) of `toys:train` ([\d, and]+) % have 1 to 5 parts", text)
    assert found is not None
    assert int(found[1]) == len(objects)
    stated = [int(share) for share in re.findall(r"\d+", found[2])]
    assert stated == [round(100 * counts[str(k)] / len(objects)) for k in range(1, 6)]


def test_placeholders_are_named_wherever_a_set_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("feather", "stone"):
        trimesh.creation.box((0.03, 0.04, 0.05)).export(tmp_path / f"{name}.stl")
    (tmp_path / "masses.csv").write_text("id,mass_g\nfeather,1\nstone,90\n", encoding="utf-8")
    options = ["--unit", "m", "--masses", str(tmp_path / "masses.csv")]
    text, result = said(capsys, "toys", "import", str(tmp_path), *options)
    assert result["light"] == ["feather"]
    assert {row["id"]: row["light"] for row in result["rows"]} == {"feather": True, "stone": False}
    assert "weighs 17 kg/m^3, less than 50" in text
    assert "too light for ?graspable: feather" in text
    spec = f"meshes:{tmp_path}?unit=m&masses={tmp_path / 'masses.csv'}"
    text, result = said(capsys, "toys", "list", spec)
    assert "graspable, too light (17 kg/m^3)" in text
    assert result["left_out"] == {}
    text, result = said(capsys, "toys", "list", f"{spec}&graspable")
    assert list(result["left_out"]) == ["feather"]
    assert re.search(r"feather +left out: it weighs 17 kg/m\^3", text)
    text, result = said(capsys, "toys", "stats", spec)
    assert result["light"] == {"feather": pytest.approx(1 / 60e-3)}
    assert "less than 50 kg/m^3, placeholders? feather (17)" in text
    text, result = said(capsys, "toys", "stats", f"{spec}&graspable")
    assert result["light"] == {}
    assert "left out: feather: it weighs 17 kg/m^3" in text
