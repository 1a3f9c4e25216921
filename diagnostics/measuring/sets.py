"""Whether features hold which object lies where, when there are several: they are mapped to one vector of a whole set.

After "Hyperdimensional Probe". Every colour, kind and place has a code of +1 and -1 (2,048 numbers); an object is the
product of its three codes, a scene the sum of its objects. Ridge regression maps features to scenes' vectors;
multiplied by a place's code, what it says of other scenes is compared with all pairs of colour and kind. Of n objects
the exact vector has a cosine of 1 / sqrt(n) with the right pair. With one object it is an ordinary probe, and not asked
here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng, object_of_episode
from toyshift.diagnostics.actors import EnvSpec, open_actor, with_instruction
from toyshift.diagnostics.evaluation import EvaluateConfig, begin_episode
from toyshift.diagnostics.measuring.finding import Finding, Findings, percent, too_few, undefined
from toyshift.diagnostics.measuring.inside import encoded, layers_of, network_of, observed, shown_of
from toyshift.diagnostics.measuring.probes import Task, predictions
from toyshift.diagnostics.statistics import clustered
from toyshift.diagnostics.tables import interval

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "sets"
UNIT = "of objects whose colour and kind are right, told their place, in other scenes"
SIZE = 2048
OTHERS = "1-3"  # beside the target
CELL = 0.08  # side of a place [m]
LEAST = 20  # scenes
DEALS = 3
LAYER = "pooled"

Thing = tuple[str, str, str]  # colour, kind and place of an object


def codes_of(words: Sequence[str], seed: int = 0) -> dict[str, Array]:
    """Returns a code (SIZE,) of +1 and -1 for each word; a word has the same code wherever it stands."""
    return {word: episode_rng(seed, 0, f"code of {word}").choice((-1.0, 1.0), SIZE) for word in dict.fromkeys(words)}


@dataclasses.dataclass(frozen=True)
class Language:
    """Codes of colours, kinds and places.

    Attributes:
        code: word -> (SIZE,).
        pairs: colours and kinds that occur together.
    """

    code: Mapping[str, Array]
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, scenes: Sequence[Sequence[Thing]], seed: int = 0) -> Language:
        things = sorted({thing for scene in scenes for thing in scene})
        code = codes_of([f"{i}{word}" for thing in things for i, word in enumerate(thing)], seed)
        return cls(code, tuple(sorted({(colour, kind) for colour, kind, _ in things})))

    def pair(self, colour: str, kind: str) -> Array:
        return np.asarray(self.code[f"0{colour}"] * self.code[f"1{kind}"])

    def scene(self, things: Sequence[Thing]) -> Array:
        """Returns the vector (SIZE,) of a set of objects."""
        return np.asarray(sum(self.pair(c, k) * self.code[f"2{place}"] for c, k, place in things))

    def cosines(self, vectors: Array, place: str) -> Array:
        """Returns how alike vectors (n, SIZE), asked for a place, are to each of the pairs (n, P)."""
        asked = vectors * self.code[f"2{place}"]
        known = np.stack([self.pair(*pair) for pair in self.pairs])
        size = np.linalg.norm(asked, axis=1, keepdims=True) * math.sqrt(SIZE)
        return np.asarray(asked @ known.T / np.where(size > 0, size, 1.0))


def sets(features: Array, scenes: Sequence[Sequence[Thing]], *, seed: int = 0, subject: str = "") -> Finding:
    """Returns how often colour and kind of an object are told from its place, in scenes that were not fitted on.

    Args:
        features: (N, F), one row per scene.
        scenes: the objects of each; those that share a place with another are not asked about.
        seed: of codes, folds, deals and bootstrap.
        subject: whose features they are.
    """
    several = sum(len(scene) > 1 for scene in scenes)
    if several < LEAST:
        why = f"{several} scenes hold several objects, it takes {LEAST}; one object is what probes ask about"
        return undefined(NAME, UNIT, why, n=several, subject=subject)
    language = Language.of(scenes, seed)
    if len(language.pairs) < 2:
        why = f"all objects are {' '.join(language.pairs[0])}"
        return undefined(NAME, UNIT, why, n=len(scenes), subject=subject)
    asked = [
        (i, place, language.pairs.index((colour, kind)))
        for i, scene in enumerate(scenes) for colour, kind, place in scene
        if [other for _, _, other in scene].count(place) == 1
    ]  # fmt: skip
    if not asked:
        why = "every object shares its place with another"
        return undefined(NAME, UNIT, why, n=len(scenes), subject=subject)
    exact = np.stack([language.scene(scene) for scene in scenes])
    rng = episode_rng(seed, 0, NAME)

    def right(x: Array) -> Array:
        (told,) = predictions(x, [Task(exact, False, np.arange(len(scenes)))], seed)
        alike = [language.cosines(told[i : i + 1], place)[0] for i, place, _ in asked]
        return np.array([one.argmax() == pair for one, (_, _, pair) in zip(alike, asked, strict=True)], float)

    own = right(features)
    value = clustered(own, [i for i, _, _ in asked])
    dealt = [float(right(features[rng.permutation(len(features))]).mean()) for _ in range(DEALS)]
    null = float(np.mean(dealt))
    lines: list[dict[str, Any]] = []
    for count in sorted({len(scene) for scene in scenes}):
        mine = [j for j, (i, _, _) in enumerate(asked) if len(scenes[i]) == count]
        if mine:
            cosine = [language.cosines(exact[asked[j][0]][None], asked[j][1])[0, asked[j][2]] for j in mine]
            lines.append({"objects": count, "asked": len(mine), "right": float(own[mine].mean()),
                          "cosine of the exact vector": float(np.mean(cosine))})  # fmt: skip
    span = f"{percent(value.value)} {interval(100 * value.low, 100 * value.high, 0)}, dealt out {percent(null)}"
    few = too_few(several, "scenes")
    if value.low > max(dealt):
        verdict = card = f"what lies where is read of several objects ({span})"
    else:
        verdict, card = f"what lies where is not shown to be read of several objects ({span})", ""
    caveats = (*few, f"{len(language.pairs)} pairs of colour and kind, of which the most alike is taken",
               "a look before anything moves; what is read need not be used")  # fmt: skip
    return Finding(name=NAME, subject=subject, value=value, unit=UNIT, null=null, verdict=verdict, card=card,
                   table=tuple(lines), caveats=caveats)  # fmt: skip


def thing_of(obj: Any, position: Array) -> Thing:
    """Returns colour, kind and place of an object: of a toy the first word of its name and its first part's kind."""
    toy = obj.info.get("toy")
    colour = obj.name.split()[0]
    kind = toy["primitives"][0]["kind"] if toy else obj.name
    return colour, kind, f"{int(np.floor(position[0] / CELL))}, {int(np.floor(position[1] / CELL))}"


def sets_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder, in scenes with other objects beside the target."""
    from toyshift.policies.act.torch_policy import TorchPolicy
    from toyshift.toys import load_objects

    policy = network_of(asked.policy)
    if isinstance(policy, str):
        return Findings((undefined(NAME, UNIT, f"no features: {policy}", subject=asked.policy),))
    if not policy.cameras:
        why = "the network looks through no camera"
        return Findings((undefined(NAME, UNIT, why, subject=asked.policy),))
    acting, objects = TorchPolicy(NAME, policy), load_objects(asked.objects)
    _, world = open_actor(asked.policy, asked.objects, EnvSpec({"clutter": OTHERS}))
    views, scenes = [], []
    config = EvaluateConfig("oracle", "", seed=asked.seed, purpose="test")
    try:
        place = cast("Any", world)
        for scene in track(range(asked.scenes * asked.looks), "sets of objects", unit="scene"):
            object_id, _ = object_of_episode(objects.ids, asked.seed, scene)
            try:
                begin_episode(world, config, object_id, scene)
            except ConfigError as error:  # a set of few objects
                return Findings((undefined(NAME, UNIT, str(error), subject=asked.policy),))
            views.append(observed(acting, with_instruction(world.observe(), world)))
            beside = [(obj, position) for obj, position, _ in place.others()]
            scenes.append([thing_of(obj, at) for obj, at in ((place.object, place.object_position()), *beside)])
    finally:
        world.close()
    features = layers_of(policy, encoded(policy, shown_of(views, acting.cameras)))[LAYER]
    return Findings((sets(features, scenes, seed=asked.seed, subject=Path(asked.policy).name),))
