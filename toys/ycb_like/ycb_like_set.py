"""The object set `ycb-like`: shapes built here to the measured sizes and masses of the YCB objects; no scan is used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
import trimesh

from toyshift.core.files import content_hash, json_hash
from toyshift.toys.building import build_in_processes
from toyshift.toys.geometry.decompose import convex_parts
from toyshift.toys.geometry.rest import compute_rest_poses
from toyshift.toys.geometry.solid import Manifold, manifold_to_trimesh, mass_properties
from toyshift.toys.grammar import Term, check_variant
from toyshift.toys.model import GraspObject, VisualMesh
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.store import cached, store_path
from toyshift.toys.ycb_like import bricks, cutlery, kitchen, shapes, things, tools, vessels
from toyshift.toys.ycb_like.colours import BLACK, BLUE, GREEN, ORANGE, RED, STEEL, WHITE, WOOD, YELLOW, Colour
from toyshift.toys.ycb_like.paint import PAINTS, Bands, banded, painted
from toyshift.toys.ycb_table import ycb_table

VERSION = "ycb-like-7"  # change it with any shape
FIT = (0.0015, 0.015)  # edges of the oriented box may be off by this [m] or by this share, whichever is larger
CUP_COLOURS = (BLUE, GREEN, RED, YELLOW, ORANGE, (0.55, 0.3, 0.6), BLUE, GREEN, RED, YELLOW)
# Outer radius of the wall, radius of the lip, height [mm].
CUPS = {
    "a": (23.6, 28.2, 61.7), "b": (25.8, 30.3, 64.2), "c": (28.1, 32.1, 66.8), "d": (30.4, 35.0, 69.3),
    "e": (32.7, 37.3, 71.2), "f": (35.0, 40.1, 72.3), "g": (37.4, 43.0, 74.2), "h": (39.6, 45.5, 75.2),
    "i": (41.9, 48.4, 75.7), "j": (44.2, 51.3, 75.4),
}
F = functools.partial

# One row an object: its colour, and what builds it in millimetres with z up.
SHAPES: dict[str, tuple[Colour, Callable[[], Manifold]]] = {
    "002_master_chef_can": (BLUE, F(kitchen.can, 102, 140)),
    "003_cracker_box": (RED, F(shapes.box, 72, 164, 214, 2)),
    "004_sugar_box": (YELLOW, F(shapes.box, 45, 92, 176, 2)),
    "005_tomato_soup_can": (RED, F(kitchen.can, 67.5, 102)),
    "006_mustard_bottle": (YELLOW, kitchen.mustard_bottle),
    "007_tuna_fish_can": ((0.3, 0.45, 0.6), F(kitchen.can, 85, 33)),
    "008_pudding_box": ((0.5, 0.3, 0.2), F(shapes.box, 113, 90, 38, 2)),
    "009_gelatin_box": ((0.8, 0.25, 0.2), F(shapes.box, 73, 89, 30, 2)),
    "010_potted_meat_can": (BLUE, kitchen.potted_meat_can),
    "011_banana": (YELLOW, kitchen.banana),
    "012_strawberry": (RED, kitchen.strawberry),
    "013_apple": (RED, kitchen.apple),
    "014_lemon": (YELLOW, kitchen.lemon),
    "015_peach": ((0.9, 0.5, 0.3), kitchen.peach),
    "016_pear": ((0.65, 0.7, 0.2), kitchen.pear),
    "017_orange": (ORANGE, F(shapes.ellipsoid, 72, 72, 71)),
    "018_plum": ((0.4, 0.12, 0.25), F(shapes.ellipsoid, 56, 53, 53)),
    "019_pitcher_base": (BLUE, vessels.pitcher),
    "021_bleach_cleanser": (WHITE, kitchen.bleach_bottle),
    "022_windex_bottle": ((0.2, 0.5, 0.75), kitchen.windex_bottle),
    "024_bowl": (RED, vessels.bowl),
    "025_mug": (RED, vessels.mug),
    "026_sponge": ((0.85, 0.8, 0.3), kitchen.sponge),
    "028_skillet_lid": (STEEL, vessels.skillet_lid),
    "029_plate": (RED, vessels.plate),
    "030_fork": (STEEL, cutlery.fork),
    "031_spoon": (STEEL, cutlery.spoon),
    "032_knife": (STEEL, cutlery.knife),
    "033_spatula": (BLACK, cutlery.spatula),
    "035_power_drill": (ORANGE, tools.power_drill),
    "036_wood_block": (WOOD, F(shapes.box, 90, 89, 206, 1)),
    "037_scissors": (ORANGE, tools.scissors),
    "038_padlock": (STEEL, tools.padlock),
    "040_large_marker": (BLACK, tools.marker),
    "042_adjustable_wrench": (STEEL, tools.adjustable_wrench),
    "043_phillips_screwdriver": (ORANGE, F(tools.screwdriver, False)),
    "044_flat_screwdriver": (ORANGE, F(tools.screwdriver, True)),
    "048_hammer": ((0.55, 0.35, 0.2), tools.hammer),
    "050_medium_clamp": (BLACK, tools.medium_clamp),
    "051_large_clamp": (BLACK, tools.large_clamp),
    "052_extra_large_clamp": (BLACK, tools.large_clamp),
    "053_mini_soccer_ball": (WHITE, F(kitchen.ridged_ball, 125, 0.8, 5)),
    "054_softball": ((0.85, 0.9, 0.25), F(kitchen.ridged_ball, 95, 0.6, 2)),
    "055_baseball": (WHITE, F(kitchen.ridged_ball, 72.5, 0.5, 2)),
    "056_tennis_ball": ((0.75, 0.85, 0.25), F(kitchen.ridged_ball, 67, 0.5, 2)),
    "057_racquetball": (BLUE, F(shapes.ball, 28)),
    "058_golf_ball": (WHITE, F(things.dimpled_ball, 42.5)),
    "059_chain": (STEEL, tools.chain),
    "061_foam_brick": ((0.75, 0.2, 0.15), things.foam_brick),
    "062_dice": (WHITE, things.die),
    "063-a_marbles": ((0.3, 0.5, 0.55), things.marbles),
    "063-b_marbles": ((0.3, 0.5, 0.55), F(shapes.ball, 17.4)),
    **{f"065-{k}_cups": (colour, F(vessels.cup, *CUPS[k])) for k, colour in zip(CUPS, CUP_COLOURS, strict=True)},
    "070-a_colored_wood_blocks": (WOOD, things.block_box),
    "070-b_colored_wood_blocks": (GREEN, F(shapes.box, 26, 26, 26, 1.5)),
    "071_nine_hole_peg_test": (WHITE, things.peg_test),
    "072-a_toy_airplane": (YELLOW, bricks.airplane),
    "072-b_toy_airplane": (RED, bricks.airplane_tail),
    "072-c_toy_airplane": (GREEN, F(bricks.bolt, True)),
    "072-d_toy_airplane": (BLUE, F(bricks.bolt, False)),
    "072-e_toy_airplane": (RED, F(bricks.bolt, False)),
    "073-a_lego_duplo": (GREEN, bricks.rounded_brick),
    "073-b_lego_duplo": (RED, F(bricks.brick, 2, 2, 38)),
    "073-c_lego_duplo": (BLUE, F(bricks.brick, 4, 2, 19)),
    "073-d_lego_duplo": (YELLOW, F(bricks.brick, 3, 2, 38)),
    "073-e_lego_duplo": (RED, bricks.arch_brick),
    "073-f_lego_duplo": (GREEN, F(bricks.brick, 2, 2, 38)),
    "073-g_lego_duplo": (BLUE, bricks.brick_car),
    "077_rubiks_cube": (BLACK, things.rubiks_cube),
}


def fitted(body: Manifold, wanted: tuple[float, float, float]) -> trimesh.Trimesh:
    """A body in millimetres, scaled where needed until the edges of its smallest oriented box are the wanted ones [m].

    A body that is within FIT already stays as it was measured: stretching a bowl by 1 % moves its wall by more than its
    thickness. Stretching along the box's axes can turn the smallest box, so this is repeated a few times. The body
    stays upright, with its centre of volume at the origin.
    """
    mesh = manifold_to_trimesh(body)
    points, goal = np.asarray(mesh.vertices) / 1000, np.sort(wanted)
    for _ in range(6):
        found = trimesh.Trimesh(points, mesh.faces, process=False).bounding_box_oriented.primitive
        axes, extents = np.asarray(found.transform)[:3, :3], np.asarray(found.extents)
        if (np.abs(np.sort(extents) - goal) <= np.maximum(FIT[0], FIT[1] * goal)).all():
            break
        factor = np.empty(3)
        factor[np.argsort(extents)] = goal / np.sort(extents)
        points = points @ (axes * factor) @ axes.T
    _, centre, _ = mass_properties(points, mesh.faces)
    return trimesh.Trimesh(points - centre, mesh.faces, process=False)


def build_object(object_id: str) -> GraspObject:
    """Builds one object: shape, convex parts, inertia at uniform density from the table's mass, rest poses."""
    row = ycb_table()[object_id]
    colour, make = SHAPES[object_id]
    mesh = fitted(make(), row.box)
    volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
    paint, rgba = PAINTS.get(object_id), (*colour, 1.0)
    if paint is None:
        points, faces = np.asarray(mesh.vertices, dtype=np.float32), np.asarray(mesh.faces, dtype=np.int32)
        visual = VisualMesh(points, faces, rgba=rgba)
    else:
        visual = banded(mesh, paint, rgba) if isinstance(paint, Bands) else painted(mesh, paint, rgba)
    poses = compute_rest_poses(mesh.vertices, com, upright=True)
    return GraspObject(
        id=object_id, name=row.name, source="ycb-like", mesh=mesh, geoms=(), parts=convex_parts(mesh), visual=visual,
        mass=row.mass, com=com, inertia=inertia * (row.mass / volume), rest_poses=poses, info={"volume": volume},
    )


def object_key(object_id: str) -> str:
    """Name of the built object in the cache."""
    row = repr(ycb_table()[object_id]).removeprefix("Ycb")  # caches are older than the name YcbRow
    return content_hash(VERSION, object_id, row)


def ensure_built(_: str, object_id: str) -> None:
    """Builds an object into the cache; what a worker process runs."""
    cached(object_key(object_id), lambda: build_object(object_id))


def ycb_like_set(term: Term) -> ObjectSet:
    """All objects of the YCB table as shapes built here; `@maniskill` shrinks the nine that ManiSkill shrinks.

    An object is built when it is first asked for; who goes through the whole set has all of them built at once.
    """
    check_variant(term, ["maniskill"])
    table = ycb_table()
    keys = {name: object_key(name) for name in table if name in SHAPES}

    def build(names: Iterable[str]) -> None:
        missing = [name for name in names if not store_path(keys[name]).exists()]
        if missing:
            place = "toyshift.toys.ycb_like.ycb_like_set:ensure_built"
            build_in_processes([[place, "", name] for name in missing], "building ycb-like", few_here=False)

    def load(name: str) -> GraspObject:
        build([name])
        found = cached(keys[name], lambda: build_object(name))
        return found.scaled(table[name].scale) if term.variant else found

    fingerprint = json_hash(["ycb-like", term.variant, keys])
    return ObjectSet(term.text, tuple(keys), fingerprint, load, prepare=build)
