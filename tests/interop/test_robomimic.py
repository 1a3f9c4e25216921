"""robomimic's own reader opens the HDF5 files that we write."""

import json
import subprocess
import sys

import numpy as np
import pytest

from toyshift.data.formats.convert import convert
from toyshift.data.store.dataset import open_dataset

pytest.importorskip("robomimic")

OBS = {"obs": {"low_dim": ["state"], "rgb": ["front_image", "wrist_image"], "depth": [], "scan": []}}


@pytest.fixture
def file(demos, tmp_path):
    convert(demos, tmp_path / "demos.hdf5", "robomimic")
    return tmp_path / "demos.hdf5"


def sequences(file, **options):
    import robomimic.utils.obs_utils as ObsUtils
    from robomimic.utils.dataset import SequenceDataset

    ObsUtils.initialize_obs_utils_with_obs_specs([OBS])
    keys = ["state", "front_image", "wrist_image"]
    return SequenceDataset(
        str(file), obs_keys=keys, dataset_keys=("actions", "rewards", "dones"), load_next_obs=False,
        hdf5_cache_mode=None, **options
    )


def test_their_dataset_returns_our_frames(demos, file):
    ours, theirs = open_dataset(demos), sequences(file)
    assert len(theirs) == ours.num_frames
    row = 0
    for episode in ours:
        for t in range(len(episode)):
            got = theirs[row]
            np.testing.assert_array_equal(got["obs"]["front_image"][0], episode.frames["observation.images.front"][t])
            np.testing.assert_array_equal(got["obs"]["state"][0], episode.frames["observation.state"][t])
            physical = ours.action_contract.from_unit(got["actions"][0])
            np.testing.assert_array_equal(physical, episode.frames["action"][t])
            row += 1


def test_filters_split_the_demonstrations(file, demos):
    train, valid = sequences(file, filter_by_attribute="train"), sequences(file, filter_by_attribute="valid")
    assert train.n_demos + valid.n_demos == 5
    assert len(train) + len(valid) == open_dataset(demos).num_frames


def test_their_info_script_accepts_it(file):
    done = subprocess.run(
        [sys.executable, "-m", "robomimic.scripts.get_dataset_info", "--dataset", str(file)], capture_output=True,
        text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "total trajectories: 5" in done.stdout


def test_env_args_are_what_robomimic_expects(file):
    import robomimic.utils.file_utils as FileUtils

    meta = FileUtils.get_env_metadata_from_dataset(str(file))
    assert meta["env_name"] == "toyshift/Grasp-v0"
    json.dumps(meta)


def test_shape_metadata_names_our_observations(file):
    import robomimic.utils.file_utils as FileUtils
    import robomimic.utils.obs_utils as ObsUtils

    ObsUtils.initialize_obs_utils_with_obs_specs([OBS])
    shapes = FileUtils.get_shape_metadata_from_dataset(str(file), all_obs_keys=["state", "front_image"])
    assert shapes["ac_dim"] == 7
    assert shapes["all_shapes"]["front_image"] == [3, 32, 48]
