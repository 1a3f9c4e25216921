"""Novelty: what a tuning added is found in drawn scenes and in demonstrations; what it did not add is not."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from toyshift.core.files import write_json
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring.demonstrations import Demonstrations
from toyshift.diagnostics.measuring.novelty import novelty
from toyshift.diagnostics.measuring.planted_learning import tuned
from toyshift.diagnostics.measuring.two_policies import Student, base_of, novelty_of, of_episodes, thirds
from toyshift.policies.network.policy import Policy


def test_one_colour_that_was_added_is_named() -> None:
    found = tuned(0.3, 0.05)
    assert found.value.value == found.value.low == found.value.high == 1.0
    assert found.card.startswith("tuning added: colour 2 (AUC 1.00")
    assert found.table[0]["of picked"] > 0.9
    assert 0.5 < found.null < 0.65  # the best value of several is above one half by chance
    assert found == tuned(0.3, 0.05)


def test_the_second_novelty_is_found_when_the_first_is_learnt() -> None:
    rng = np.random.default_rng(0)
    red, left = rng.random(200) < 0.1, rng.random(200) < 0.2
    change = np.where(red, 1.0, np.where(left, 0.5, 0.1)) + 0.01 * rng.random(200)
    values = {"colour": ["red" if x else "other" for x in red], "side": ["left" if x else "right" for x in left]}
    objects = [str(i // 4) for i in range(200)]

    def learn(picked: np.ndarray) -> np.ndarray:
        return np.where(red | np.isin(np.arange(200), picked), 0.0, change)  # what is learnt of red holds for all of it

    found = novelty(change, learn, values, objects, deals=199)
    named = {line["factor"]: line["p (Holm)"] <= 0.05 for line in found.table}
    assert named["side"]
    assert "side left" in found.verdict


def test_values_of_an_object_are_dealt_out_to_objects() -> None:
    """One object of twelve is novel in all of its twenty scenes: that its size is novel cannot be told."""
    owner = np.repeat(np.arange(12), 20)
    change = (owner == 3) + 0.01 * np.random.default_rng(0).random(240)
    size = ["large" if o % 2 else "small" for o in owner]
    found = novelty(change, lambda picked: change, {"size": size}, [str(o) for o in owner], deals=199)
    assert found.table[0]["p (Holm)"] > 0.05
    apart = novelty(change, lambda picked: change, {"size": size}, [str(i) for i in range(240)], deals=199)
    assert apart.table[0]["p (Holm)"] <= 0.05  # as if scenes were independent


def by_place(seed: int, added: float, *, told: bool = True) -> bool:
    """Says whether a third of the target's places is named, which a tuning changed by so much; 40 episodes of 5 scenes,
    whose actions differ anyway from episode to episode (standard deviation 1) more than within one.
    """
    rng = np.random.default_rng(seed)
    episode = np.repeat(np.arange(40), 5)
    place, own = rng.random(40)[episode], rng.normal(size=40)[episode]
    change = own + added * (place > 2 / 3) + 0.3 * rng.normal(size=200)

    def learn(picked: np.ndarray) -> np.ndarray:
        return np.where(np.isin(np.arange(200), picked), -np.inf, change)

    values, objects, of = {"place": thirds(place.tolist())}, [str(i % 10) for i in episode], episode.tolist()
    found = novelty(change, learn, values, objects, episodes=of if told else None, deals=39)
    return found.verdict.startswith("tuning added: place")


def test_a_place_that_all_scenes_of_an_episode_share_is_dealt_out_to_episodes() -> None:
    """Dealt out to scenes, as it was once, it is named in 30 % and more of tunings that added nothing."""
    assert sum(by_place(seed, 0.0) for seed in range(40)) <= 4
    assert sum(by_place(seed, 0.0, told=False) for seed in range(40)) >= 12
    assert all(by_place(seed, 5.0) for seed in range(5))


def test_what_is_undefined_says_why() -> None:
    objects = [str(i) for i in range(30)]

    def said(change: np.ndarray, factor: list[str], of: list[str] = objects) -> str:
        return novelty(change, lambda picked: change, {"f": factor}, of).verdict

    assert said(np.full(30, 0.2), ["a", "b"] * 15).startswith("undefined: both act as far from each other")
    assert said(np.arange(30.0), ["a"] * 30) == "undefined: no factor varies"
    assert said(np.arange(30.0), ["a", "b"] * 15, ["x"] * 30).startswith("undefined: there are 30 scenes of 1 objects")
    assert "tell what the tuning added" in said(np.arange(30.0), ["a", "b"] * 15, ["x", "y", "z"] * 10)


def test_thirds_hold_a_third_each() -> None:
    told = thirds(list(range(9)), " m")
    assert [told.count(one) for one in dict.fromkeys(told)] == [3, 3, 3]
    assert told[0] == "0 to 2.67 m"


def test_a_student_learns_what_it_is_shown_and_leaves_the_base_alone(policy: Policy) -> None:
    features, state = torch.randn(12, policy.head_reads), torch.randn(12, 1)
    with torch.no_grad():
        own = policy.decide(features.unsqueeze(1), state).flatten(1)
    before = copy.deepcopy(policy.state_dict())
    right = own.clone()
    right[:, 0] += 0.02
    student = Student(policy, features, state, right, torch.ones(2))
    first = student.change()
    assert np.allclose(first, 0.005, atol=1e-5)
    assert student.learn(np.arange(12)).mean() < first.mean()
    assert all(torch.equal(v, before[k]) for k, v in policy.state_dict().items())


def test_demonstrations_that_only_the_tuned_policy_fits_are_found(
    shown: Demonstrations, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six episodes are too few for a verdict; which of them changed is told all the same."""
    import toyshift.diagnostics.measuring.novelty as module

    monkeypatch.setattr(module, "LEAST", 2)

    class Tuned:
        def losses(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return policy.losses(batch) - (0.5 if self.of_b else 0.0)

        of_b = False

    fits = Tuned()
    frames = shown.frames

    def frames_of(demonstrations: Demonstrations, episode: int, most: int) -> np.ndarray:
        fits.of_b = bool(demonstrations.dataset[episode])
        return frames(episode, most)

    monkeypatch.setattr(Demonstrations, "frames", frames_of)
    found = of_episodes(shown, policy, fits, 0, "p")  # type: ignore[arg-type]
    line = next(line for line in found.table if line["factor"] == "dataset")
    assert (line["value"], line["AUC"]) == ("b", 1.0)
    assert found.verdict.startswith("too few objects")


def test_which_policy_it_was_tuned_from(tmp_path: Path) -> None:
    def asked(base: str = "") -> Asked:
        return Asked(policy=str(tmp_path), base=base, objects="toys:test", scenes=2, looks=1, trials=0, camera="",
                     seed=0, out=tmp_path)  # fmt: skip

    write_json(tmp_path / "config.json", {"train": {"init_from": str(tmp_path / "gone")}})
    assert base_of(asked()) == str(tmp_path / "gone")
    assert base_of(asked("other")) == "other"
    assert novelty_of(asked()).found[0].verdict.endswith("is no folder here: give --base")
    write_json(tmp_path / "config.json", {"train": {"init_from": ""}})
    assert "only the network" not in novelty_of(asked()).found[0].verdict
    assert novelty_of(asked("ws://localhost:1")).found[0].verdict.startswith("undefined: ")
