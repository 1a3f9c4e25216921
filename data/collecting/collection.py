"""Collects demonstrations of the scripted expert; resumable, and the same dataset however the work is split."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import time
from pathlib import Path
from typing import Any

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, FileError, ToyShiftError, with_remedy
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.core.runs import claim, finish, found
from toyshift.core.workers import Job, Pool, play, ray_pool
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.ledger import Attempt, complete, note, read_ledger
from toyshift.data.collecting.play import Players, attempt, begin_attempt, opened
from toyshift.data.episode import Encoded, encode_episode, episode_files, episode_path, stored_indices, write_encoded
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.render.renderer import gl_renderer_name

GIVE_UP = 50  # attempts without any success after which collection stops
MARKER = "collect.json"


@dataclasses.dataclass(frozen=True)
class Tried:
    """What was seen where everything that a collection needs was tried once."""

    action: ActionContract
    observation: ObservationContract
    gl_renderer: str


def collect(config: CollectConfig, progress: bool = True, tried: Tried | None = None) -> dict[str, Any]:
    """Collects `episodes` successes and writes the dataset; run again after a kill, it goes on.

    The dataset holds the first `episodes` successful attempts in order of index (and with keep="failed" the failed ones
    before the last of them), so the number of workers, and when the run was interrupted, change nothing of it.

    Args:
        config: of the collection.
        progress: show a bar.
        tried: of `check`, where this or a collection that needs the same was tried already.

    Returns:
        out, episodes (successes), failed (failures that are stored), attempts, yield (successes per attempt), causes of
        failure, episodes_per_s (successes), content_hash.

    A finished dataset is extended when more are asked for: it is then the one that was collected at once.

    Raises:
        ConfigError: the folder holds a dataset of another configuration, or more episodes.
        FileError: the disk is full; what is stored stays, and the same command goes on.
        ToyShiftError: the first attempts all failed, or a worker died.
    """
    out = Path(config.out)
    try:
        done = finished(config)
        return _collect(config, out, progress, tried) if done is None else done
    except OSError as error:
        raise FileError(with_remedy(f"cannot write in {out} ({error}); finished episodes are kept", error)) from error


def finished(config: CollectConfig) -> dict[str, Any] | None:
    """Returns what came of an earlier run; None where it has fewer episodes, was not finished, or there was none."""
    out = Path(config.out)
    result: dict[str, Any] | None = found(out / MARKER, config.key, "a dataset", "toyshift collect", config.decisive)
    if result is None:
        return None
    if damaged := open_dataset(out).damaged_files():
        raise FileError(f"{out} was finished, but {', '.join(damaged)} is damaged; delete {out} and collect again")
    if result["episodes"] > config.episodes:
        raise _more(out, result["episodes"], config.episodes)
    return result if result["episodes"] == config.episodes else None


def _more(out: Path, there: int, asked: int) -> ConfigError:
    remedy = "ask for as many or more, or choose another --out"
    return ConfigError(f"{out} holds {there} episodes, {asked} were asked for; {remedy}")


def check(config: CollectConfig) -> Tried:
    """Opens what plays and lets it begin attempt 0, so that what cannot be played is refused before `out` is claimed.

    Raises:
        ToyShiftError: the environment, its objects, the graphics or the beginner refuse.
    """
    renderer = gl_renderer_name() if config.cameras else "none"
    with opened(config) as players:
        if players.starter:
            players.starter.check(players.env)
        begin_attempt(config, players, 0)
        return Tried(players.env.action_contract, players.env.observation_contract, renderer)


def _collect(config: CollectConfig, out: Path, progress: bool, tried: Tried | None) -> dict[str, Any]:
    cluster = ray_pool(config.ray, config.workers) if config.ray else contextlib.nullcontext()
    with cluster as pool:
        tried = tried or check(config)
        claim(out / MARKER, config.key, config.decisive)
        attempts = read_ledger(out)
        old, begun = len(attempts), time.perf_counter()
        _play_missing(config, out, attempts, pool, progress)
        seconds = time.perf_counter() - begun
    first = [attempts[i] for i in range(complete(attempts, config.episodes))]
    used = {a.index for a in first if a.stored}
    if more := stored_indices(out) - used:  # a run for more was killed when it had all but ended
        raise _more(out, config.episodes + sum(attempts[i].success for i in more), config.episodes)
    # attempts beyond the last one needed, those in flight at the end among them
    for index in episode_files(out) - used:
        episode_path(out, index).unlink(missing_ok=True)
    facts = manifest(config.to_json(), config.seed, gl_renderer=tried.gl_renderer)
    finalize(out, tried.action, tried.observation, facts, robot_type=config.robot)
    share = config.episodes / len(first)
    result = {
        "out": str(out),
        "episodes": config.episodes,
        "failed": len(used) - config.episodes,
        "attempts": len(first),
        "yield": share,
        "causes": dict(collections.Counter(a.cause for a in first if not a.success)),
        "episodes_per_s": round((len(attempts) - old) * share / max(seconds, 1e-9), 3),
        "content_hash": open_dataset(out).content_hash(),
    }
    finish(out / MARKER, result)
    return result


def _play_missing(
    config: CollectConfig, out: Path, attempts: dict[int, Attempt], pool: Pool | None, progress: bool
) -> None:
    """Plays attempts, and notes them, until the first `episodes` successes have no gap before them."""
    missing = (index for index in itertools.count() if index not in attempts)
    job = Job(
        config.key, functools.partial(opened, config), functools.partial(_work, config), f"collecting {config.objects}"
    )
    successes = sum(a.success for a in attempts.values())
    if complete(attempts, config.episodes):
        return
    workers = min(config.workers, max(1, config.episodes - successes))
    with Progress("collect", config.episodes, "episode", initial=min(config.episodes, successes)) as bar:
        for new, encoded in play(missing, job, workers, pool):
            if encoded is not None:
                write_encoded(out, encoded)
            attempts[new.index] = new
            note(out, new)
            successes += new.success
            causes = collections.Counter(a.cause for a in attempts.values() if not a.success)
            if progress:
                shown = {cause.replace(" ", "_"): str(count) for cause, count in causes.items()}
                bar.update(int(new.success), yield_=successes / len(attempts), **shown)
            if not successes and len(attempts) >= GIVE_UP:
                raise ToyShiftError(
                    f"{len(attempts)} attempts at {config.objects} all failed ({dict(causes)}); try another object set"
                )
            if complete(attempts, config.episodes):
                return


def _work(config: CollectConfig, players: Players, index: int) -> tuple[Attempt, Encoded | None]:
    """Plays attempt `index` and writes its episode; from a Ray cluster, which may not see these files, it travels."""
    done, episode = attempt(config, players, index)
    encoded = None if episode is None else encode_episode(episode)
    if encoded is None or config.ray:
        return done, encoded
    write_encoded(config.out, encoded)
    return done, None
