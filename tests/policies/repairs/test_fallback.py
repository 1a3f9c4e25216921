"""Unknown names: found by their distance from all that was said, and answered by the mean of two ways of telling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError
from toyshift.policies import PolicyConfig, load_policy, train
from toyshift.policies.act.bundle import _embedded
from toyshift.policies.instructions import SENTENCE_SIZE, Instructions
from toyshift.policies.training.training_data import TrainingData
from toyshift.policies.unknown_names import in_general

Make = Callable[..., Any]
KNOWN = tuple(f"pick up the {colour} toy" for colour in ("blue", "green", "red", "yellow"))
GENERAL = "pick up the object toy"


def test_what_sentences_have_in_common_is_told_of_an_object() -> None:
    assert in_general(("pick up the red toy", "pick up the mug")) == "pick up the object"
    assert in_general(KNOWN) == GENERAL
    assert in_general(("lift it", "the stock market")) == "object"


@given(st.lists(st.sampled_from("abc"), max_size=4), st.lists(st.sampled_from("abc"), max_size=4), st.integers(2, 5))
def test_the_common_words_stay(start: list[str], end: list[str], count: int) -> None:
    told = in_general([" ".join([*start, f"n{i}", *end]) for i in range(count)])
    assert told == " ".join([*start, "object", *end])


class Directions:
    """Stands for the sentence encoder: known sentences lie together, others each somewhere else."""

    def encode(self, sentence: str, show_progress_bar: bool) -> np.ndarray:
        rng = np.random.default_rng(list(sentence.encode()))
        vector = 0.1 * rng.standard_normal(SENTENCE_SIZE)
        if sentence.startswith("pick up the") and "object" not in sentence:
            vector[0] += 3.0
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instructions, "_minilm", lambda self, wanted: Directions())


def test_the_mean_of_both_answers_acts_for_unknown_names_alone(
    make_config: Make, fake_windows: Any, tmp_path: Path
) -> None:
    windows = fake_windows(64, 4)
    windows.task = [KNOWN[i % 4] for i in range(64)]
    told = {"pooling": "mean", "instruction": "minilm"}
    config = make_config(tmp_path / "run", told, steps=2, repair="fallback?share=0.25")
    train(config, TrainingData(windows, None, 8, 0, Instructions("minilm", KNOWN, fallback=0.25)))
    plain = make_config(tmp_path / "plain", told, steps=2)
    train(plain, TrainingData(windows, None, 8, 0, Instructions("minilm")))
    ours, bare = (load_policy(tmp_path / name) for name in ("run", "plain"))
    assert ours.config.vocabulary == KNOWN
    seen = {"pixels": {c: windows.data[f"observation.images.{c}"][0, 0] for c in ("front", "wrist")},
            "masks": {}, "agent_pos": windows.data["observation.state"][0, 0]}  # fmt: skip

    def answers(task: str) -> tuple[np.ndarray, np.ndarray]:
        return ours.act(seen | {"task": task}), bare.act(seen | {"task": task})

    assert np.array_equal(*answers(KNOWN[2]))  # training and known names are as without it
    both, alone = answers("fetch a spanner")
    general = bare.act(seen | {"task": GENERAL})
    assert not np.allclose(both, alone)
    assert np.allclose(both, (alone + general) / 2, atol=1e-6)
    embedded = _embedded(ours.config, ("lift it",))  # what a bundle of it takes along
    assert set(embedded["sentences"]) == {"lift it", *KNOWN, GENERAL}
    apart = ours.act_apart([seen | {"task": task} for task in ("fetch a spanner", KNOWN[2])])
    assert np.allclose(apart[0], both, atol=1e-6)
    assert np.allclose(apart[1], answers(KNOWN[2])[0], atol=1e-6)


def test_what_cannot_tell_names_apart_is_refused(make_config: Make, fake_windows: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="instruction is table; give --instruction minilm"):
        make_config(tmp_path, {"instruction": "table"}, repair="fallback")
    with pytest.raises(ConfigError, match=r"fallback is 0\.1, instruction none"):
        PolicyConfig(fallback=0.1)
    with pytest.raises(ConfigError, match=r"share must be from 0\.001 to 0\.5, got 0\.9"):
        make_config(tmp_path, {"instruction": "minilm"}, repair="fallback?share=0.9")
    config = make_config(tmp_path, {"instruction": "minilm"}, repair="fallback")
    few = TrainingData(fake_windows(8, 4), None, 8, 0, Instructions("minilm", KNOWN[:2], fallback=0.05))
    with pytest.raises(ConfigError, match="needs 3 different instructions in training, there are 2"):
        train(config, few)
