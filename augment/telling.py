"""What can be said of a scene: instructions on four levels, whether one names its target alone, and questions.

After RS-GPT4V (descriptions on several levels, and questions with answers) and Promptagator (what is made is kept only
where a search finds its own source again). Here the simulator knows the answers, not a model.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Array

APART = 0.04  # along an axis, from which a side can be told [m]
TIE = 1e-5  # cosines that are nearer than this are the same
SIDES = ("on the robot's left of", "on the robot's right of", "farther from the robot than", "nearer to the robot than")
SYNONYMS: dict[str, tuple[str, ...]] = {
    "pick up": ("grab", "grasp", "lift", "take"), "toy": ("thing", "object"), "cuboid": ("box", "block"),
    "sphere": ("ball",), "ring": ("torus", "hoop"), "cylinder": ("tube",),
}  # fmt: skip
LEVELS = ("name", "attributes", "relation", "synonyms")
Embed = Callable[[Sequence[str]], Array]


class SceneThing(NamedTuple):
    """One object of a scene.

    Attributes:
        name: "red toy".
        attributes: by which it is told from others, "red toy made of a sphere and two cuboids".
        colours: that it shows, by name; () where none has one.
        place: x, y in the base frame, x away from the robot and y to its left [m].
        width: smallest horizontal width in which it can lie [m].
    """

    name: str
    attributes: str
    colours: tuple[str, ...]
    place: tuple[float, float]
    width: float


def beside(things: Sequence[SceneThing], which: int) -> str:
    """Returns where an object lies, such as "red toy on the robot's left of the mug"; "" where no words are its alone.

    What is named beside it has a name of its own, and no object of the same name lies on that side of it as well.
    """
    thing = things[which]
    names = collections.Counter(other.name for other in things)
    for i, other in enumerate(things):
        if i == which or names[other.name] > 1:
            continue
        for side in _sides(thing, other):
            rivals = [k for k, third in enumerate(things) if k not in (which, i) and third.name == thing.name]
            if not any(side in _sides(things[k], other, 0.0) for k in rivals):
                return f"{thing.name} {side} the {other.name}"
    return ""


def _sides(thing: SceneThing, other: SceneThing, least: float = APART) -> list[str]:
    """Returns on which sides of another an object lies, the clearer first."""
    x, y = np.subtract(thing.place, other.place)
    found = [(abs(y), SIDES[0 if y > 0 else 1]), (abs(x), SIDES[2 if x > 0 else 3])]
    return [side for size, side in sorted(found, reverse=True) if size > least]


def sentences(
    things: Sequence[SceneThing], target: int, levels: Sequence[str], templates: Sequence[str] = (),
    rng: np.random.Generator | None = None,
) -> list[str]:
    """Returns what a target can be asked for by, each once.

    Args:
        things: of the scene.
        target: which of them.
        levels: of `LEVELS`.
        templates: sentences with {name}, {attributes} or {relation} in them, which must be there.
        rng: chooses synonyms; needed for that level.
    """
    thing, relation = things[target], beside(things, target)
    phrases = {"name": thing.name, "attributes": thing.attributes, "relation": relation}
    found = [f"pick up the {phrases[level]}" for level in levels if phrases.get(level)]
    if "synonyms" in levels:
        assert rng is not None
        found.append(in_other_words(f"pick up the {thing.attributes}", rng))
    found += [template.format(**phrases) for template in templates if relation or "{relation}" not in template]
    return list(dict.fromkeys(found))


def in_other_words(sentence: str, rng: np.random.Generator) -> str:
    """Returns a sentence with a synonym in the place of every word that has some."""
    for word, others in SYNONYMS.items():
        sentence = sentence.replace(word, others[int(rng.integers(len(others)))])
    return sentence


def round_trip(sentence: str, phrases: Sequence[Sequence[str]], target: int, embed: Embed) -> bool:
    """Says whether the nearest phrase to a sentence is of its target, and of that alone.

    Args:
        sentence: to be kept or not.
        phrases: of each object of the scene.
        target: which of them is meant.
        embed: sentences -> (N, D) of length 1.
    """
    if len(phrases) == 1:
        return True
    every = [phrase for own in phrases for phrase in own]
    owner = np.repeat(np.arange(len(phrases)), [len(own) for own in phrases])
    rows = np.asarray(embed([sentence, *every]), np.float64)
    cosines = rows[1:] @ rows[0]
    best = np.array([cosines[owner == i].max() for i in range(len(phrases))])
    others = np.delete(best, target)
    return bool(best[target] > others.max() + TIE)


def phrases_of(things: Sequence[SceneThing], sentence: str) -> list[list[str]]:
    """Returns what each object can be called: by name, attributes and, where the sentence tells a side, by its place.

    Other sentences are not compared with places, which name the neighbour too: "mug on the robot's right of the red
    toy" is near to everything that is said of the red toy.
    """
    placed = any(side in sentence for side in SIDES)
    return [
        list(dict.fromkeys(filter(None, (thing.name, thing.attributes, beside(things, i) if placed else ""))))
        for i, thing in enumerate(things)
    ]


def questions(things: Sequence[SceneThing], target: int, opening: float) -> list[dict[str, str]]:
    """Returns turns of question and answer about a scene; later ones speak of "it", which is the target.

    Args:
        things: of the scene.
        target: which of them the conversation is about.
        opening: of the gripper [m].
    """
    thing = things[target]
    named = thing.attributes if sum(t.name == thing.name for t in things) > 1 else thing.name
    turns = [("How many objects lie on the table?", str(len(things)))]
    turns.append((f"Is there a {named} among them?", "yes"))
    if thing.colours:
        turns.append(("Which colours does it show?", " and ".join(thing.colours)))
    x, y = thing.place
    turns.append(("Where does it lie, from the robot's base?",
                  f"{abs(x):.2f} m ahead, {abs(y):.2f} m to the {'left' if y >= 0 else 'right'}"))
    if where := beside(things, target):
        turns.append(("And beside which other object?", where.removeprefix(f"{thing.name} ")))
    turns.append(("Do the fingers open wide enough for it?", "yes" if thing.width < opening else "no"))
    return [{"question": question, "answer": answer} for question, answer in turns]

