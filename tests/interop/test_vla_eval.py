"""vla-eval itself: the same policy and starts give the same outcomes through it and through `toyshift evaluate`."""

import time

import anyio
import numpy as np
import pytest

# ruff: noqa: E402  the environment of the other interop tests has no vla-eval
vla_eval = pytest.importorskip("vla_eval")

from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.orchestrator import Orchestrator

from toyshift.core.errors import ConfigError, ContractError, RemoteError
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig, opened_session, play_row
from toyshift.envs import GraspEnv
from toyshift.envs.adapters.vla_eval_benchmark import GraspBenchmark
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.remote.options import RemoteOptions
from toyshift.policies.remote.vla_eval_server import PolicyModelServer
from toyshift.toys import load_objects

BENCHMARK = "toyshift.envs.adapters.vla_eval_benchmark:GraspBenchmark"
OBJECTS = "toys:test?n=20"
COLUMNS = ("success", "max_height", "steps", "failure", "penetration", "events", "object_id", "object_trial", "episode")
STATED = RemoteOptions(keys="vla-eval", actions="eef_delta", timeout=60.0)


class TopDown(PredictModelServer):
    """A model server as its users write them: it knows the target's pose, and grasps from above, turned as the hand
    is. Chunks have two actions, of which vla-eval's server keeps the second.
    """

    def __init__(self):
        super().__init__(chunk_size=2)
        self.began, self.closed = 0, {}

    async def on_episode_start(self, config, ctx):
        await super().on_episode_start(config, ctx)
        self.began += 1
        self.closed[ctx.session_id] = 0

    def predict(self, obs, ctx):
        offset = obs["environment_state"][:3]  # from the hand to the target's centre of mass [m]
        shut = self.closed.get(ctx.session_id, 0)
        if shut or np.abs(offset).max() < 0.012:
            self.closed[ctx.session_id] = shut + 1
        if shut > 3:
            step = [0, 0, 0.04]
        elif shut:
            step = [0, 0, 0]
        else:
            near = np.hypot(*offset[:2]) < 0.02
            step = np.clip([*offset[:2], offset[2] if near else 0.0], -0.03, 0.03)
        action = np.array([*step, 0, 0, 0, 0 if shut else 1], np.float32)
        return {"actions": np.stack([action, action])}


class Other(PredictModelServer):
    """Answers what it was made with."""

    def __init__(self, answer, seconds=0.0):
        super().__init__()
        self.answer, self.seconds = answer, seconds

    def predict(self, obs, ctx):
        time.sleep(self.seconds)
        return self.answer


def config_of(episodes, out, **params):
    benchmark = {"benchmark": BENCHMARK, "name": "toyshift", "episodes_per_task": episodes, "params": params}
    return {"render": "cpu", "output_dir": str(out), "benchmarks": [benchmark]}


def through_harness(url, episodes, out, **params):
    """Plays in vla-eval and returns its records, by number."""
    (result,) = vla_eval.run(config_of(episodes, out, **params), server_url=url, docker=False)
    (task,) = result["tasks"]
    assert result["seed"] == params["seed"]
    return {one["episode_id"]: one for one in task["episodes"]}


def through_toyshift(policy, episodes, remote, seed, env, **asked):
    """Plays as `toyshift evaluate` does and returns its rows, by number."""
    config = EvaluateConfig(policy, OBJECTS, episodes, seed, env=EnvSpec(env), remote=remote, **asked)
    ids = tuple(one.id for one in load_objects(OBJECTS))
    with opened_session(config) as opened:
        return {episode: play_row(config, ids, opened, episode) for episode in range(episodes)}


def differing(records, rows):
    """Returns the numbers of the episodes that did not come out equal, in every bit of every column."""
    assert records.keys() == rows.keys()
    told = {number: [one["metrics"][name] for name in COLUMNS] for number, one in records.items()}
    ours = {number: [getattr(row, name) for name in COLUMNS] for number, row in rows.items()}
    return [number for number in told if told[number] != ours[number]]


@pytest.fixture(scope="module")
def top_down():
    server = TopDown()
    with vla_eval.serve_background(server) as handle:
        yield server, handle


def test_two_hundred_starts_come_out_equal_both_ways(top_down, tmp_path):
    """A model server that knows nothing of ToyShift, no images."""
    server, handle = top_down
    env = {"cameras": [], "environment_state": True}
    records = through_harness(handle.url, 200, tmp_path, objects=OBJECTS, seed=3, **env)
    assert server.began == 200
    address = f"vla-eval:{handle.url.removeprefix('ws://')}"
    rows = through_toyshift(address, 200, STATED, 3, {"cameras": (), "environment_state": True})
    assert server.began == 400
    assert differing(records, rows) == []
    lifted = sum(row.success for row in rows.values())
    kinds = {row.failure for row in rows.values()}
    print(f"{lifted} of 200 lifted; failures: {sorted(kinds)}")
    assert 20 < lifted < 180  # a test on failures or successes alone would show little
    assert len(kinds) > 2
    assert len({row.object_id for row in rows.values()}) == 20


def test_shards_play_the_episodes_of_one_run(top_down, tmp_path):
    _, handle = top_down
    params = {"objects": OBJECTS, "seed": 3, "cameras": [], "environment_state": True, "max_steps": 25}
    whole = through_harness(handle.url, 9, tmp_path / "whole", **params)
    parts = {}
    for shard in range(3):
        config = config_of(9, tmp_path / "parts", **params) | {"server": {"url": handle.url}}
        (result,) = anyio.run(Orchestrator(config, shard, 3, no_save=True).run)
        for one in result["tasks"][0]["episodes"]:
            assert one["episode_id"] not in parts
            parts[one["episode_id"]] = one
    assert parts.keys() == whole.keys()
    assert {i: one["metrics"] for i, one in parts.items()} == {i: one["metrics"] for i, one in whole.items()}


def test_a_policy_of_ours_served_to_both_acts_as_it_does_from_its_folder(tmp_path):
    """Random weights, images and masks; the policy executes two actions of a chunk of four."""
    world = GraspEnv(objects=OBJECTS, image_size=32)
    contracts = world.action_contract, world.observation_contract
    world.close()
    small = PolicyConfig(pooling="detpool", width=32, stem=16, hidden=64, chunk=4, execute=2)
    policy = TorchPolicy("ours", Policy(small, *contracts))
    with vla_eval.serve_background(PolicyModelServer(policy, "f00d")) as handle:
        params = {"objects": OBJECTS, "seed": 1, "max_steps": 14, "shift": "camera-azimuth=2"}
        records = through_harness(handle.url, 6, tmp_path, **params)  # cameras and masks are the policy's
        address = f"vla-eval:{handle.url.removeprefix('ws://')}"
        asked = {"max_steps": 14, "shift": "camera-azimuth=2"}
        rows = through_toyshift(address, 6, RemoteOptions(), 1, {}, **asked)
        assert {row.policy for row in rows.values()} == {"ours"}
        assert {row.pooling for row in rows.values()} == {"detpool"}
        with pytest.raises(ContractError, match=r"camera front: 32 x 32 pixels in policy ours, 48 x 48"):
            vla_eval.run(config_of(1, tmp_path, image_size=48, **params), server_url=handle.url, docker=False)
    assert differing(records, rows) == []
    # and as the policy does when it is asked directly
    folder = GraspBenchmark(**params, cameras=["front", "wrist"], image_size=32, masks=True)
    for number in range(2):
        anyio.run(folder.start_episode, {"episode_idx": number})
        policy.reset()
        for step in range(14):
            if step % 2 == 0:
                seen = folder.make_obs(None, {})
                views = {"pixels": seen["images"], "masks": seen["masks"], "agent_pos": seen["state"]}
                chunk = policy.act(views | {"task": seen["task_description"]})
            result = folder.step({"actions": chunk[step % 2]})
        assert folder.get_step_result(result)["max_height"] == rows[number].max_height
    folder.cleanup()


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ({"actions": np.zeros(5)}, r"shape \(5,\)"),
        ({"actions": np.full(7, np.nan)}, "is nan"),
        ({"poses": np.zeros(7)}, "without 'actions'"),
    ],
)
def test_an_answer_of_another_shape_is_an_error_and_no_failure(answer, what, tmp_path):
    params = {"objects": OBJECTS, "seed": 0, "cameras": [], "environment_state": True}
    with vla_eval.serve_background(Other(answer)) as handle:
        records = through_harness(handle.url, 2, tmp_path, **params)
        for one in records.values():
            assert one["failure_reason"] == "env_step"
            with pytest.raises(ContractError, match=what):
                raise ContractError(one["failure_detail"])
        address = f"vla-eval:{handle.url.removeprefix('ws://')}"
        with pytest.raises(ContractError, match=r"127.0.0.1:\d+"):
            through_toyshift(address, 1, STATED, 0, {"cameras": (), "environment_state": True})


def test_a_server_that_is_slow_fails_by_name(tmp_path):
    with vla_eval.serve_background(Other({"actions": np.zeros(7)}, seconds=1.0)) as handle:
        address = f"vla-eval:{handle.url.removeprefix('ws://')}"
        slow = RemoteOptions(keys="vla-eval", actions="eef_delta", timeout=0.2)
        with pytest.raises(RemoteError, match=r"has not answered within 0.2 s"):
            through_toyshift(address, 1, slow, 0, {"cameras": (), "environment_state": True})


@pytest.mark.parametrize("mode", ["eef_delta", "joint_pos"])
def test_the_hold_action_leaves_hand_and_gripper_where_they_are(mode):
    """vla-eval's real-time mode asks for it where an action is late."""
    benchmark = GraspBenchmark(objects=OBJECTS, cameras=[], action_mode=mode)
    anyio.run(benchmark.start_episode, {"episode_idx": 0})
    hold = benchmark.get_hold_action(None)["actions"]
    closing = np.append(hold[:-1], 0.0)
    before = benchmark.make_obs(None, {})["state"]
    for _ in range(5):
        benchmark.step({"actions": closing})
    after = benchmark.make_obs(None, {})["state"]
    np.testing.assert_allclose(after[8:11], before[8:11], atol=2e-3)  # the hand [m]
    assert benchmark.get_hold_action({"actions": closing})["actions"][-1] == 0.0
    benchmark.cleanup()


def test_wrong_parameters_are_named():
    with pytest.raises(ConfigError, match="seed is -1"):
        GraspBenchmark(seed=-1)
    with pytest.raises(ConfigError, match="masks are of cameras"):
        GraspBenchmark(objects=OBJECTS, cameras=[], masks=True)
    with pytest.raises(ContractError, match="they hold action_contract"):
        GraspBenchmark(objects=OBJECTS, contracts={"name": "x"})


def test_toyshift_compares_what_vla_eval_wrote(top_down, tmp_path):
    from toyshift.diagnostics.comparing.vla_eval import read

    _, handle = top_down
    records = through_harness(
        handle.url, 4, tmp_path, objects=OBJECTS, seed=3, cameras=[], environment_state=True, max_steps=10
    )
    (side,) = read(tmp_path, "", {})
    assert [trial.number for trial in side.episodes] == sorted(records)
    assert [trial.success for trial in side.episodes] == [records[i]["metrics"]["success"] for i in sorted(records)]
