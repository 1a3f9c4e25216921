"""The object sets `toys:...`: random toys, each a function of (distribution, split, seed, index) alone."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import cache_dir, json_hash, locked, read_json, write_json
from toyshift.core.progress import Progress
from toyshift.core.seeds import stream
from toyshift.toys.geometry.rest import compute_rest_poses
from toyshift.toys.geometry.solid import mass_properties
from toyshift.toys.grammar import Term, check_variant, number, whole
from toyshift.toys.graspability import most_graspable
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet, in_narrow_poses
from toyshift.toys.random_toys.distribution import ToyDistribution
from toyshift.toys.random_toys.presets import PRESETS, distribution_named, is_file
from toyshift.toys.random_toys.sampling import sample_toy
from toyshift.toys.random_toys.splits import HELD_OUT_PAIRS, LONGEST_SPAN, MOST_PARTS, SPLITS, TEST_DIGITS
from toyshift.toys.random_toys.toy import Toy, toy_object

# [m] toys of train and test are narrower in some rest pose, and lie in such poses: 1 cm of play for a Panda hand.
ACCEPTED_WIDTH = 0.07
SIDES = {"train": 1, "test": 2}  # first entry of the toy's spawn key; 0 for a whole distribution
RULE = 3  # change it when other toys are accepted
DEFAULT_N = {"train": 250, "test": 100}  # 1000 for a whole distribution
MAX_N = 1_000_000  # a set keeps about 250 bytes per toy
KEPT_N = 2000  # toys; what is drawn for larger sets is not remembered, for it takes too much memory
GIVE_UP = 10_000  # draws without an accepted toy
SELECTIONS = ("top-graspable",)
SCALES = (0.2, 5.0)  # of a set


def least_width(toy: Toy) -> float:
    """The smallest horizontal width over the rest poses [m]."""
    mesh = toy.mesh()
    return min(p.width for p in compute_rest_poses(mesh.vertices, mass_properties(mesh.vertices, mesh.faces)[1]))


@dataclasses.dataclass(frozen=True)
class ToyRecipe:
    """What the toys of a set are.

    Attributes:
        distribution: what is drawn from.
        side: "" takes the first draw of each toy's stream; "train" and "test" the first that belongs to this side of
            the split and is narrower than ACCEPTED_WIDTH in some rest pose (LEGO too chose its 250 toys out of a larger
            pool).
        split: a name of SPLITS.
        seed: root seed.
        scale: how large the toys of the set are beside those that are drawn; these, not those, decide about the side.
    """

    distribution: ToyDistribution
    side: str = ""
    split: str = "random"
    seed: int = 0
    scale: float = 1.0

    def draw(self, index: int, attempt: int | None = None) -> tuple[Toy, int]:
        """Toy `index`, which does not depend on how many are drawn, and which draw of its stream was accepted.

        Args:
            index: of the toy.
            attempt: the accepted draw where it is known already.

        Raises:
            ConfigError: the distribution yields no such toys.
        """
        rng = stream(self.seed, SIDES.get(self.side, 0), index)
        for k in itertools.count():
            toy = sample_toy(rng, self.distribution)
            if k == attempt if attempt is not None else self._accepts(toy):
                return toy, k
            if k >= GIVE_UP:
                side = f"on the {self.side} side of the {self.split} split and narrower than {ACCEPTED_WIDTH} m"
                remedy = f"choose another split or smaller sizes in {self.distribution}"
                raise ConfigError(f"none of {GIVE_UP} toys is {side}; {remedy}")
        raise AssertionError("unreachable")

    def _accepts(self, toy: Toy) -> bool:
        return not self.side or (SPLITS[self.split](toy) == self.side and least_width(toy) < ACCEPTED_WIDTH)

    def draws(self, n: int, cache: Path) -> Iterator[tuple[Toy, int]]:
        """The first n toys with their accepted draws, which the folder `cache` remembers."""
        if not self.side:
            yield from (self.draw(i) for i in range(n))
            return
        pairs = [sorted(pair) for pair in HELD_OUT_PAIRS]
        limits = [round(ACCEPTED_WIDTH * 1e6), TEST_DIGITS, pairs, MOST_PARTS, round(LONGEST_SPAN * 1e6)]
        rule = json_hash([self.distribution.fingerprint, self.side, self.split, self.seed, limits, RULE])
        path = cache / f"{self.side}-{rule}.json"
        attempts = _known_attempts(path)
        yield from (self.draw(i, k) for i, k in enumerate(attempts[:n]))
        if len(attempts) >= n:
            return
        with Progress(f"choosing toys:{self.side}", total=n, unit="toy", initial=len(attempts)) as bar:
            for i in range(len(attempts), n):
                toy, k = self.draw(i)
                attempts.append(k)
                bar.update()
                yield toy, k
        with locked(path):
            if len(_known_attempts(path)) < len(attempts):
                write_json(path, attempts)


def _places(recipe: ToyRecipe, n: int, cache: Path) -> dict[str, tuple[int, int]]:
    """Returns index and accepted draw of each of the first n toys by its id, scaled; `cache` remembers the draws."""
    places: dict[str, tuple[int, int]] = {}
    for index, (toy, attempt) in enumerate(recipe.draws(n, cache)):
        places.setdefault(toy.scaled(recipe.scale).id, (index, attempt))
    return places


# An evaluation, a collection and each of their environments name a set anew, and it takes 0.1 s to draw 250 toys.
_places_again = functools.lru_cache(maxsize=8)(_places)


def _known_attempts(path: Path) -> list[int]:
    """Accepted draws that an earlier process found; a damaged file is as good as none."""
    try:
        found = read_json(path)
    except FileError:
        return []
    ok = isinstance(found, list) and all(isinstance(k, int) and 0 <= k <= GIVE_UP for k in found)
    return found if ok else []


class ToySet(ObjectSet):
    """A set of toys that keeps no toy but how to draw each one again, so that a million fit into memory.

    Args:
        spec: the string that made the set.
        source: what its objects call their source, e.g. "toys:train".
        recipe: what the toys are.
        places: index and accepted draw of each id, in the set's order.

    Attributes:
        recipe: as above.
    """

    def __init__(self, spec: str, source: str, recipe: ToyRecipe, places: dict[str, tuple[int, int]]) -> None:
        ids = tuple(places)
        self._source, self.recipe = source, recipe
        self._places = array("l", itertools.chain.from_iterable(places.values()))
        super().__init__(spec, ids, json_hash(["toys", *ids]), self._make)

    def toy(self, name: str) -> Toy:
        """The toy of an id as a value, without making its mesh; see index for the errors."""
        place = 2 * self.index(name)
        drawn = self.recipe.draw(self._places[place], self._places[place + 1])[0]
        return drawn.scaled(self.recipe.scale)

    def _make(self, name: str) -> GraspObject:
        found = toy_object(self.toy(name), self._source)
        return in_narrow_poses(found, self.recipe.scale * ACCEPTED_WIDTH) if self.recipe.side else found


def toy_set(term: Term) -> ToySet:
    """Random toys.

    - `toys:PRESET` or `toys:FILE.json`: every toy of a distribution (1000);
    - `toys:train`, `toys:test`: the two sides of a split, narrow enough for a Panda hand (250 and 100); `@composition`,
      `@count`, `@size` choose another split than `@random`, `?of=PRESET` another distribution than lego. Toys of many
      parts are refused more often than those of few, so that the accepted ones are distributed otherwise than the
      distribution says; `toyshift toys stats toys:train` counts both;
    - `?scale=0.7` makes all of them that large: the same shapes for another gripper, with ids of their own;
    - `?n=`, `?seed=`; `?select=top-graspable&pool=500` takes the n most graspable of the first 500 (see
      graspability.py).
    """
    options = dict(term.options)
    side = term.argument if term.argument in SIDES else ""
    if not side and not is_file(term.argument) and term.argument not in PRESETS:
        raise UnknownNameError("toy set (toys:<name>)", term.argument, (*SIDES, *PRESETS))
    check_variant(term, SPLITS if side else ())
    if "of" in options and not side:
        what = "of=DISTRIBUTION goes with toys:train and toys:test, e.g. 'toys:train?of=without-ring'"
        raise ConfigError(f"object set {term.text!r}: {what}")
    distribution = distribution_named((options.get("of") or "lego") if side else term.argument)
    scale = number(term, "scale", 1.0)
    if not SCALES[0] <= scale <= SCALES[1]:
        raise ConfigError(f"object set {term.text!r}: scale must be from {SCALES[0]} to {SCALES[1]}, got {scale:g}")
    recipe = ToyRecipe(distribution, side, term.variant or "random", whole(term, "seed", 0), scale)
    n = whole(term, "n", DEFAULT_N.get(side, 1000), low=1)
    chosen = "select" in options
    if chosen and options["select"] not in SELECTIONS:
        raise UnknownNameError("selection of toys (select=)", options["select"], SELECTIONS)
    if not chosen and "pool" in options:
        raise ConfigError(f"object set {term.text!r}: pool goes with select={SELECTIONS[0]}")
    if chosen and scale != 1.0:
        raise ConfigError(f"object set {term.text!r}: graspability is known of toys as they are drawn: leave out scale")
    pool = whole(term, "pool", 2 * n, low=1) if chosen else n
    if not n <= pool <= MAX_N:
        most, which = (min(pool, MAX_N), f" of a pool of {pool}") if chosen else (MAX_N, "")
        raise ConfigError(f"object set {term.text!r}: n may be at most {most}; got {n}{which}")
    cache = cache_dir("toys") if side else Path()  # a whole distribution has no draws to remember
    places = (_places_again if pool <= KEPT_N else _places)(recipe, pool, cache)
    if chosen:
        ids = list(places)
        query = "&".join([f"n={pool}", *[f"{name}={options[name]}" for name in ("of", "seed") if name in options]])
        best = most_graspable(ids, n, f"{term.text.split('?')[0]}?{query}")
        places = {ids[i]: places[ids[i]] for i in best}
    return ToySet(term.text, f"toys:{term.argument}", recipe, places)
