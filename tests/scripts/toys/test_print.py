"""`toyshift toys print --fit`: which set is printed for which robot."""

from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json
from toyshift.scripts import cli
from toyshift.scripts.toys.print import fitted
from toyshift.toys import load_objects


def test_toys_are_printed_as_large_as_a_gripper_wants_them(tmp_path: Path) -> None:
    words = ["toys", "print", "toys:test?n=2", "--n", "1", "--fit", "so101", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["objects"] == "toys:test?n=2&scale=0.75"
    [row] = manifest["prints"]
    simulated = load_objects(manifest["objects"])[0]  # what the manifest names is what was printed
    assert row["id"] == simulated.id
    assert row["volume_cm3"] == pytest.approx(1e6 * simulated.mesh.volume, rel=1e-3)


def test_only_toys_are_fitted_and_only_once() -> None:
    assert fitted("toys:train", "panda") == "toys:train"
    assert fitted("toys:train+toys:test?n=3", "so101") == "toys:train?scale=0.75+toys:test?n=3&scale=0.75"
    for spec, why in (("ycb-like", "holds no toys"), ("toys:train?scale=0.5", "a scale of its own")):
        with pytest.raises(ConfigError, match=why):
            fitted(spec, "so101")
