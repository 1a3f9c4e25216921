"""Events: hand-made sequences, and the scene of every gripper; nothing of the episode changes."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.errors import MissingDependencyError
from toyshift.data.grasping.choose import make_expert
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.robots import ROBOTS
from toyshift.envs.tasks.events import EVENTS, KNOCKED, REACHED, Events, Measured, Observer
from toyshift.envs.tasks.snapshot import restore, save

FAR = Measured(0.3, False, 0.0, False, False, 0.0, 1.0, 1.0, 1.0)  # an open hand, away from the target
GRIPPED = {"distance": 0.0, "touched": True, "pinched": True, "commanded": 0.0, "told": -0.5, "opening": 0.6}
LOST = {"distance": 0.0, "touched": True, "commanded": 0.0, "told": -0.5, "opening": 0.0}
OPENED = LOST | {"commanded": 1.0, "told": 1.0}


def told(*parts: tuple[int, dict[str, float]], hz: float = 10.0) -> list[tuple[int, str]]:
    """Returns the events of so many control steps of each kind."""
    events, step = Events(0.3, hz), 0
    for count, changed in parts:
        for _ in range(count):
            step += 1
            events.note(step, FAR._replace(**changed))
    return [tuple(event) for event in events.happened]


def test_nothing_happens_to_an_open_hand_far_away() -> None:
    assert told((100, {})) == []


def test_a_hand_that_comes_near_or_touches_has_reached_it() -> None:
    assert told((3, {}), (5, {"distance": REACHED})) == [(4, "reached")]
    assert told((3, {}), (5, {"distance": REACHED + 1e-3})) == []
    assert told((1, {"touched": True})) == [(1, "reached")]


def test_knocked_counts_only_before_a_grip() -> None:
    assert told((2, {"away": KNOCKED - 1e-3}), (2, {"away": KNOCKED})) == [(3, "knocked")]
    assert told((1, GRIPPED), (9, GRIPPED | {"away": 0.2})) == [(1, "reached"), (1, "gripped")]


@pytest.mark.parametrize(("hz", "steps"), [(10.0, 5), (20.0, 10)])
def test_a_gripper_is_shut_on_nothing_after_half_a_second(hz: float, steps: int) -> None:
    assert told((steps, {"commanded": 0.2}), hz=hz) == [(steps, "shut")]
    assert told((steps - 1, {"commanded": 0.2}), (1, {}), (steps - 1, {"commanded": 0.2}), hz=hz) == []
    assert told((50, {"commanded": 0.2, "beside": True}), hz=hz) == []  # it has another object
    assert "shut" not in [name for _, name in told((50, GRIPPED), hz=hz)]


def test_a_grip_presses_on_both_sides() -> None:
    """An open hand around something as wide as it is grips nothing, nor does one that is told to be just as wide."""
    for opening in (1.0, 0.6):
        assert told((9, GRIPPED | {"told": opening, "commanded": 1.0, "opening": opening})) == [(1, "reached")]


def test_what_leaves_a_pressing_gripper_slips_and_what_leaves_an_opening_one_is_let_go() -> None:
    begin = [(1, "reached"), (1, "gripped")]
    assert told((4, GRIPPED), (3, LOST)) == [*begin, (7, "slipped")]
    assert told((4, GRIPPED), (3, OPENED)) == [*begin, (7, "let_go")]
    assert told((4, GRIPPED), (1, LOST), (2, OPENED)) == [*begin, (7, "let_go")]
    # contacts flicker: two steps are no loss
    assert told((4, GRIPPED), (2, LOST), (4, GRIPPED), (2, OPENED), (9, GRIPPED)) == begin
    weak = {"commanded": 0.6, "told": 0.4, "opening": 0.4}  # still narrower than what it held
    assert told((4, GRIPPED), (3, LOST | weak)) == [*begin, (7, "slipped")]


def test_every_grip_is_raised_anew() -> None:
    up, high = GRIPPED | {"height": 0.05}, GRIPPED | {"height": 0.3}
    found = told((1, GRIPPED), (2, up), (2, high), (3, OPENED), (1, GRIPPED), (1, up))
    assert [name for _, name in found] == [
        "reached", "gripped", "raised", "lifted", "let_go", "gripped", "raised",
    ]  # fmt: skip
    assert [step for step, _ in found] == [1, 1, 2, 4, 8, 9, 10]
    assert [name for _, name in told((9, {"height": 0.3}))] == []  # thrown, not lifted


def test_any_sequence_has_known_events_in_order() -> None:
    rng = np.random.default_rng(0)
    names = set()
    for _ in range(300):
        events = Events(0.3, 10.0)
        for step in range(1, 60):
            if rng.random() < 0.2 or step == 1:
                commanded = float(rng.random())
                values = {
                    "distance": float(rng.exponential(0.2)), "touched": bool(rng.random() < 0.3),
                    "away": float(rng.exponential(0.01)), "pinched": bool(rng.random() < 0.4),
                    "height": float(rng.exponential(0.1)), "commanded": commanded, "told": 1.5 * commanded - 0.5,
                    "opening": float(rng.random()),
                }  # fmt: skip
            events.note(step, FAR._replace(**values))
        found = [event.name for event in events.happened]
        assert [event.step for event in events.happened] == sorted(event.step for event in events.happened)
        assert all(found.count(name) <= 1 for name in ("reached", "knocked", "shut"))
        lost = [name for name in found if name in ("gripped", "slipped", "let_go")]
        assert all((name == "gripped") == (i % 2 == 0) for i, name in enumerate(lost))  # a grip, its loss, a grip ...
        names |= set(found)
    assert names == set(EVENTS)


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_expert_s_lift_with_every_gripper(robot: str) -> None:
    """Told and measured opening are on one scale, and a lift is reached, gripped, raised and lifted, in this order."""
    try:
        ROBOTS[robot].require_files()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    toys = f"toys:train?n=3&scale={ROBOTS[robot].toy_scale}" if robot == "so101" else "toys:train?n=3"
    env = GraspEnv(EnvConfig(objects=toys, robot=robot, cameras=()))
    expert = make_expert(env)
    for episode in range(3):  # one of at most three
        env.reset(seed=0, options={"episode": episode})
        assert env._gripper.told(env.scene) == pytest.approx(env.opening(), abs=0.01)
        expert.reset(0, episode)
        for _ in range(100):
            _, over, info = env.advance(expert.act())
            if over:
                break
        if info["is_success"]:
            break
    assert info["is_success"]
    names = [name for _, name in info["events"] if name not in ("slipped", "let_go", "shut", "knocked")]
    assert [name for i, name in enumerate(names) if name not in names[:i]] == ["reached", "gripped", "raised", "lifted"]
    env.close()


def test_nothing_of_the_episode_depends_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=3", cameras=(), task="pick", clutter=2))
    rng = np.random.default_rng(0)
    actions = rng.uniform(env.action_contract.low, env.action_contract.high, (30, env.action_contract.size))
    ended = []
    for look in (Observer.look, lambda *_: None):
        monkeypatch.setattr(Observer, "look", look)
        env.reset(seed=3)
        infos = [env.advance(action)[2] for action in actions]
        ended.append((env.sim_state(), [{**info, "events": ()} for info in infos]))
    np.testing.assert_array_equal(ended[0][0], ended[1][0])
    assert ended[0][1] == ended[1][1]
    env.close()


def test_a_target_that_is_put_elsewhere_is_not_knocked_and_snapshots_keep_events() -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=3", cameras=()))
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    env.reset(seed=0)
    env.move_object(0.0, 0.08)
    for _ in range(3):
        info = env.advance(still)[2]
    assert info["events"] == ()
    for _ in range(7):  # far from everything; below SHUT from the third step on
        info = env.advance(still * 0)[2]
    assert info["events"] == ((10, "shut"),)
    kept = save(env)
    env.reset(seed=1)
    assert env.advance(still)[2]["events"] == ()
    restore(env, kept)
    assert env.advance(still)[2]["events"] == ((10, "shut"),)
    env.close()
