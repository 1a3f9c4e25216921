"""Grasp annotations: poses in the object's frame, outcomes, going on after an interruption."""

import dataclasses

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json
from toyshift.core.workers import worker_pool
from toyshift.data.grasping.annotations import FIELDS, AnnotateConfig, annotate


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> AnnotateConfig:
    config = AnnotateConfig("toys:train?n=2", tmp_path_factory.mktemp("grasps"), drops=2, grasps=3, simulate=True)
    result = annotate(config)
    assert result["objects"] == 2
    assert 0 < result["grasps"] <= 2 * 2 * 2 * 3
    assert result["lifted"] > 0
    return config


def test_the_arrays_are_what_the_json_says(config: AnnotateConfig) -> None:
    kinds: set[bool] = set()
    for path in config.out.glob("*.json"):
        facts = read_json(path)
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            assert set(arrays.files) == set(FIELDS) == set(facts["fields"])
            assert {len(arrays[name]) for name in FIELDS} == {facts["grasps"]}
            for rotation in arrays["pose"][:, :3, :3]:
                np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
            assert ((arrays["width"] > 0) & (arrays["width"] < facts["opening_m"])).all()
            assert set(arrays["outcome"]) <= {0, 1}
            hands = arrays["object_pose"] @ arrays["pose"]
            assert (hands[:, 2, 3] > 0).all()  # above the table, where the object lay
            kinds |= set(arrays["six_dof"].tolist())
    assert kinds == {False, True}


def test_a_second_run_makes_what_is_missing_and_nothing_else(config: AnnotateConfig) -> None:
    first, second = sorted(config.out.glob("*.json"))
    bytes_before = second.with_suffix(".npz").read_bytes()
    kept = first.stat().st_mtime_ns
    second.unlink()  # as a kill before the JSON leaves it
    with worker_pool(1) as pool:
        result = annotate(config, pool)  # in another process the same
    assert result["objects"] == 2
    assert first.stat().st_mtime_ns == kept
    assert second.with_suffix(".npz").read_bytes() == bytes_before


def test_other_settings_are_refused(config: AnnotateConfig) -> None:
    with pytest.raises(ConfigError, match="other settings"):
        annotate(dataclasses.replace(config, drops=3))
    with pytest.raises(ConfigError, match="at least 1"):
        dataclasses.replace(config, grasps=0)
