"""Why the best recipe turns too little: one change each against the recipe, on the same starts of household toys.

python benchmarks/recipe_trials.py --list
python benchmarks/recipe_trials.py --only "recipe-*" "more-*"           goes on where it was stopped
python benchmarks/recipe_trials.py --tabulate --docs docs               rows of results/recipe_trials and their table

A trial is a row of TRIALS: what is learnt from, and how the training differs. It is trained with three seeds, of
demonstrations too, and plays 300 episodes on household toys and 96 on half a of the real objects (`--ycb`), from the
starts of validation: choices are made on them. What brings nothing goes out of this file again; the commit that its
rows name has it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import ACTION, SIM_STATE, STATE
from toyshift.core.errors import FileError
from toyshift.core.files import json_hash, locked, read_json, write_json
from toyshift.core.manifest import DIRTY, git_revision, manifest
from toyshift.core.proprioception import MIRRORED, TARGET, names_of, proprioception
from toyshift.core.seeds import episode_rng
from toyshift.data import CollectConfig, Dataset, collect
from toyshift.data.collecting.replay import environment_of
from toyshift.data.episode import Episode, write_episode
from toyshift.data.grasping.expert import ExpertConfig
from toyshift.data.grasping.hand import nearest_turn, yaw_of
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics import EvaluateConfig, compare, evaluate, read_rows, summarise, write_rows
from toyshift.diagnostics.statistics import holm
from toyshift.envs.robots import get_robot
from toyshift.envs.rotations import matrix_to_rotvec
from toyshift.policies import TrainConfig, train
from toyshift.policies.act.acting_policy import ActingPolicy
from toyshift.policies.checkpoints import file_hash
from toyshift.policies.training import augmentation, training_run
from toyshift.scripts.collect import take_over
from toyshift.scripts.recipe import STATE as SEEN
from toyshift.scripts.recipe import best_recipe
from toyshift.scripts.studies.cells import write_made
from toyshift.scripts.studies.figures import markdown_table, percents, points
from toyshift.scripts.studies.recipe import PLAYED

HOUSEHOLD = PLAYED["household"][0]
SEEDS, EPISODES, STEPS, BATCH = 3, 300, 4000, 128
REAL_EPISODES = 96  # eight of each object of half a
ROTATION = tuple(name for name in SEEN if name.startswith("eef.r"))
PRIVILEGED = names_of(TARGET)
HAND_ENTRIES = "xyz", ("r11", "r21", "r31"), ("r12", "r22", "r32")  # place and first two axes
CLOSED = 0.5  # gripper commands below it close

Change = Callable[[TrainConfig], TrainConfig]
Made = Callable[[Path, int], list[str]]  # folders of demonstrations from the folder of all of them and the seed
Frames = dict[str, Any]  # arrays (T, ...) by name
Rewrite = Callable[[Frames, Any], Frames | None]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One change of the recipe.

    Attributes:
        says: what it is, for the table.
        data: makes its demonstrations.
        change: of the training.
        around: what lasts while it trains.
        playing: what lasts while it plays.
        finish: what is done with the trained policy.
    """

    says: str
    data: Made
    change: Change = lambda config: config
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    playing: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    finish: Callable[[Path], None] = lambda folder: None


# ---------------------------------------------------------------- demonstrations


def demonstrations(folder: Path, seed: int, count: int = 500, name: str = "", **changed: Any) -> list[str]:
    """Collects so many demonstrations on each of the two kinds of toys, once for all trials of a seed."""
    made = []
    for kind, (objects, first) in PLAYED.items():
        out = folder / f"{kind}{count}{name}-s{seed}"
        config = CollectConfig(objects, count, out, workers=0, seed=first + seed, **changed)
        with locked(out.with_name(f"{out.name}.made")):
            collect(config)
        made.append(str(out))
    return made


def corrected(folder: Path, seed: int) -> list[str]:
    """The recipe's demonstrations, and as many in which its policy plays until the expert takes over."""
    own = demonstrations(folder, seed)
    starts = take_over(str(folder.parent / "policies" / f"recipe-s{seed}"))
    return own + demonstrations(folder, 100 + seed, name="-taken", take_over=starts)


def rewritten(source: Path, name: str, change: Rewrite, states: tuple[str, ...] = ()) -> str:
    """Writes a dataset again, every episode changed and those of None left out, once for all trials of a seed.

    Args:
        source: its folder.
        name: for the new folder, behind the old one's.
        change: makes the frames of an episode from those and what is known of it.
        states: names that the state goes on with.
    """
    out = source.with_name(f"{source.name}-{name}")
    with locked(out.with_name(f"{out.name}.made")):
        if (out / "meta" / "info.json").exists():
            return str(out)
        dataset, kept = Dataset(source), 0
        for episode in map(dataset.episode, range(dataset.num_episodes)):
            frames = change(dict(episode.frames), episode.meta)
            if frames is not None:
                write_episode(out, Episode(kept, frames, episode.meta))
                kept += 1
        seen = dataset.observation_contract
        seen = dataclasses.replace(seen, state_names=(*seen.state_names, *states))
        finalize(out, dataset.action_contract, seen, dataset.manifest)
    return str(out)


def privileged(folder: Path, seed: int) -> list[str]:
    """The recipe's demonstrations, whose state goes on with what `TARGET` names.

    The target's place, its pose seen from the hand, and its extents.
    """
    return [with_target(Path(source)) for source in demonstrations(folder, seed)]


def with_target(source: Path) -> str:
    """Writes a dataset again with `environment_state` behind the state."""
    env = environment_of(Dataset(source), cameras=(), environment_state=True)

    def change(frames: Frames, meta: Any) -> Frames:
        told = []
        for state in frames[SIM_STATE]:
            env.load_sim_state(meta["object_id"], state, meta["model_hash"], meta.get("others"))
            told.append(env._environment_state())
        return frames | {STATE: np.concatenate([frames[STATE], np.stack(told)], axis=1).astype(np.float32)}

    with contextlib.closing(env):
        return rewritten(source, "told", change, PRIVILEGED)


def goals(folder: Path, seed: int) -> list[str]:
    """The recipe's demonstrations, whose actions are the whole way that remains to the grasp until the gripper closes.

    Entries: the way in the base frame [m], sine and cosine of twice the turn about the vertical, 0, the gripper. From
    the first closing command on they are what the expert did, with a turn of 0. Episodes of several attempts are left
    out.
    """
    return [with_goals(Path(source)) for source in demonstrations(folder, seed)]


def with_goals(source: Path) -> str:
    """Writes a dataset again with such actions."""
    names = Dataset(source).observation_contract.state_names
    place, first, second = ([names.index(f"eef.{n}") for n in each] for each in HAND_ENTRIES)

    def change(frames: Frames, meta: Any) -> Frames | None:
        if int(meta["attempts"]) != 1:
            return None
        state, action = frames[STATE].astype(float), np.array(frames[ACTION])
        approach = np.cumsum(action[:, 6] < CLOSED) == 0
        grasp = np.array(meta["grasp"]["rotation"])
        for t in range(len(action)):
            x, y = state[t, first], state[t, second]
            hand = np.stack([x, y, np.cross(x, y)], axis=1)
            turn = 0.0
            if approach[t]:
                action[t, :3] = np.array(meta["grasp"]["position"]) - state[t, place]
                turn = matrix_to_rotvec(nearest_turn(grasp, yaw_of(hand), True)[0] @ hand.T)[2]
            action[t, 3:6] = np.sin(2 * turn), np.cos(2 * turn), 0.0
        return frames | {ACTION: action.astype(np.float32)}

    return rewritten(source, "goals", change)


# ---------------------------------------------------------------- trainings


def policy(**changed: Any) -> Change:
    """Changes what the policy is made of."""
    return lambda config: dataclasses.replace(config, policy=dataclasses.replace(config.policy, **changed))


def training(**changed: Any) -> Change:
    """Changes how it is trained."""
    return lambda config: dataclasses.replace(config, **changed)


def told(**changed: Any) -> Change:
    """Shows the policy where the target is, how it lies and how large it is."""
    return policy(state_keep=(*SEEN, *PRIVILEGED), **changed)


@contextlib.contextmanager
def target_mirrored() -> Iterator[None]:
    """The target's place and axes are mirrored with the scene; its third axis turns round, as a mirrored body's."""
    signs = (*MIRRORED, "object.dy", "object.r21", "object.r22")
    with mock.patch("toyshift.policies.training.initial_policy.MIRRORED_STATE", signs):
        yield


def declare_privileged(folder: Path) -> None:
    """Says in a trained policy that the last entries of its state are the environment's to tell."""
    state = read_json(folder / "state.json")
    for name in ("contract.json", "config.json"):
        text = read_json(folder / name)
        for found in _dicts(text):
            if tuple(found.get("state_names", ())[-len(PRIVILEGED) :]) == PRIVILEGED:
                found["state_names"] = found["state_names"][: -len(PRIVILEGED)]
                found["environment_state_names"] = list(PRIVILEGED)
            if "state_keep" in found and "pooling" in found:
                found["privileged"] = True
        write_json(folder / name, text)
        state["files"][name]["sha256"] = file_hash(folder / name)
    del state["hash"]
    write_json(folder / "state.json", state | {"hash": json_hash(state)})


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(part)


@contextlib.contextmanager
def rotation_hidden() -> Iterator[None]:
    """Half of the samples show the batch's mean in the place of the hand's rotation."""
    columns = [i for i, name in enumerate(names_of(proprioception(get_robot("panda").joints))) if name in ROTATION]

    def augment(arrays: Any, cameras: Any, config: TrainConfig, step: int, signs: Any, part: Any) -> Any:
        out = augmentation.augment(arrays, cameras, config, step, signs, part)
        hidden = episode_rng(config.seed, step, "rotation-hidden").random(part[0])[part[1]] < 0.5
        state = np.array(out[STATE])
        state[np.ix_(hidden, range(state.shape[1]), columns)] = state[..., columns].mean(axis=(0, 1))
        return {**out, STATE: state}

    with mock.patch.object(training_run, "augment", augment):
        yield


@contextlib.contextmanager
def goes_to_goals() -> Iterator[None]:
    """What a policy answers is where the grasp is; clipped steps go there as the expert's do."""
    expert = ExpertConfig()

    def act(self: ActingPolicy, obs: Any) -> Float32:
        told = self.inputs(obs)
        chunk = self.predict(*told)[0].astype(float)  # (K, A)
        names = self.observation_contract.state_names
        lag = told.state[0][[names.index(f"lag.{axis}") for axis in "xyz"]]
        way, turn = chunk[0, :3] - lag, 0.5 * np.arctan2(chunk[0, 3], chunk[0, 4])
        out = np.zeros_like(chunk)
        for k, asked in enumerate(chunk):
            out[k, 6] = asked[6]
            if asked[6] < CLOSED:
                out[k, :3] = shortened(asked[:3], expert.speed)
                continue
            beyond = max(0.0, float(np.linalg.norm(way[:2])) - expert.tolerance)
            error = beyond + 0.06 * max(0.0, abs(turn) - expert.turn_tolerance)
            above = np.array([0.0, 0.0, min(expert.hover, expert.funnel * error)])
            step = shortened(way + above, expert.speed)
            turned = float(np.clip(turn, -expert.turn_speed, expert.turn_speed))
            out[k, :3], out[k, 5] = step, turned
            way, turn = way - step, turn - turned
        self._now += self.execute
        clipped = np.clip(out, self.action_contract.low, self.action_contract.high)
        return np.asarray(clipped, np.float32)

    with mock.patch.object(ActingPolicy, "act", act):
        yield


def shortened(vector: Any, length: float) -> Any:
    """Returns a vector, shortened to a length."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))


TRIALS = {
    "recipe": Trial("the recipe: 500 + 500 demonstrations, 512,000 samples", demonstrations),
    "more": Trial("1,250 + 1,250 demonstrations", functools.partial(demonstrations, count=1250)),
    "longer": Trial(
        "1,250 + 1,250 demonstrations, three times the samples", functools.partial(demonstrations, count=1250),
        training(steps=3 * STEPS),
    ),
    "unmirrored": Trial("without mirroring", demonstrations, training(mirror=False)),
    "hint-turn": Trial(
        "without mirroring, `--repair hint?of=turn`", demonstrations, training(mirror=False, repair="hint?of=turn")
    ),
    "hint-grasp": Trial(
        "without mirroring, `--repair hint?of=grasp&feed=1`", demonstrations,
        training(mirror=False, repair="hint?of=grasp&feed=1"),
    ),
    "proposals": Trial(
        "without mirroring, `--repair hint?proposals=4`", demonstrations,
        training(mirror=False, repair="hint?proposals=4"),
    ),
    "told": Trial(
        "told the target's place, pose and extents, and shown nothing", privileged,
        told(blind=True, mask_input=False), around=target_mirrored, finish=declare_privileged,
    ),
    "told-shown": Trial(
        "told the target's place, pose and extents beside the images", privileged, told(),
        around=target_mirrored, finish=declare_privileged,
    ),
    "goals": Trial(
        "it answers with the whole way and turn to the grasp, and a controller takes the steps", goals,
        playing=goes_to_goals,
    ),
    "rotation-hidden": Trial(
        "the hand's rotation is hidden in half of the samples", demonstrations, around=rotation_hidden
    ),
    "pixels128": Trial(
        "images of 128 pixels", functools.partial(demonstrations, name="-128", image_size=128)
    ),
    "corrected": Trial("and 500 + 500 that its policy begins and the expert ends (`--beginner`)", corrected),
    "varied": Trial(
        "demonstrations of another pace, approach and start (`--variety 1`)",
        functools.partial(demonstrations, name="-varied", variety=1.0),
    ),
    "wide": Trial("twice the channels and hidden units", demonstrations, policy(width=256, stem=96, hidden=1024)),
}  # fmt: skip


# ---------------------------------------------------------------- cells


@dataclasses.dataclass(frozen=True)
class Trials:
    """Where trials are made, and on what they play.

    Attributes:
        out: folder of demonstrations and policies.
        results: folder of rows.
        ycb: folder with the real objects.
    """

    out: Path
    results: Path
    ycb: Path

    @property
    def sets(self) -> dict[str, tuple[str, int]]:
        """Object sets by name, and how many episodes on each."""
        return {
            "household toys": (HOUSEHOLD, EPISODES),
            "real YCB, half a": (f"ycb:{self.ycb}?graspable&half=a", REAL_EPISODES),
        }

    def path(self, cell: str) -> Path:
        """Returns where a cell's rows are kept."""
        return self.results / "rows" / f"{cell}.parquet"

    def run(self, cell: str) -> None:
        """Collects, trains and plays one trial of one seed."""
        name, seed = cell.rsplit("-s", 1)[0], int(cell.rsplit("-s", 1)[1])
        trial, folder = TRIALS[name], self.out / "policies" / cell
        data = tuple(trial.data(self.out / "demos", seed))
        config = dataclasses.replace(trial.change(best_recipe(data, str(folder), STEPS, BATCH, seed)), threads=1)
        trained = self.out / "trained" / f"{cell}.json"  # outside the policy's folder: finishing changes what is in it
        if not trained.exists():
            with trial.around():
                done = train(config)
            trial.finish(folder)
            write_json(trained, {k: done[k] for k in ("loss", "validation_loss", "samples", "seconds")})
        facts, rows = read_json(trained), []
        for label, (objects, episodes) in self.sets.items():
            played = EvaluateConfig(str(folder), objects, episodes, seed=seed, purpose="validation", name=name)
            path = self.out / "rows" / f"{cell}-{label.replace(',', '').replace(' ', '-')}.parquet"
            with trial.playing():
                found = evaluate(played, path, 0)
            rows += [dataclasses.replace(row, object_set=label) for row in found]
        write_rows(self.path(cell), rows, manifest({"trial": name, "says": trial.says}, seed, **facts))

    def tabulate(self, docs: Path | None) -> str:
        """Returns the table of the rows that are there, and puts it into docs/recipe.md."""
        rows = [row for path in sorted((self.results / "rows").glob("*-s*.parquet")) for row in read_rows(path)]
        if not rows:
            raise FileError(f"{self.results / 'rows'} holds no rows yet; run this without --tabulate first")
        by = {(s.policy, s.object_set): s for s in summarise(rows)}
        lines, values = [], []
        for name in TRIALS:
            for label in self.sets:
                if (name, label) in by:
                    mine = [r for r in rows if (r.policy, r.object_set) == (name, label)]
                    base = [r for r in rows if (r.policy, r.object_set) == ("recipe", label)]
                    paired = compare(mine, base) if name != "recipe" and base else None
                    lines.append((name, label, by[name, label], paired))
                    values += [paired.p_value] if paired else []
        corrected_p = iter(holm(values))
        table = markdown_table(
            "| trial | what | on | n | success | 95 % new objects | minus the recipe | p | Holm p |",
            [
                (
                    name, TRIALS[name].says, label, found.n, f"{100 * found.rate:.1f} %",
                    percents(*found.clustered),
                    *((points(paired.to_json()["difference"]), f"{paired.p_value:.2g}", f"{next(corrected_p):.2g}")
                      if paired else ("-", "-", "-")),
                )
                for name, label, found, paired in lines
            ],
        )  # fmt: skip
        if docs:
            write_made(docs / "recipe.md", f"python benchmarks/recipe_trials.py --tabulate --docs {docs}", table)
        return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["*"], help="cells TRIAL-sSEED to run, with * for anything")
    parser.add_argument("--out", type=Path, default=Path("runs/recipe-trials"), help="demonstrations and policies")
    parser.add_argument("--results", type=Path, default=Path("results/recipe_trials"), help="folder of the rows")
    parser.add_argument("--ycb", type=Path, default=Path("../shared/ycb"), help="the real objects")
    parser.add_argument("--list", action="store_true", help="say what the trials are")
    parser.add_argument("--tabulate", action="store_true", help="make the table of the rows that are there")
    parser.add_argument("--docs", type=Path, help="folder whose recipe.md the table goes into")
    args = parser.parse_args()
    trials = Trials(args.out, args.results, args.ycb)
    cells = [f"{name}-s{seed}" for seed in range(SEEDS) for name in TRIALS]
    if args.list:
        print("\n".join(f"{name}: {trial.says}" for name, trial in TRIALS.items()))
    elif args.tabulate:
        print(trials.tabulate(args.docs))
    elif git_revision().endswith(DIRTY):
        parser.error("the source has changes that are not committed: rows name the commit that made them")
    else:
        print(f"source {git_revision()}", flush=True)
        for cell in cells:
            if any(fnmatch.fnmatchcase(cell, word) for word in args.only) and not trials.path(cell).exists():
                print(cell, flush=True)
                trials.run(cell)


if __name__ == "__main__":
    main()
