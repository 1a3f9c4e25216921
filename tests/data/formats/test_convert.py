"""Conversions without TensorFlow: robomimic there and back, foreign files, bad input; Open X-Embodiment's registry."""

import json
import zlib
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError, UnknownNameError
from toyshift.core.files import write_json
from toyshift.data.episode import Episode, episode_path, write_episode
from toyshift.data.formats import robomimic
from toyshift.data.formats.convert import convert
from toyshift.data.formats.exchange import ReadOptions, recognise, unit_actions
from toyshift.data.formats.oxe import OXE_DATASETS, OXE_MIXTURES, oxe_mixture, standardise
from toyshift.data.formats.oxe_parts import clipped, column, from_relative, inverted, settled
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize


@pytest.fixture
def demos(maker, tmp_path):
    """Five episodes whose actions keep to the contract (-1..1 rad, gripper 0..1)."""
    for i in range(5):
        episode = maker.episode(i, 6)
        action = np.stack(
            [np.tanh(episode.frames["action"][:, 0]), np.abs(np.tanh(episode.frames["action"][:, 1]))], axis=1
        )
        write_episode(
            tmp_path / "demos", Episode(i, episode.frames | {"action": action.astype(np.float32)}, episode.meta)
        )
    finalize(tmp_path / "demos", maker.actions, maker.observations, {}, data_file_mb=0.001)
    return tmp_path / "demos"


def test_robomimic_there_and_back_changes_nothing(demos, tmp_path):
    result = convert(demos, tmp_path / "d.hdf5", "robomimic")
    assert (result["from"], result["episodes"], result["frames"]) == ("lerobot", 5, 30)
    back = convert(tmp_path / "d.hdf5", tmp_path / "back", "lerobot")
    assert back["content_hash"] == open_dataset(demos).content_hash()
    assert open_dataset(tmp_path / "back").action_contract == open_dataset(demos).action_contract


def test_the_file_has_robomimics_layout(demos, tmp_path):
    convert(demos, tmp_path / "d.hdf5", "robomimic")
    episode = open_dataset(demos).episode(1)
    with h5py.File(tmp_path / "d.hdf5") as file:
        data, demo = file["data"], file["data/demo_1"]
        assert data.attrs["total"] == 30
        assert set(json.loads(data.attrs["env_args"])) == {"env_name", "env_type", "env_kwargs"}
        assert demo.attrs["num_samples"] == 6
        np.testing.assert_array_equal(demo["obs/front_image"][()], episode.frames["observation.images.front"])
        np.testing.assert_array_equal(demo["obs/wrist_mask"][..., 0], episode.frames["masks.wrist"])
        np.testing.assert_array_equal(demo["states"][()], episode.frames["sim.state"])
        # joint -1..1 stays; gripper 0 (closed) is -1, 1 (open) is +1
        np.testing.assert_allclose(demo["actions"][()], episode.frames["action"] * [1, 2] - [0, 1], atol=1e-7)
        assert demo["rewards"][()].tolist() == [0, 0, 0, 0, 0, 1]
        assert demo["dones"][()].tolist() == [0, 0, 0, 0, 0, 1]
        names = [n.decode() for key in ("train", "valid") for n in file[f"mask/{key}"][()]]
        assert sorted(names) == [f"demo_{i}" for i in range(5)]


def test_actions_beyond_the_contract_cannot_become_unit_actions(maker, tmp_path):
    folder = maker.dataset(tmp_path / "wild", range(2))  # normal deviates, partly beyond 1
    with pytest.raises(ContractError, match=r"outside the contract's -?\d"):
        convert(folder, tmp_path / "d.hdf5", "robomimic")
    assert not (tmp_path / "d.hdf5").exists()


def test_unit_actions_come_back_exactly(maker):
    contract = ActionContract("eef_delta", ("dx", "gripper"), ("m", "1"), (-0.05, 0.0), (0.05, 1.0), 10.0, ())
    physical = np.random.default_rng(0).uniform([-0.05, 0], [0.05, 1], (5000, 2)).astype(np.float32)
    unit = unit_actions(contract, physical, "x")
    np.testing.assert_array_equal(contract.from_unit(unit), physical)
    np.testing.assert_allclose(unit_actions(contract, np.array([[-0.05, 0.0], [0.05, 1.0]]), "x"), [[-1, -1], [1, 1]])


def foreign(path, actions):
    """A file as robosuite's collection writes it."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = len(actions)
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_type": 1, "env_kwargs": {}})
        demo = data.create_group("demo_0")
        demo.attrs["num_samples"] = len(actions)
        demo["actions"] = actions
        demo["rewards"] = np.eye(len(actions))[-1]
        demo["obs/agentview_image"] = np.full((len(actions), 8, 8, 3), 7, np.uint8)
        demo["obs/robot0_eef_pos"] = np.arange(3.0 * len(actions)).reshape(-1, 3)
        demo["obs/object"] = np.zeros((len(actions), 2))
    return path


def test_a_foreign_file_needs_a_contract_and_then_opens(maker, tmp_path):
    path = foreign(tmp_path / "lift.hdf5", np.array([[0.0, -1.0], [1.0, 1.0], [-1.0, 0.0]]))
    with pytest.raises(ContractError, match="guessing is refused"):
        convert(path, tmp_path / "out", "lerobot")
    write_json(tmp_path / "contract.json", maker.actions.to_json())
    convert(path, tmp_path / "out", "lerobot", ReadOptions(contract=tmp_path / "contract.json"))
    dataset = open_dataset(tmp_path / "out")
    episode = dataset.episode(0)
    np.testing.assert_allclose(episode.frames["action"], [[0, 0], [1, 1], [-1, 0.5]])  # gripper -1..1 became 0..1
    assert dataset.observation_contract.state_names == (
        "object.0", "object.1", "robot0_eef_pos.0", "robot0_eef_pos.1", "robot0_eef_pos.2"
    )
    assert dataset.observation_contract.camera_names == ("agentview",)
    assert episode.meta["success"] is True


def test_actions_of_another_size_or_scale_are_refused(maker, tmp_path):
    write_json(tmp_path / "contract.json", maker.actions.to_json())
    options = ReadOptions(contract=tmp_path / "contract.json")
    with pytest.raises(FileError, match=r"demo_0 \(episode 0\): actions have shape \(2, 3\)"):
        convert(foreign(tmp_path / "a.hdf5", np.zeros((2, 3))), tmp_path / "a", "lerobot", options)
    with pytest.raises(FileError, match=r"demo_0 \(episode 0\): actions reach 3"):
        convert(foreign(tmp_path / "b.hdf5", np.full((2, 2), 3.0)), tmp_path / "b", "lerobot", options)
    with pytest.raises(FileError, match="demo_0"):
        convert(foreign(tmp_path / "c.hdf5", np.full((2, 2), np.nan)), tmp_path / "c", "lerobot", options)


def test_a_truncated_file_is_named(demos, tmp_path):
    path = tmp_path / "d.hdf5"
    convert(demos, path, "robomimic")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileError, match=r"d\.hdf5 is truncated or damaged"):
        convert(path, tmp_path / "back", "lerobot")


def test_a_flipped_bit_names_the_demonstration_and_the_others_stay_usable(demos, tmp_path):
    path = tmp_path / "d.hdf5"
    convert(demos, path, "robomimic")
    with h5py.File(path) as file:
        chunk = file["data/demo_3/obs/front_image"].id.get_chunk_info(2)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(FileError, match="demo_3"):
        convert(path, tmp_path / "back", "lerobot")
    result = convert(path, tmp_path / "rest", "lerobot", skip_damaged=True)
    assert result["episodes"] == 4
    assert list(result["dropped"]) == ["3"]


def test_no_robomimic_file_and_no_dataset(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(FileError, match="no group data"):
        convert(tmp_path / "x.hdf5", tmp_path / "out", "lerobot")
    with h5py.File(tmp_path / "empty.hdf5", "w") as file:
        file.create_group("data").attrs["total"] = 0
    with pytest.raises(FileError, match="no demonstrations"):
        convert(tmp_path / "empty.hdf5", tmp_path / "out", "lerobot")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match="no dataset that is known"):
        recognise(tmp_path / "folder")
    with pytest.raises(FileError, match="does not exist"):
        recognise(tmp_path / "nowhere")


def test_formats_and_destinations_are_checked(demos, tmp_path):
    with pytest.raises(UnknownNameError, match="robomimic"):
        convert(demos, tmp_path / "x", "robomimik")
    with pytest.raises(ConfigError, match="both source and destination"):
        convert(demos, demos, "lerobot")
    (tmp_path / "d.hdf5").write_text("mine")
    with pytest.raises(ConfigError, match="exists"):
        convert(demos, tmp_path / "d.hdf5", "robomimic")


def test_a_conversion_goes_on_where_it_was(demos, tmp_path, monkeypatch):
    convert(demos, tmp_path / "d.hdf5", "robomimic")
    import toyshift.data.formats.lerobot_folder as module

    written = []

    def stop_after_two(folder, episode):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(episode.index)
        return write_episode(folder, episode)

    monkeypatch.setattr(module, "write_episode", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "d.hdf5", tmp_path / "back", "lerobot")
    assert episode_path(tmp_path / "back", 1).exists()
    written.clear()
    monkeypatch.setattr(
        module, "write_episode", lambda folder,
        episode: (written.append(episode.index), write_episode(folder, episode)),
    )
    result = convert(tmp_path / "d.hdf5", tmp_path / "back", "lerobot")
    assert written == [2, 3, 4]
    assert result["content_hash"] == open_dataset(demos).content_hash()
    assert convert(tmp_path / "d.hdf5", tmp_path / "back", "lerobot") == result  # finished: nothing to do


def test_a_missing_extra_is_named(demos, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingDependencyError, match=r"toyshift\[oxe\]"):
        convert(demos, tmp_path / "rlds", "rlds")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"toyshift\[robomimic\]"):
        convert(demos, tmp_path / "d.hdf5", "robomimic")


# ---------------------------------------------------------------- Open X-Embodiment, without TensorFlow


def test_relative_grippers_become_absolute():
    def absolute(values):
        return from_relative(column("g"))({"g": np.array(values, np.float32)})[:, 0].tolist()

    assert absolute([0, 0, 1, 0, -1, 0]) == [1, 1, 0, 0, 1, 1]  # closes at 2, so it was open before
    assert absolute([0, -1, 0]) == [0, 1, 1]  # opens first, so it was closed before
    assert absolute([0, 0.05, 0]) == [1, 1, 1]  # too small to mean anything: open


def test_continuous_grippers_settle_on_what_comes_after():
    steps = {"g": np.array([1.0, 0.7, 0.4, 0.0, 0.3, 0.99, 0.6], np.float32)}
    np.testing.assert_allclose(settled(column("g"))(steps)[:, 0], [1, 0, 0, 0, 1, 1, 0.6])
    np.testing.assert_allclose(inverted(clipped(column("g")))({"g": np.array([-1.0, 1.0, 0.25])})[:, 0], [1, 0, 0.75])


def test_kukas_packed_states_are_unpacked():
    rng = np.random.default_rng(0)
    pose, closed = rng.normal(size=(4, 7)).astype("<f4"), rng.random((4, 1)).astype("<f4")
    steps = {
        "observation/clip_function_input/base_pose_tool_reached": np.array(
            [zlib.compress(p.tobytes()) for p in pose], object
        ),
        "observation/gripper_closed": np.array([zlib.compress(c.tobytes()) for c in closed], object),
        "action/world_vector": np.ones((4, 3)), "action/rotation_delta": np.zeros((4, 3)),
        "action/gripper_closedness_action": np.zeros((4, 1)),
    }  # fmt: skip
    out, keep = standardise("kuka", steps)
    np.testing.assert_array_equal(out["observation.state"], np.hstack([pose, closed]))
    assert out["action"].shape == (4, 7)
    assert keep == slice(0, 4)


def test_wrong_columns_name_themselves():
    with pytest.raises(ContractError, match=r"no column 'action/world_vector'; available: action"):
        standardise("viola", {"action": np.zeros((3, 7))})
    with pytest.raises(ContractError, match="8 entries, its encoding has 7"):
        standardise(
            "language_table", {"action": np.zeros((3, 3)), "observation/effector_translation": np.zeros((3, 2))}
        )
    with pytest.raises(UnknownNameError, match="Did you mean 'viola'"):
        standardise("violla", {"action": np.zeros((3, 7))})


def test_the_magic_soup_has_the_published_weights():
    soup = oxe_mixture("oxe_magic_soup")
    assert len(soup) == 23
    assert soup["fractal20220817_data"] == pytest.approx(0.5409, abs=5e-5)
    assert soup["kuka"] == pytest.approx(0.8341, abs=5e-5)
    assert {n for n, w in soup.items() if w == 0.1} == {
        "language_table", "furniture_bench_dataset_converted_externally_to_rlds"
    }
    assert soup["nyu_franka_play_dataset_converted_externally_to_rlds"] == 3.0
    for mixture in OXE_MIXTURES.values():
        assert set(mixture) <= set(OXE_DATASETS)


def test_a_full_disk_is_named_before_hdf5_meets_it(demos, tmp_path, monkeypatch):
    monkeypatch.setattr(robomimic.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(FileError, match=r"d\.hdf5.*No space left.*make room"):
        convert(demos, tmp_path / "d.hdf5", "robomimic")
    assert not list(tmp_path.glob("*.hdf5"))


def stopped(monkeypatch, run, after):
    """Runs a conversion that is stopped before it writes an episode more than `after`."""
    import toyshift.data.formats.lerobot_folder as module

    calls = []

    def stop(folder, episode):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return write_episode(folder, episode)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_episode", stop)
        with pytest.raises(KeyboardInterrupt):
            run()


def test_what_a_stopped_run_left_out_is_not_left_out_silently(demos, tmp_path, monkeypatch):
    files = sorted((demos / "data").rglob("*.parquet"))  # one an episode
    whole = files[1].read_bytes()
    files[1].unlink()
    out = tmp_path / "out"
    stopped(monkeypatch, lambda: convert(demos, out, "lerobot", skip_damaged=True), after=2)
    with pytest.raises(FileError, match=r"out is begun without damaged episodes .*file-001.*pass --skip-damaged"):
        convert(demos, out, "lerobot")
    result = convert(demos, out, "lerobot", skip_damaged=True)
    assert (result["episodes"], list(result["dropped"])) == (4, ["1"])
    with pytest.raises(FileError, match="out is finished without damaged episodes"):
        convert(demos, out, "lerobot")
    files[1].write_bytes(whole)
    assert convert(demos, tmp_path / "all", "lerobot")["episodes"] == 5


def test_a_run_stopped_before_its_first_episode_begins_again(demos, tmp_path, monkeypatch):
    files = sorted((demos / "data").rglob("*.parquet"))
    whole = [file.read_bytes() for file in files]
    files[0].unlink()
    out = tmp_path / "out"
    stopped(monkeypatch, lambda: convert(demos, out, "lerobot", skip_damaged=True), after=0)
    for file in files[1:]:
        file.unlink()
    with pytest.raises(FileError, match=r"none of its 5 episodes can be used; the first: .*file-000"):
        convert(demos, out, "lerobot", skip_damaged=True)
    for file, data in zip(files, whole, strict=True):
        file.write_bytes(data)
    result = convert(demos, out, "lerobot")
    assert (result["episodes"], result["dropped"]) == (5, {})
