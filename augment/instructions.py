"""Copies that are told otherwise: by name, attributes, place, synonyms or your own sentences, and questions beside.

A sentence stays only if, among the objects on the table, the phrase that it is nearest to is of its target alone
(MiniLM, extra [language]; on a table with one object nothing has to be compared). `qa.jsonl` in the new dataset has
questions and answers about each copy's first frame.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from toyshift.augment.augmentation import Around, Augmentation, Words
from toyshift.augment.copies import put_into
from toyshift.augment.reskin import renamed
from toyshift.augment.seen import seen_of
from toyshift.augment.telling import LEVELS, SceneThing, phrases_of, questions, round_trip, sentences
from toyshift.core.contract import SIM_STATE
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import write_text
from toyshift.envs.tasks.pick import phrase
from toyshift.toys.random_toys.toy import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toyshift.augment.sources import Sources
    from toyshift.data.store.dataset import Dataset
    from toyshift.envs.tasks.grasp import GraspEnv
    from toyshift.toys.model import GraspObject

NAME, QA = "qa.jsonl", "qa"  # the file, and where episodes note what goes into it
MOST = 8  # sentences of one's own
PARTS = {"name", "attributes", "relation"}


@dataclasses.dataclass(frozen=True)
class OtherWords(Augmentation):
    """Another sentence for each copy.

    Attributes:
        levels: of name, attributes, relation and synonyms, joined by commas; "" for one's own sentences alone.
        sentences: file with up to eight lines such as "hand me the {name}", with {name}, {attributes} or {relation}.
        generator: "module:function" that makes sentences of a scene: (things, target) -> list of str; none is shipped.
    """

    levels: str = ",".join(LEVELS)
    sentences: str = ""
    generator: str = ""

    tells: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for level in self.own_levels:
            if level not in LEVELS:
                raise UnknownNameError("level of instructions", level, LEVELS)
        if not (self.own_levels or self.sentences or self.generator):
            raise ConfigError(f"nothing is to be said: give levels of {', '.join(LEVELS)}, sentences= or generator=")
        self.templates()
        self.made_by()

    @property
    def own_levels(self) -> tuple[str, ...]:
        """The levels, one by one."""
        return tuple(filter(None, self.levels.split(",")))

    def templates(self) -> list[str]:
        """Returns the lines of the file of sentences; [] without one."""
        if not self.sentences:
            return []
        try:
            lines = [line.strip() for line in Path(self.sentences).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"cannot read sentences from {self.sentences} ({error})") from error
        lines = [line for line in lines if line]
        if not 1 <= len(lines) <= MOST:
            raise ConfigError(f"{self.sentences} has {len(lines)} sentences; it takes 1 to {MOST}")
        for line in lines:
            try:
                named = {name for _, name, _, _ in string.Formatter().parse(line) if name is not None}
            except ValueError as error:
                raise ConfigError(f"sentence {line!r} of {self.sentences} has a single brace ({error})") from error
            if not named or named - PARTS:
                told = f"sentence {line!r} of {self.sentences} must name its target by"
                raise ConfigError(f"{told} {', '.join('{' + part + '}' for part in sorted(PARTS))} and nothing else")
        return lines

    def made_by(self) -> Any:
        """Returns the function that makes sentences; None without one."""
        if not self.generator:
            return None
        module, _, name = self.generator.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            told = f"generator is {self.generator!r} ({error}); it must be module:function"
            raise ConfigError(f"{told}, which takes (things, target) and gives sentences") from error
        return found

    def check(self, around: Around) -> None:
        if any(look.object_colour for look in around.looks[around.own]):
            told = "has episodes whose object_colour hides the toys' own colours, of which the words would tell"
            raise ConfigError(f"{around.names[around.own]} {told}")

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        return ()

    def words(self, sources: Sources, part: int, number: int, rng: np.random.Generator) -> Words:
        meta, dataset = sources.metas[part][number], sources.datasets[part]
        env = sources.env(part)
        state = dataset.episode(number, [SIM_STATE]).frames[SIM_STATE][0]
        before = seen_of(meta)
        put_into(env, meta, number, before)
        env.load_sim_state(meta["object_id"], state, meta["model_hash"], meta.get("others"))
        things = things_of(env, before.colours)
        told = sentences(things, 0, self.own_levels, self.templates(), rng)
        if (made := self.made_by()) is not None:
            told += [str(sentence) for sentence in made(things, 0)]
        kept = [sentence for sentence in told if round_trip(sentence, phrases_of(things, sentence), 0, _embed)]
        task = kept[int(rng.integers(len(kept)))] if kept else str(meta["task"])
        return Words(task, {QA: questions(things, 0, env.robot.gripper.opening)})

    def beside(self, dataset: Dataset) -> None:
        noted = [(episode, dataset.meta(episode).get(QA)) for episode in range(dataset.num_episodes)]
        asked = [{"episode": episode, "frame": 0, "turns": turns} for episode, turns in noted if turns]
        lines = [json.dumps(line, ensure_ascii=False) for line in asked]
        write_text(dataset.folder / NAME, "".join(f"{line}\n" for line in lines))


def _embed(told: Sequence[str]) -> Any:
    """Returns the embeddings of sentences by MiniLM, which a process loads once."""
    from toyshift.policies.instructions import Instructions

    global _coder
    _coder = _coder or Instructions("minilm")
    return _coder(told)


_coder: Any = None


def things_of(env: GraspEnv, colours: Mapping[str, str]) -> list[SceneThing]:
    """Returns the objects on an environment's table, the target first; `colours` are those that toys are painted in."""
    placed = [(env.object, env.object_position()), *((obj, place) for obj, place, _ in env.others())]
    return [_thing(obj, place, colours) for obj, place in placed]


def _thing(obj: GraspObject, place: Any, colours: Mapping[str, str]) -> SceneThing:
    name, attributes = ((renamed(text, colours) if colours else text) for text in (obj.name, phrase(obj)))
    shown = tuple(colour for colour in COLOURS if colour in attributes.split())
    return SceneThing(name, attributes, shown, (float(place[0]), float(place[1])), obj.width)
