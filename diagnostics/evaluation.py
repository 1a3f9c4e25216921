"""The evaluation protocol: every policy meets the same initial states, one row per episode, resumable after kill -9."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import platform
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from toyshift.core.choices import Purpose
from toyshift.core.errors import ConfigError, FileError, GraspError, RemoteError
from toyshift.core.failures import EVENTLESS
from toyshift.core.fields import check_fields, check_ranges
from toyshift.core.files import json_hash
from toyshift.core.manifest import manifest
from toyshift.core.outcome import Outcome
from toyshift.core.progress import Progress
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Job, Pool, play, pool_at
from toyshift.core.world import World, episode_options
from toyshift.diagnostics.actors import (
    BUILTIN,
    Actor,
    EnvSpec,
    FolderActor,
    RemoteActor,
    gl_renderer_of,
    look_label,
    look_of_episode,
    make_look,
    open_actor,
    policy_fingerprint,
)
from toyshift.diagnostics.late import LateActor, Latency
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.seen import DEMONSTRATED, SEEN, demonstrated_sets, seen_in_rows
from toyshift.diagnostics.swapped_cells import CueCell, Watch
from toyshift.policies.remote.options import LEROBOT, RemoteOptions, is_remote

if TYPE_CHECKING:
    from toyshift.toys.objectset import ObjectSet

MOST_TRIALS = 1_000_000  # a slip of the keyboard must not ask for all memory
FLUSH_EVERY = 20  # episodes
FLUSH_SECONDS = 10.0
POLICY_HASH = "policy_hash"  # in manifests: what a policy's content is, or row name -> that
PROTOCOL = 2  # raised whenever the same arguments would give other rows


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """One policy on one object set.

    Attributes:
        policy: "oracle", "random", a policy folder or exported bundle, ws://HOST:PORT, vla-eval:HOST:PORT or
            lerobot:DIR.
        objects: object set, e.g. "toys:test" or "ycb-like".
        trials: episodes in total; the set's objects take turns, so each gets trials / len(set), give or take one.
        seed: root seed; episode i of seed s starts in the same state for every policy.
        purpose: of `core.choices.PURPOSES`: "test" for what is reported, "validation" for choices such as a learning
            rate, "collection" for the very starts of demonstrations with this seed.
        max_steps: control steps after which an episode ends.
        look: changed appearance, e.g. {"table": 1}, or {"table": (1, 2, 3)} to let episodes take turns; {} is the
            training look.
        env: how to make the environment.
        name: what to call the policy in the rows; "" takes its own name.
        shift: distance from the training distribution, e.g. "camera-azimuth=3"; the initial states stay those without
            it. See `envs.shifts`.
        remote: how a policy behind a server is asked and understood; not used with others.
        cell: of a test with swapped cues: where the target lies, and the cue that is shown; None for none.
        latency: how late chunks arrive, in virtual time; the built-in policies know none.
    """

    policy: str
    objects: str
    trials: int = 100
    seed: int = 0
    max_steps: int = 100
    look: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    env: EnvSpec = dataclasses.field(default_factory=EnvSpec)
    name: str = ""
    shift: str = ""
    remote: RemoteOptions = dataclasses.field(default_factory=RemoteOptions)
    purpose: Purpose = "test"
    cell: CueCell | None = None
    latency: Latency = dataclasses.field(default_factory=Latency)

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"trials": (1, MOST_TRIALS), "max_steps": 1, "seed": 0})
        if self.cell and not self.env.simulated:
            raise ConfigError("swapped cues need ToyShift's own environment, which says where hand and target are")

    def to_json(self) -> dict[str, Any]:
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        cell = dataclasses.asdict(self.cell) if self.cell else None
        plain = {"look": dict(self.look), "env": self.env.to_json(), "remote": dataclasses.asdict(self.remote)}
        return own | plain | {"cell": cell, "latency": dataclasses.asdict(self.latency)}

    @property
    def look_label(self) -> str:
        """What is seen otherwise than in training, for rows; a cell is among it: none of its rows is a plain one."""
        return ",".join(filter(None, (look_label(self.look), self.cell.label if self.cell else "")))


def reset_options(config: EvaluateConfig, object_id: str, episode: int) -> dict[str, Any]:
    """Returns the options with which an environment is reset for one episode."""
    unseen = {"observe": False} if config.env.simulated else {}  # actors look for themselves
    return episode_options(object_id, episode, config.purpose, config.shift) | unseen


def begin_episode(world: World, config: EvaluateConfig, object_id: str, episode: int) -> None:
    """Puts a world into an episode's first state, with its look."""
    world.reset(seed=config.seed, options=reset_options(config, object_id, episode))
    if config.look:
        world.set_look(make_look(look_of_episode(config.look, episode)))
    if config.cell:
        config.cell.begin(world, config.seed, episode, config.purpose)


def act_out(actor: Actor, world: World, config: EvaluateConfig, episode: int) -> Iterator[dict[str, Any]]:
    """Lets an actor act until it succeeds, the episode ends or time is up; yields the world's info after every action.

    Raises:
        GraspError: the expert finds no grasp.
    """
    actor.reset(world, config.seed, episode)
    steps = 0
    while True:
        for action in actor.actions(world):
            _, done, info = world.advance(action)
            steps += 1
            yield info
            if done or info["is_success"] or steps >= config.max_steps:
                return


def run_episode(
    actor: Actor, world: World, config: EvaluateConfig, object_id: str, episode: int,
    seen: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Plays one episode and returns the outcome columns of its row.

    Nothing is rendered unless the actor asks for an observation. A grasp that cannot be planned and a simulation
    that diverges are outcomes, not errors. `seen` is called at the start and after every action: to film.
    """
    start = time.perf_counter()
    outcome = Outcome(object_id, world.lift_height)
    watch: Watch | None = None
    planned = True
    try:
        begin_episode(world, config, object_id, episode)
        watch = Watch(config.cell, world) if config.cell else None
        if seen:
            seen()
        for info in act_out(actor, world, config, episode):
            outcome.add(info)
            if watch:
                watch.look()
            if seen:
                seen()
    except GraspError:
        planned = False
    columns = outcome.columns() if planned else outcome.columns() | {"failure": "no_plan", "events": ""}
    approached = watch.approached(unstable=columns["failure"] == "unstable") if watch else ""
    return columns | {"wall_s": time.perf_counter() - start, "approached": approached}


@contextlib.contextmanager
def opened_session(config: EvaluateConfig, *others: EvaluateConfig) -> Iterator[tuple[Actor, World]]:
    """Yields the actor and its environment, which a process keeps between episodes.

    Args:
        config: what is evaluated.
        others: what is evaluated with the same; of the same `session_key`.
    """
    actor, world = open_actor(config.policy, config.objects, config.env, config.remote)
    try:
        for cell in (one.cell for one in (config, *others)):
            if cell and isinstance(actor, FolderActor):
                cell.require_seen(world)
        late = config.latency.seconds > 0 and isinstance(actor, FolderActor)
        yield (LateActor(cast("FolderActor", actor), config.latency) if late else actor), world
    finally:
        world.close()
        if isinstance(actor, RemoteActor):
            actor.policy.close()


def play_row(
    config: EvaluateConfig, ids: tuple[str, ...], opened: tuple[Actor, World], episode: int,
    seen: Callable[[], object] | None = None,
) -> Row:
    """Plays one episode with what `opened_session` yields, and returns its row; for `seen` see `run_episode`."""
    actor, world = opened
    object_id, trial = object_of_episode(ids, config.seed, episode)
    outcome = run_episode(actor, world, config, object_id, episode, seen)
    if found := actor.ious:
        outcome |= {"mask_iou": sum(found) / len(found), "mask_missed": found.count(0.0) / len(found)}
    return Row(
        policy=config.name or actor.name, pooling=actor.pooling, object_set=config.objects, object_id=object_id,
        seed=config.seed, episode=episode, look=config.look_label, object_trial=trial, trials=config.trials,
        shift=config.shift, purpose=config.purpose, scene=config.env.scene, **outcome,
    )


def content_hashes(config: EvaluateConfig, objects: ObjectSet | None = None) -> dict[str, str]:
    """Returns hashes of a policy's and its objects' content as it is on this machine.

    Args:
        config: names both.
        objects: its object set, where it has been loaded.
    """
    from toyshift.toys import load_objects

    objects = load_objects(config.objects) if objects is None else objects
    policy = policy_fingerprint(config.policy, config.remote)
    return {POLICY_HASH: policy, "objects_hash": str(objects.fingerprint)}


Opened = TypeVar("Opened")


@contextlib.contextmanager
def _opened_with(
    hashes: Sequence[dict[str, str]], configs: Sequence[EvaluateConfig],
    opening: Callable[[], contextlib.AbstractContextManager[Opened]],
) -> Iterator[Opened]:
    """Opens where policies and objects are those that the rows will be said to be of."""
    for expected, config in zip(hashes, configs, strict=True):
        for name, found in content_hashes(config).items():
            if found != expected[name]:
                what = config.policy if name == POLICY_HASH else config.objects
                told = f"{what} is another one on {platform.node()} than where the evaluation was started"
                raise FileError(f"{told}; all nodes of a cluster must see the same files, best on a shared disk")
    with opening() as opened:
        yield opened


def opening_on(
    pool: Pool | None, configs: Sequence[EvaluateConfig],
    opening: Callable[[], contextlib.AbstractContextManager[Opened]],
) -> Callable[[], contextlib.AbstractContextManager[Opened]]:
    """Returns how workers open what they play with; other machines first look whether their files are the same.

    Args:
        pool: who plays.
        configs: of `served`, whose policies and objects are opened.
        opening: opens them.
    """
    if pool is None or not pool.elsewhere:
        return opening
    return functools.partial(_opened_with, [content_hashes(config) for config in configs], configs, opening)


def _play_one_of(
    configs: Sequence[EvaluateConfig], ids: tuple[str, ...], opened: tuple[Actor, World], item: tuple[int, int]
) -> tuple[int, Row]:
    which, episode = item
    return which, play_row(configs[which], ids, opened, episode)


def session_key(config: EvaluateConfig) -> str:
    """Returns the hash of everything that makes an actor and an environment, which worker processes keep."""
    remote = is_remote(config.policy)
    policy = [config.policy, dataclasses.asdict(config.remote)] if remote else policy_fingerprint(config.policy)
    late = {"latency": dataclasses.asdict(config.latency)} if config.latency.seconds else {}
    return json_hash({"policy": policy, "objects": config.objects, "env": config.env.to_json(), **late})


@contextlib.contextmanager
def served(config: EvaluateConfig) -> Iterator[EvaluateConfig]:
    """Yields the configuration with which workers play, whatever folder they work in.

    A LeRobot policy is loaded once, and all ask its server.

    Raises:
        RemoteError: the policy's process ended while it was asked; its last words are in the message.
    """
    if not config.policy.startswith(LEROBOT):
        folder = config.policy not in BUILTIN and os.path.isdir(config.policy)
        yield dataclasses.replace(config, policy=os.path.abspath(config.policy)) if folder else config
        return
    from toyshift.policies.remote.lerobot_process import lerobot_process

    process = lerobot_process(config.policy, config.remote)
    try:
        yield dataclasses.replace(config, policy=process.url)
    except RemoteError as error:
        if (code := process.exit_code) is None:
            raise
        ended = f"The process of {config.policy} ended with code {code}: {process.last_words()}"
        raise RemoteError(f"{error}. {ended}") from error


def run_key(config: EvaluateConfig, fingerprint: str) -> str:
    """Returns the hash of everything that decides an episode's row, except which episodes are asked for.

    Defaults are left out.

    Args:
        config: of the evaluation.
        fingerprint: the object set's content hash.
    """
    facts = config.to_json()
    usual = EvaluateConfig(config.policy, config.objects).to_json()
    chosen = {name: facts[name] for name in facts if name not in ("trials", "remote") and facts[name] != usual[name]}
    remote = {"remote": config.remote.meaning()} if is_remote(config.policy) else {}
    policy = policy_fingerprint(config.policy, config.remote)
    always = {"protocol": PROTOCOL, "policy": policy, "objects": config.objects, "fingerprint": fingerprint}
    return json_hash(chosen | remote | always)


def _held(out: Path, key: str) -> list[Row]:
    """Returns the rows of a file, if they are of this key; none where it is missing or damaged."""
    with contextlib.suppress(FileError):
        if out.exists() and read_rows_manifest(out).get("run_key") == key:
            return read_rows(out)
    return []


def _finished(out: Path, parts: Path, key: str) -> dict[int, Row]:
    """Returns the episodes that earlier, perhaps killed, runs with this key have left on disk."""
    done = {row.episode: row for row in _held(out, key)}
    for path in sorted(parts.glob("*.parquet")):
        try:
            done.update({row.episode: row for row in read_rows(path)})
        except FileError as error:
            warnings.warn(f"{error}; its episodes are played again", stacklevel=3)
            path.unlink()
    return done


class RowsInProgress:
    """The rows of one policy while they are played: finished episodes are written every 20, or every 10 seconds.

    They go to `<out>.parts/`, and `finish` merges them into `out` in one step. As a context it writes what is left when
    it is interrupted.

    Args:
        config: what is evaluated.
        out: Parquet file to write.
        objects: its object set, where it has been loaded.

    Attributes:
        ids: of the objects that take turns.
        done: episode -> row, those of earlier, perhaps killed, runs among them.
    """

    def __init__(self, config: EvaluateConfig, out: Path, objects: ObjectSet | None = None) -> None:
        from toyshift.toys import load_objects

        objects = load_objects(config.objects) if objects is None else objects
        self.config, self.out, self.ids = config, Path(out), tuple(objects.ids)
        if not self.ids:
            raise ConfigError(f"object set {config.objects!r} holds no object to evaluate on")
        self._hashes = content_hashes(config, objects)
        self._key = run_key(config, str(objects.fingerprint))
        self._parts = self.out.with_name(self.out.name + ".parts") / self._key
        self._kept = _finished(self.out, self._parts, self._key)
        # rows of before there were events are played again, successes too: failures alone would only ever gain
        self.done = {
            episode: row for episode, row in self._kept.items()
            if row.events or row.failure in EVENTLESS or not config.env.simulated
        }  # fmt: skip
        self._pending: list[Row] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> RowsInProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    @property
    def missing(self) -> list[int]:
        """The episodes that are asked for and not there yet."""
        return [i for i in range(self.config.trials) if i not in self.done]

    def add(self, row: Row) -> None:
        """Takes an episode that was played."""
        self.done[row.episode] = row
        self._pending.append(row)
        if len(self._pending) >= FLUSH_EVERY or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was played since the last time."""
        self._flushed = time.monotonic()
        if self._pending:
            first = min(row.episode for row in self._pending)
            write_rows(self._parts / f"{first:07d}.parquet", self._pending, {"run_key": self._key})
            self._pending.clear()

    def finish(self, trials: int) -> list[Row]:
        """Merges the first episodes into the file, and returns them in order of episode.

        Nothing that was played is lost: what the file held beyond them stays there, and other parts stay parts.
        """
        held, every = _held(self.out, self._key), self._kept | self.done
        count = max([trials - 1, *(row.episode for row in held)]) + 1
        rows = [dataclasses.replace(every[i], trials=count) for i in sorted(every) if i < count]
        if rows != held:
            config, named = dataclasses.replace(self.config, trials=count), {rows[0].policy: self.config.policy}
            facts = manifest(
                config=config.to_json(), seed=config.seed, protocol=PROTOCOL, run_key=self._key, **self._hashes,
                objects=len(self.ids), gl_renderer=gl_renderer_of(config.policy, config.env),
                **{SEEN: seen_in_rows(rows, named), DEMONSTRATED: demonstrated_sets(named)},
            )  # fmt: skip
            write_rows(self.out, rows, facts)
        if len(rows) == len(every):
            shutil.rmtree(self._parts, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._parts.parent.rmdir()
        return [dataclasses.replace(self.done[i], trials=trials) for i in range(trials)]


def evaluate(
    config: EvaluateConfig, out: Path, workers: int = 2, progress: bool = True, pool: Pool | None = None, ray: str = ""
) -> list[Row]:
    """Plays the episodes that `out` does not hold yet and returns all rows in order of episode.

    A run killed at any moment loses at most the last few episodes, and asking for more trials later plays only the new
    ones. Asking for fewer returns fewer; `out` keeps all.

    Args:
        config: what to evaluate.
        out: Parquet file to write.
        workers: processes; 0 plays in this one. Not used with `pool`.
        progress: show a bar with time left and running success.
        pool: processes of `worker_pool` or `ray_pool`, shared by several evaluations.
        ray: address of a Ray cluster that plays instead of processes of this machine, or "local"; see `ray_pool`.
            Rows come back to this machine, which alone writes. Folders of policies, and of objects, must be the same on
            all nodes.

    Raises:
        ContractError: policy and environment disagree; raised before the first episode.
        FileError: no such policy.
    """
    return evaluate_all([(config, out)], workers, progress, pool, ray)[0]


def evaluate_all(
    asked: Sequence[tuple[EvaluateConfig, Path]], workers: int = 2, progress: bool = True, pool: Pool | None = None,
    ray: str = "",
) -> list[list[Row]]:
    """Plays several evaluations, and returns the rows of each, which are those that `evaluate` makes of it alone.

    Those of one policy, object set and environment that follow each other, such as the shifts of a matrix, are played
    start by start: the processes open policy and environment once, and in each an object is loaded, and what lies on
    the table settles, once for all that it does with a start. Nobody waits for the last episode of a shift.

    Args:
        asked: what to evaluate, and the Parquet file of each.
        workers, progress, pool, ray: as of `evaluate`.
    """
    from toyshift.toys import load_objects

    rows: list[list[Row]] = []
    with contextlib.ExitStack() as stack:
        for _, group in itertools.groupby(asked, lambda one: session_key(one[0])):
            together = list(group)
            objects = load_objects(together[0][0].objects)
            kept = [RowsInProgress(config, out, objects) for config, out in together]
            missing = sorted((i, which) for which, k in enumerate(kept) for i in k.missing)
            if missing:
                if pool is None:
                    pool = stack.enter_context(pool_at(ray, workers))
                _play_missing(kept, [(which, i) for i, which in missing], progress, pool)
            rows += [k.finish(k.config.trials) for k in kept]
    return rows


def _play_missing(
    kept: Sequence[RowsInProgress], missing: Sequence[tuple[int, int]], progress: bool, pool: Pool | None
) -> None:
    """Plays episodes of evaluations with one session key; `missing` has pairs (which of them, episode), in order."""
    config, ids = kept[0].config, kept[0].ids
    changed = config.cell.name if config.cell else config.shift
    told = f", {len(kept)} conditions" if len(kept) > 1 else changed and f", {changed}"
    label = f"{config.name or Path(config.policy).name} on {config.objects}{told}"
    before = [row for k in kept for i, row in k.done.items() if i < k.config.trials]
    wins, played, total = sum(row.success for row in before), len(before), sum(k.config.trials for k in kept)
    with Progress(label, total, "ep", played, shown=progress) as bar, contextlib.ExitStack() as stack:
        policy = stack.enter_context(served(config)).policy
        configs = [dataclasses.replace(k.config, policy=policy) for k in kept]
        for k in kept:
            stack.enter_context(k)
        name = f"evaluating {policy} on {config.objects}"
        opening = opening_on(pool, configs[:1], functools.partial(opened_session, *configs))
        playing = functools.partial(_play_one_of, configs, ids)
        for which, row in play(missing, Job(session_key(configs[0]), opening, playing, name), pool=pool):
            kept[which].add(row)
            wins, played = wins + row.success, played + 1
            bar.update(success=wins / played)
