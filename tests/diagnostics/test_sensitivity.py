"""Leaning: fake policies whose cue is known by construction get the label that is true of them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.leaning import LeaningConfig, LeaningResult, diagnose, leaning_table, measure_leaning


@dataclasses.dataclass(frozen=True)
class Look:
    background: float = 0.0
    light: float = 1.0


class World:
    """A 16x16 picture: background brightness, and a mask that marks where the object is."""

    def __init__(self) -> None:
        self.look, self.place = Look(), np.zeros(2)

    def reset(self, seed, options):
        self.place = np.random.default_rng([seed, options["episode"]]).uniform(-0.1, 0.1, 2)
        self.object_id = options["object"]

    def sim_state(self):
        return self.place

    def load_sim_state(self, object_id, state):
        assert object_id == self.object_id
        self.place = state.copy()

    def move_object(self, dx, dy):
        self.place = self.place + np.array([dx, dy])

    def set_look(self, look):
        self.look = look

    def observe(self):
        pixels = np.full((16, 16, 3), 0.2 * self.look.background * self.look.light)
        x, y = np.round((self.place + 0.2) / 0.4 * 15).astype(int)
        mask = np.zeros((16, 16), np.uint8)
        mask[y, x] = 1
        return {"pixels": {"front": pixels}, "masks": {"front": mask}}


def chunk(x, y):
    return np.tile([x, y, 1.0], (5, 1))


def from_mask(obs):
    y, x = np.argwhere(obs["masks"]["front"] == 1)[0]
    return chunk(x / 15, y / 15)


def from_background(obs):
    level = obs["pixels"]["front"].mean()
    return chunk(level, -level)


def constant(obs):
    return chunk(0.3, 0.4)


CONFIG = LeaningConfig(scenes=30, factors={"background": (1.0, 2.0), "light": (0.5, 1.5)}, seed=2)


def measure(predict, std=(0.1, 0.1, 0.0)):
    return measure_leaning(predict, World(), ("a", "b"), CONFIG, lambda fields: Look(**fields), np.array(std))


def test_a_policy_that_reads_the_mask_is_robust():
    result = measure(from_mask)
    assert result.verdict == "robust"
    assert {f.label for f in result.factors} == {"robust"}
    assert result.repeat == 0.0
    assert all(f.ratio.value == 0.0 for f in result.factors)
    # 5 cm of 40 cm in 1/8 of the picture, mean of |cos| and |sin| 2/pi each, std 0.1, gripper entry constant
    assert result.target.value == pytest.approx(2 * 0.125 * 2 / np.pi / 0.1 / 3, rel=0.15)


def test_a_policy_that_reads_the_background_leans_on_it():
    result = measure(from_background)
    background, light = result.factors
    assert background.label == "leans on"
    assert background.ratio.value == float("inf")
    assert light.label == "ignorant"  # the training background is black: light changes nothing there
    assert result.verdict == "leans on background"
    assert result.to_json()["factors"]["background"]["ratio"]["value"] == "inf"
    assert LeaningResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))).factors[0] == background


def test_a_mixed_policy_gets_the_analytic_ratio():
    result = measure(lambda obs: from_mask(obs) + from_background(obs))
    background = result.factors[0]
    expected = np.mean([0.2, 0.4]) * 2 / 3 / 0.1 / result.target.value
    assert background.ratio.value == pytest.approx(expected, rel=1e-6)
    assert background.ratio.low < expected < background.ratio.high
    assert background.label == "leans on"


def test_a_constant_policy_is_ignorant_not_robust():
    for std in ((0.1, 0.1, 0.0), None):
        scale = None if std is None else np.array(std)
        result = measure_leaning(constant, World(), ("a",), CONFIG, lambda f: Look(**f), scale)
        assert result.verdict == "ignorant"
        assert {f.label for f in result.factors} == {"ignorant"}
    assert "ignorant" in leaning_table(result)


def test_scenes_are_the_same_for_every_policy_and_run():
    assert measure(from_mask) == measure(from_mask)


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match="scenes=1"):
        LeaningConfig(scenes=1)
    with pytest.raises(ConfigError, match="'light'"):
        LeaningConfig(factors={"light": ()})


def test_policies_that_look_at_nothing_are_refused():
    with pytest.raises(ConfigError, match="random looks at no images"):
        diagnose("random", "toys:train?n=3")
