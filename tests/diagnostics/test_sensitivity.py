"""Sensitivity: planted policies, whose cue is known by construction, get the shift, ratio and label that are true."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, GraspError
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.looks import states_along
from toyshift.diagnostics.sensitivity import (
    NOT_SHOWN,
    ROBUST,
    SENSITIVE,
    SensitivityConfig,
    SensitivityResult,
    check_label,
    diagnose,
    measure_sensitivity,
    sensitivity_table,
    verdict,
)
from toyshift.diagnostics.statistics import Estimate

TOUCHED, LAST = 8, 12  # steps after which the expert has touched its target, and has lifted it


@dataclasses.dataclass(frozen=True)
class Look:
    table: float = 0.0
    light: float = 1.0


class World:
    """A target on a coloured table, and an expert's progress; an observation tells all of it, exactly."""

    def __init__(self) -> None:
        self.look, self.state = Look(), np.zeros(3)

    def reset(self, seed, options):
        assert options["purpose"] == "test"
        self.look = Look()
        self.state = np.append(np.random.default_rng([seed, options["episode"]]).uniform(-0.1, 0.1, 2), 0.0)
        self.object_id = options["object"]

    def advance(self, action):
        self.state = self.state + np.array([0.0, 0.0, 1.0])
        return 0.0, False, {"is_success": self.state[2] >= LAST, "touched": self.state[2] >= TOUCHED}

    def sim_state(self):
        return self.state

    def load_sim_state(self, object_id, state):
        assert object_id == self.object_id
        self.state = state.copy()

    def move_object(self, dx, dy):
        assert self.state[2] < TOUCHED, "the target is moved out of the hand"
        self.state = self.state + np.array([dx, dy, 0.0])

    def set_look(self, look):
        self.look = look

    def observe(self):
        return {"place": self.state[:2], "step": self.state[2], "table": self.look.table, "light": self.look.light}


class Expert:
    """Gives up at a step, where one is named."""

    def __init__(self, gives_up: float = np.inf) -> None:
        self.gives_up = gives_up

    def reset(self, world, seed, episode):
        pass

    def actions(self, world):
        if world.state[2] >= self.gives_up:
            raise GraspError("no grasp")
        return np.zeros((1, 1), dtype=np.float32)


def chunk(x, y):
    return np.tile([x, y, 1.0], (5, 1))


def from_target(obs):
    return chunk(*obs["place"])


def from_table(strength):
    return lambda obs: chunk(strength * obs["table"], -strength * obs["table"])


def both(strength, follows=1.0):
    return lambda obs: follows * from_target(obs) + from_table(strength)(obs)


CONFIG = SensitivityConfig(scenes=30, factors={"table": (1.0, 2.0), "light": (0.5, 1.5)}, seed=2)
STD = np.array([0.1, 0.1, 0.0])  # the gripper never varied: its unit is its own
PER_CM = 0.01 * (4 / np.pi) / 0.1 / 3  # of `from_target`: |cos| + |sin| of the move on average, over 3 entries


def measure(predict, config=CONFIG, std=STD, expert=None):
    def many(seen):
        return [predict(obs) for obs in seen]

    return measure_sensitivity(many, expert or Expert(), World(), ("a", "b"), config, lambda f: Look(**f), std)


def success(row, training, **changed):
    """Success of a policy: of 20 episodes on training toys and under each factor, of 20 unchanged all."""

    def rows(count, look=""):
        return [row(i, i < count, object_id=f"toy{i}", look=look) for i in range(20)]

    return ChangedSuccess.of_rows({"": rows(20), **{f: rows(k, f"{f}=1") for f, k in changed.items()}}, rows(training))


def test_a_policy_that_reads_only_its_target_is_robust(row):
    result = measure(from_target).judged(success(row, 20))
    assert [f.label for f in result.factors] == [ROBUST, ROBUST]
    assert verdict(result) == "robust to table, light"
    assert all(f.shift.value == f.ratio.value == 0.0 for f in result.factors)
    assert result.repeat == 0.0
    assert result.target.value == pytest.approx(PER_CM, rel=0.05)
    assert result.target.low < PER_CM < result.target.high


def test_the_target_s_shift_is_per_centimetre_however_far_it_moves():
    far = measure(from_target, dataclasses.replace(CONFIG, target_move=0.03))
    assert far.target.value == pytest.approx(measure(from_target).target.value, rel=1e-9)


def test_a_policy_that_reads_only_the_table_s_colour_is_sensitive_to_it(row):
    result = measure(from_table(0.02)).judged(success(row, 20))
    table, light = result.factors
    # levels 1 and 2 in turn: 0.02 * 1.5 on average in two of three entries, std 0.1
    assert table.shift.value == pytest.approx(0.2)
    assert table.shift.low < 0.2 < table.shift.high
    assert (table.label, table.ratio.value) == (SENSITIVE, np.inf)
    # neither the light nor the target moves it: that is no robustness
    assert (light.label, light.shift.value) == (NOT_SHOWN, 0.0)
    assert np.isnan(light.ratio.value)
    assert verdict(result, str.upper) == "sensitive to TABLE; not shown to be robust to LIGHT"
    read = SensitivityResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert read.factors[0] == table
    assert dataclasses.replace(read, factors=()) == dataclasses.replace(result, factors=())


@pytest.mark.parametrize(("centimetres", "label"), [(2.0, SENSITIVE), (0.5, NOT_SHOWN), (0.05, ROBUST)])
def test_a_ratio_is_in_centimetres_of_the_target(row, centimetres, label):
    # the table moves two entries by 1.5 strengths on average, a centimetre of the target by 0.01 * 4 / pi together
    result = measure(both(centimetres * 0.01 * (4 / np.pi) / 3)).judged(success(row, 20))
    table = result.factors[0]
    assert table.ratio.value == pytest.approx(centimetres, rel=0.05)
    assert table.ratio.value == pytest.approx(table.shift.value / result.target.value)
    assert table.ratio.low < centimetres < table.ratio.high
    assert table.label == label


def test_incapacity_is_not_mixed_with_sensitivity(row):
    good, bad = measure(both(0.01)).judged(success(row, 20)), measure(both(0.01, 0.1)).judged(success(row, 3))
    assert good.factors[0].shift.value == pytest.approx(bad.factors[0].shift.value)
    assert bad.factors[0].ratio.value == pytest.approx(10 * good.factors[0].ratio.value)
    assert good.factors[0].label == SENSITIVE
    assert [f.label for f in bad.factors] == ["", ""]


@pytest.mark.parametrize("std", [STD, None])
def test_a_constant_policy_is_incapable_and_has_no_labels(row, std):
    result = measure(lambda obs: chunk(0.3, 0.4), std=std).judged(success(row, 0, table=0, light=20))
    assert result.incapable
    assert [(f.label, f.check, f.shift.value) for f in result.factors] == [("", "", 0.0)] * 2
    assert verdict(result).startswith("incapable: lifts 0 of 20 training toys with nothing changed")
    assert "incapable" in sensitivity_table(result)


def test_below_half_of_the_training_toys_there_are_no_labels_and_unknown_is_said(row):
    measured = measure(from_target)
    assert measured.judged(success(row, 9)).incapable
    half = measured.judged(success(row, 10))
    assert not half.incapable
    assert half.factors[0].label == ROBUST
    for nothing in (None, success(row, 20, table=0)):
        unknown = measured.judged(nothing and dataclasses.replace(nothing, training=None))
        assert verdict(unknown) == "not labelled: success on training toys unknown"
        assert unknown.factors[0].label == ""
        assert not unknown.incapable
    assert unknown.factors[0].check == "success falls"


def test_success_that_disagrees_with_a_label_is_said(row):
    result = measure(from_target).judged(success(row, 20, table=8, light=20))
    table, light = result.factors
    assert (table.label, table.check) == (ROBUST, "DISAGREES: success falls")
    assert (table.success.only_a, table.success.only_b) == (0, 12)
    assert light.check == "too few episodes to tell"
    assert verdict(result) == "robust to table, light; success disagrees for table"
    assert "DISAGREES: success falls" in sensitivity_table(result)
    assert measure(from_table(0.02)).judged(success(row, 20, table=8)).factors[0].check == "agrees: success falls"


@pytest.mark.parametrize(("low", "high", "by_label"), [
    (-0.5, -0.2, {SENSITIVE: "agrees: success falls", ROBUST: "DISAGREES: success falls", NOT_SHOWN: "success falls"}),
    (0.01, 0.2, {SENSITIVE: "agrees: success rises", ROBUST: "DISAGREES: success rises", "": "success rises"}),
    (-0.09, 0.05, {SENSITIVE: "DISAGREES: success holds", ROBUST: "agrees: success holds", "": "success holds"}),
    (-0.11, 0.05, dict.fromkeys((SENSITIVE, ROBUST, NOT_SHOWN, ""), "too few episodes to tell")),
])
def test_the_check_of_a_label(low, high, by_label):
    for label, said in by_label.items():
        assert check_label(label, Estimate((low + high) / 2, low, high, 20)) == said


def test_looks_reach_along_the_whole_episode():
    def late(obs):
        return both(0.02)(obs) if obs["step"] >= LAST - 1 else from_target(obs)

    first, along = (measure(late, dataclasses.replace(CONFIG, looks=looks)) for looks in (1, 5))
    assert (first.looks, along.looks) == (30, 150)
    assert first.factors[0].shift.value == 0.0
    # the last of five looks: the state in which the expert chooses its last action
    assert along.factors[0].shift.value == pytest.approx(0.2 / 5)
    assert along.factors[0].ratio.value == pytest.approx(along.factors[0].shift.value / along.target.value)


def test_looks_of_one_scene_are_no_independent_draws():
    one, many = (measure(from_table(0.02), dataclasses.replace(CONFIG, looks=looks)) for looks in (1, 8))
    assert one.factors[0].shift == many.factors[0].shift
    assert many.factors[0].shift.n == CONFIG.scenes


def test_states_are_those_before_an_action_and_end_where_the_expert_gives_up():
    seen = states_along(Expert(), World(), "a", 0, seed=2, looks=100)
    assert [(state[2], free) for state, free in seen] == [(t, t < TOUCHED) for t in range(LAST)]
    assert [state[2] for state, _ in states_along(Expert(gives_up=3), World(), "a", 0, 2, 100)] == [0, 1, 2]
    assert [state[2] for state, _ in states_along(Expert(gives_up=0), World(), "a", 0, 2, 100)] == [0]
    assert measure(from_target, expert=Expert(gives_up=0)).looks == CONFIG.scenes


def test_the_real_expert_s_states_reach_from_the_untouched_to_the_lifted_object():
    from toyshift.data.grasping.choose import make_expert
    from toyshift.diagnostics.actors import OracleActor, make_grasp_env

    env = make_grasp_env("toys:test?n=2", cameras=())
    object_id = env.objects.ids[0]
    seen = states_along(OracleActor(make_expert(env)), env, object_id, 0, seed=0, looks=6)
    assert [free for _, free in seen] == sorted((free for _, free in seen), reverse=True)
    assert (seen[0][1], seen[-1][1]) == (True, False)
    heights = []
    for state, _ in seen:
        env.load_sim_state(object_id, state)
        heights.append(env.object_position()[2])
    assert heights[1] == pytest.approx(heights[0], abs=1e-3)
    assert heights[-1] > heights[0] + 0.2
    env.close()


def test_scenes_are_the_same_for_every_policy_and_run():
    assert measure(from_target) == measure(from_target)


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match="scenes=1"):
        SensitivityConfig(scenes=1)
    with pytest.raises(ConfigError, match="looks=0"):
        SensitivityConfig(looks=0)
    with pytest.raises(ConfigError, match="'light'"):
        SensitivityConfig(factors={"light": ()})


def test_policies_that_look_at_nothing_are_refused():
    with pytest.raises(ConfigError, match="random looks at no images"):
        diagnose("random", "toys:train?n=3")
