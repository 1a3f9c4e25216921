"""Who drives the action: one path into a network is fed from another scene, and how far the action goes there is read.

The paths are the tokens on the target, the other tokens (the context, the robot among them), the state, and the
instruction of a network that is told one. Tokens at places that the target covers in either scene belong to the target,
so that all paths together are the whole scene. Single paths need not add up to it: the *rest* is what they leave of the
way, the *interaction* the squared distance of the sum of their moves from it. Pairs of scenes go both ways, which makes
the rest of two paths 0 however they interact (each then has its Shapley value).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from toyshift.core.arrays import Array, Indices
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.inside import STILL, Inner, Inside, acted, encoded, inside_of
from toyshift.diagnostics.statistics import Estimate, bootstrap_ratio
from toyshift.diagnostics.tables import interval
from toyshift.policies.network.policy import Policy
from toyshift.policies.network.views import SeenView

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "patching"
SHARE = "of the way to the other scene's action"
TARGET, CONTEXT, IMAGE, STATE, INSTRUCTION = "target's tokens", "context's tokens", "image", "state", "instruction"
REST, INTERACTION = "rest", "interaction"
SCENE = "another scene"
FEWEST = 4  # objects: two pairs of them, each of which has the other for its unrelated scenes


def paths_of(policy: Policy) -> tuple[str, ...]:
    """Returns the paths into a network; an image is one where its tokens are not the target's or the context's."""
    views: tuple[str, ...] = (TARGET, CONTEXT)
    if not policy.cameras:
        views = ()
    elif whole_images(policy):
        views = (IMAGE,)
    return (*views, STATE, *((INSTRUCTION,) if policy.conditioning is not None else ()))


def whole_images(policy: Policy) -> str:
    """Says why a network's tokens are not the target's or the context's; "" where they are."""
    if policy.config.pooling_part.picture == "crop":
        return "a crop around the target has no tokens of the target or the context: the image is one path"
    if any(policy.encoder_of(camera).class_only for camera in policy.cameras):
        return "a class token is of no place, so neither the target's nor the context's: the image is one path"
    return ""


def patched(base: Inner, other: Inner, path: str) -> Inner:
    """Returns looks in which one path comes from others."""
    if path == STATE:
        return dataclasses.replace(base, state=other.state)
    if path == INSTRUCTION:
        return dataclasses.replace(base, instruction=other.instruction)
    if path == IMAGE:
        return dataclasses.replace(base, seen=other.seen)
    seen, target = {}, {}
    for camera, own in base.seen.items():
        either = base.target[camera] | other.target[camera]  # (N, tokens)
        theirs = either if path == TARGET else ~either
        tokens = torch.where(theirs.unsqueeze(-1), other.seen[camera].tokens, own.tokens)
        coverage: Tensor = (other.seen[camera] if path == TARGET else own).coverage
        seen[camera] = SeenView(tokens, coverage, own.place)
        target[camera] = (other if path == TARGET else base).target[camera]
    return dataclasses.replace(base, seen=seen, target=target)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of looks, by their numbers: two that are compared, and two unrelated ones.

    Attributes:
        base: (M,) looks whose paths are fed from others.
        other: (M,) looks whose action is the way's end.
        third: (M,) looks that have nothing to do with either.
        fourth: (M,) likewise, of another object than the third where there is one.
        clusters: (M,) what is resampled as a whole: pairs that share no object with others.
    """

    base: Indices
    other: Indices
    third: Indices
    fourth: Indices
    clusters: Indices


def pairs_of(objects: Sequence[str], scenes: Indices, looks: Indices) -> Pairs | None:
    """Pairs objects two by two, and looks at their scenes of one number, both ways; None with too few objects.

    A pair of objects is met by no other pair, so that these pairs are independent; of an odd number the last is left.
    The third and fourth look of a pair are those of the next pair of objects.
    """
    names = list(dict.fromkeys(objects))
    if len(names) < FEWEST:
        return None
    places: dict[tuple[str, int, int], int] = {}  # object, number of its scene, look -> number
    order: dict[str, list[int]] = {name: [] for name in names}
    for i, (name, scene, look) in enumerate(zip(objects, scenes.tolist(), looks.tolist(), strict=True)):
        if scene not in order[name]:
            order[name].append(scene)
        places[name, order[name].index(scene), look] = i
    couples = [(names[i], names[i + 1]) for i in range(0, len(names) - 1, 2)]
    rows = []
    for cluster, couple in enumerate(couples):
        strangers = couples[(cluster + 1) % len(couples)]
        for (name, turn, look), i in places.items():
            if name not in couple:
                continue
            other = places.get((couple[1 - couple.index(name)], turn, look))
            third, fourth = (places.get((stranger, 0, look)) for stranger in strangers)
            if other is not None and third is not None and fourth is not None:
                rows.append((i, other, third, fourth, cluster))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    pairs = Pairs(*columns)
    return pairs if len(set(pairs.clusters.tolist())) > 1 else None


def patching(inside: Inside, seed: int = 0) -> tuple[Finding, ...]:
    """Returns which path carries the action from one scene to another, and from a look to one with a factor changed.

    The share of a path is sum <a(patched) - a(base), a(other) - a(base)> / sum |a(other) - a(base)|^2. Beside it stands
    what the path does where nothing is to be carried. Between scenes: a(patched by a third) - a(patched by a fourth) in
    the place of a(patched) - a(base); a third against the base would not do, as both differences would hold the base,
    and half of any path would look like it. Between looks: the base's own second draw.

    Args:
        inside: network and looks.
        seed: of the bootstrap.
    """
    policy, paths = inside.policy, paths_of(inside.policy)
    names = set(inside.objects)
    base = encoded(policy, inside.shown[""])
    pairs = pairs_of(inside.objects, inside.scenes, inside.looks)
    found = []
    if pairs is None:
        why = f"it takes {FEWEST} objects, two pairs that have nothing to do with each other; there are {len(names)}"
        found.append(undefined(NAME, SHARE, why, n=len(names), subject=_subject(inside, SCENE)))
    else:
        own, other, third, fourth = (base.take(at) for at in (pairs.base, pairs.other, pairs.third, pairs.fourth))
        unrelated = {
            path: acted(policy, patched(own, third, path)) - acted(policy, patched(own, fourth, path)) for path in paths
        }
        found.append(_found(inside, SCENE, own, other, pairs.clusters.tolist(), unrelated, seed))
    again, start = encoded(policy, inside.again), acted(policy, base)
    repeated = {path: acted(policy, patched(base, again, path)) - start for path in paths}
    for factor in inside.factors:
        if len(names) < 2:
            why = "of one object nothing is known of others"
            found.append(undefined(NAME, SHARE, why, n=1, subject=_subject(inside, factor)))
            continue
        changed = encoded(policy, inside.shown[factor])
        found.append(_found(inside, factor, base, changed, inside.objects, repeated, seed))
    return tuple(found)


def _subject(inside: Inside, kind: str) -> str:
    return f"{inside.name}, {kind}" if inside.name else kind


def _found(
    inside: Inside, kind: str, own: Inner, theirs: Inner, clusters: Sequence[Any], unrelated: Mapping[str, Array],
    seed: int,
) -> Finding:
    policy, subject = inside.policy, _subject(inside, kind)
    start = acted(policy, own)
    way = acted(policy, theirs) - start  # (M, K * A)
    length = (way**2).sum(axis=1)
    size = math.sqrt(length.mean() / way.shape[1])
    units = len(set(clusters))
    if size < STILL:
        what = f"{kind.replace('_', ' ')} hardly moves the action ({size:.3f} standard deviations)"
        return undefined(NAME, SHARE, f"{what}: there is nothing to carry", n=units, subject=subject)

    def share(moved: Array) -> Estimate:
        return bootstrap_ratio((moved * way).sum(axis=1), length, clusters, seed=seed)

    moves = {path: acted(policy, patched(own, theirs, path)) - start for path in unrelated}
    shares = {path: share(moved) for path, moved in moves.items()}
    nulls = {path: share(moved) for path, moved in unrelated.items()}
    left = way - sum(moves.values())
    both = {REST: share(left), INTERACTION: bootstrap_ratio((left**2).sum(axis=1), length, clusters, seed=seed)}
    lines: list[dict[str, Any]] = []
    for path, one in {**shares, **both}.items():
        null = nulls.get(path, Estimate(math.nan, math.nan, math.nan, 0))
        figures = {"share": one.value, "low": one.low, "high": one.high}
        lines.append({"path": path, **figures, "null": null.value, "null low": null.low, "null high": null.high})
    asked = next(iter(shares)) if kind == SCENE or CONTEXT not in shares else CONTEXT
    what = "pairs of objects" if kind == SCENE else "objects"
    few = too_few(units, what)
    verdict, card = _verdict(kind, shares, nulls, both[INTERACTION])
    if few:
        verdict, card = f"too few {what} to tell who drives the action", ""
    return Finding(
        name=NAME, subject=subject, value=shares[asked], unit=f"{SHARE}, by the {asked}", null=nulls[asked].value,
        verdict=verdict, card=card, table=tuple(lines), caveats=(*few, *_caveats(policy, size, units)),
    )  # fmt: skip


def _verdict(
    kind: str, shares: Mapping[str, Estimate], nulls: Mapping[str, Estimate], together: Estimate
) -> tuple[str, str]:
    """Returns a verdict and the line for a card."""
    what = "the action of another scene" if kind == SCENE else f"a changed {kind.replace('_', ' ')}"
    path, most = max(shares.items(), key=lambda item: item[1].value)
    span = f"{most.value:.2f} {interval(most.low, most.high)} of the way"
    if most.low <= max(nulls[path].high, 0.0):
        return f"no path by itself is shown to carry {what} ({path}: {span})", ""
    if most.low > 0.5:
        said = f"{what} comes in by the {path} ({span})"
    else:
        others = ", ".join(f"{name} {one.value:.2f}" for name, one in shares.items() if name != path)
        said = f"{what} comes in by several paths, most of it by the {path} ({span}; {others})"
    if together.low > 0.25:
        said += f"; the paths act together (interaction {together.value:.2f})"
    return said, said


def _caveats(policy: Policy, size: float, units: int) -> tuple[str, ...]:
    notes = [f"the way is {size:.2f} standard deviations of an action long; {units} groups that are resampled"]
    if not policy.cameras:
        return (*notes, "it looks through no camera")
    if whole := whole_images(policy):
        return (*notes, whole)
    notes.append("the robot is of the context; tokens are exchanged where the target lies in either scene")
    if not policy.config.masks_attention:
        notes.append("an encoder's tokens know something of their surroundings: what is the target's is so in part")
    return tuple(notes)


def patching_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder."""
    inside = inside_of(asked)
    if isinstance(inside, str):
        return Findings((undefined(NAME, SHARE, inside, subject=asked.policy),))
    return Findings(patching(inside, asked.seed))
