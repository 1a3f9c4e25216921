"""The object sets `toys:train`, `toys:test` and `toys:lego`: random toys, each a function of (seed, index) alone."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import cache_dir, json_hash, locked, read_json, write_json
from toyshift.toys.distribution import ToyDistribution, sample_toy, toy_rng
from toyshift.toys.grammar import Term, whole
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet, in_narrow_poses
from toyshift.toys.rest import compute_rest_poses
from toyshift.toys.solid import mass_properties
from toyshift.toys.toy import Toy, toy_object

ACCEPTED_WIDTH = 0.07  # [m] toys of train and test are narrower in some rest pose, and lie in such poses: 1 cm of play for a Panda hand
SPLITS = {"train": 1, "test": 2, "lego": 0}  # first entry of the toy's spawn key
RULE = 3  # change it when other toys are accepted
DEFAULT_N = {"train": 250, "test": 100, "lego": 1000}
TEST_DIGITS = "cdef"  # a toy whose id begins so can only be a test toy: no leakage whatever n and seed


def split_of(toy_id: str) -> str:
    """The only one of "train" and "test" that may hold a toy; 3 of 4 toys are training toys."""
    return "test" if toy_id[0] in TEST_DIGITS else "train"


def least_width(toy: Toy) -> float:
    """The smallest horizontal width over the rest poses [m]."""
    mesh = toy.mesh()
    return min(p.width for p in compute_rest_poses(mesh.vertices, mass_properties(mesh.vertices, mesh.faces)[1]))


def draw(split: str, seed: int, index: int, distribution: ToyDistribution, attempt: int | None = None) -> tuple[Toy, int]:
    """Toy `index` of a split, and which draw of its stream was accepted.

    Args:
        split: "lego" takes the first draw; "train" and "test" the first that belongs to the split and is narrower
            than ACCEPTED_WIDTH in some rest pose (LEGO too chose its 250 toys out of a larger pool).
        seed: root seed.
        index: of the toy; toy i does not depend on how many are drawn.
        distribution: what is drawn from.
        attempt: the accepted draw where it is known already.
    """
    rng = toy_rng(seed, SPLITS[split], index)
    for k in itertools.count():
        toy = sample_toy(rng, distribution)
        if attempt is not None:
            if k == attempt:
                return toy, k
        elif split == "lego" or (split_of(toy.id) == split and least_width(toy) < ACCEPTED_WIDTH):
            return toy, k
        if k >= 10_000:
            raise ConfigError(f"none of 10,000 toys is narrower than {ACCEPTED_WIDTH} m; choose smaller sizes in {distribution}")
    raise AssertionError("unreachable")


def _known_attempts(path: Path) -> list[int]:
    """Accepted draws that an earlier process found; a damaged file is as good as none."""
    try:
        found = read_json(path)
    except FileError:
        return []
    ok = isinstance(found, list) and all(isinstance(k, int) and 0 <= k <= 10_000 for k in found)
    return found if ok else []


def draw_split(split: str, seed: int, n: int, distribution: ToyDistribution) -> list[Toy]:
    """The first n toys of a split; which draws are accepted is remembered in the cache folder."""
    if split == "lego":
        return [draw(split, seed, i, distribution)[0] for i in range(n)]
    rule = json_hash([distribution.fingerprint, split, seed, round(ACCEPTED_WIDTH * 1e6), TEST_DIGITS, RULE])
    path = cache_dir("toys") / f"{split}-{rule}.json"
    attempts = _known_attempts(path)
    toys = [draw(split, seed, i, distribution, k)[0] for i, k in enumerate(attempts[:n])]
    if len(attempts) < n:
        from toyshift.core.progress import track

        for i in track(range(len(attempts), n), f"choosing toys:{split}", unit="toy"):
            toy, k = draw(split, seed, i, distribution)
            toys.append(toy)
            attempts.append(k)
        with locked(path):
            if len(_known_attempts(path)) < len(attempts):
                write_json(path, attempts)
    return toys


def toy_set(term: Term) -> ObjectSet:
    """Random toys: `toys:train` (250), `toys:test` (100), `toys:lego` (1000, every toy of the distribution); `?n=`, `?seed=`."""
    if term.argument not in SPLITS:
        raise UnknownNameError("toy set (toys:<name>)", term.argument, SPLITS)
    if term.variant:
        raise UnknownNameError(f"variant of toys:{term.argument}", term.variant, [])
    split = term.argument
    n, seed = whole(term, "n", DEFAULT_N[split], low=1), whole(term, "seed", 0)
    return _toy_set(split, n, seed, term.text, ToyDistribution())


def _toy_set(split: str, n: int, seed: int, spec: str, distribution: ToyDistribution) -> ObjectSet:
    toys = {toy.id: toy for toy in draw_split(split, seed, n, distribution)}
    ids = tuple(toys)
    load = functools.partial(_load, toys, f"toys:{split}")
    # Widths were checked toy by toy, so nothing needs loading to know that all can be grasped.
    return ObjectSet(spec, ids, json_hash(["toys", *ids]), load, None if split == "lego" else {})


def _load(toys: dict[str, Toy], source: str, name: str) -> GraspObject:
    found = toy_object(toys[name], source)
    return found if source == "toys:lego" else in_narrow_poses(found, ACCEPTED_WIDTH)
