"""ToyShift-1 stays: what its shifts come to and do, and the shapes of its household objects, by hashes.

The version's digest is of names and levels, and the ids of `ycb-like` are names; a toy's id is a hash of its shape. A
hash that differs here means another benchmark: give it another version, or take back what changed. Numbers are rounded,
so that a last bit of another library makes no other hash. Convex parts and rest poses of household objects are not in
it: they take minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from toyshift.core.files import json_hash
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.bench.versions import HOUSEHOLD, NEW, TOYSHIFT_1
from toyshift.envs import EnvConfig, GraspEnv, Look
from toyshift.envs.shifted.action_noise import ActionChannel
from toyshift.envs.shifted.appearance import write_appearance
from toyshift.envs.shifted.image_noise import noisy_image
from toyshift.envs.shifted.mask_noise import Sight, noisy_mask
from toyshift.envs.shifted.paint import texture_of
from toyshift.envs.shifted.varied_object import varied_object
from toyshift.envs.shifts import Shifts, Variation
from toyshift.toys import load_objects
from toyshift.toys.geometry.solid import mass_properties
from toyshift.toys.ycb_like.paint import PAINTS, Bands
from toyshift.toys.ycb_like.ycb_like_set import SHAPES, fitted
from toyshift.toys.ycb_table import ycb_table

EPISODES = range(4)
# shift -> hash of its values in these episodes, and of what they do
SHIFTED = {
    "": ("dc9b1b2c", "3c75d2d3"), "camera-azimuth=3": ("64a7ae64", "f9ea074f"),
    "camera-distance=3": ("55d330c6", "5b280142"), "light-intensity=3": ("b6173969", "8e0ef76c"),
    "light-colour=3": ("6df4fe5c", "8c2b2dd0"), "table-texture=3": ("9e77a4c3", "626d6beb"),
    "background=3": ("00fefae3", "f4148a1e"), "object-colour=3": ("590a898f", "0c03d9d8"),
    "object-size=3": ("b0f98894", "87d542e1"), "object-mass=3": ("08d28dfb", "a8c9d0fa"),
    "image-noise=3": ("0ff0cabb", "a4e6408e"), "action-latency=3": ("e534705c", "0eeee369"),
    "mask-outline=3": ("ac425e9b", "4025896e"),
}  # fmt: skip
# household object -> hash of its row of the table, colours, volume, lengths and radii of gyration
SHAPED = {
    "003_cracker_box": "940f37", "004_sugar_box": "eeeb4e", "005_tomato_soup_can": "4ab56b",
    "006_mustard_bottle": "69afa3", "007_tuna_fish_can": "5d2051", "008_pudding_box": "1e407b",
    "009_gelatin_box": "8974b3", "010_potted_meat_can": "75c1ac", "011_banana": "b3b33d", "012_strawberry": "1e232a",
    "013_apple": "92a6f7", "014_lemon": "51754d", "015_peach": "8eacb4", "016_pear": "e9ede6", "017_orange": "18b579",
    "018_plum": "bef3f2", "021_bleach_cleanser": "e41727", "030_fork": "82f892", "031_spoon": "835536",
    "032_knife": "877e3a", "035_power_drill": "9d231f", "038_padlock": "ba0993", "040_large_marker": "f85540",
    "042_adjustable_wrench": "516611", "043_phillips_screwdriver": "638bcb", "044_flat_screwdriver": "88b521",
    "048_hammer": "2289dc", "050_medium_clamp": "d45bd3", "055_baseball": "3b390a", "056_tennis_ball": "37a3a1",
    "057_racquetball": "e72b19", "058_golf_ball": "e0c4ae", "061_foam_brick": "59cd18", "062_dice": "5e3493",
    "065-a_cups": "bb66f7", "065-b_cups": "1e09a1", "065-c_cups": "64204f", "065-d_cups": "fdde6d",
    "065-e_cups": "ac6fa0", "065-f_cups": "1d427d", "070-b_colored_wood_blocks": "566f62",
    "071_nine_hole_peg_test": "e7552f", "072-b_toy_airplane": "129655", "072-c_toy_airplane": "c6ac55",
    "072-d_toy_airplane": "aa2e37", "072-e_toy_airplane": "7dcaf1", "073-a_lego_duplo": "cf92ef",
    "073-b_lego_duplo": "48f09e", "073-c_lego_duplo": "8872a1", "073-d_lego_duplo": "06ccb4",
    "073-e_lego_duplo": "28248f", "073-f_lego_duplo": "02b458", "073-g_lego_duplo": "222636",
    "077_rubiks_cube": "037acb",
}  # fmt: skip


def rounded(values: Any, digits: int = 6) -> Any:
    """Numbers as a list, in which no zero has a sign."""
    return (np.round(np.asarray(values, np.float64), digits) + 0.0).tolist()


def variation(shift: str, episode: int) -> Variation:
    """What the shift comes to in an episode of the benchmark, as the environment draws it."""
    return Shifts.parse(shift).draw(lambda name: episode_rng(TOYSHIFT_1.seed, episode, f"shift:{name}", "test"))


@pytest.fixture(scope="module")
def env() -> Iterator[GraspEnv]:
    made = GraspEnv(EnvConfig(objects=f"{NEW}?n=1", cameras=("front",)))
    made.reset(seed=TOYSHIFT_1.seed, options={"episode": 0})
    yield made
    made.close()


def done(env: GraspEnv, drawn: Variation, episode: int) -> dict[str, Any]:
    """What a variation makes of a scene, an object, an image, a mask and the way of actions."""
    write_appearance(env.scene, Look(), drawn)
    model, looks = env.scene.model, env.scene.looks
    front = model.camera("front")
    seen = {
        "lights": rounded([*model.light_diffuse.ravel(), *model.light_dir.ravel(), *model.vis.headlight.ambient]),
        "camera": rounded([*front.pos, *front.quat, *front.fovy]),
        "target": rounded(model.geom_rgba[looks.target_visuals]),
    }  # fmt: skip
    for name, materials in (("table", looks.table_materials), ("background", looks.background_materials)):
        texture = texture_of(SimpleNamespace(scene=env.scene), materials[0])  # type: ignore[arg-type]
        first, size = model.tex_adr[texture], model.tex_width[texture] * model.tex_height[texture] * 3
        seen[name] = json_hash(model.tex_data[first : first + size].tolist())
    toy = varied_object(env.objects[0], drawn)
    row, column = np.mgrid[0:48, 0:48]
    image = np.stack([5 * row, 5 * column, 128 + 0 * row], axis=-1).astype(np.uint8)
    disc = np.where((row - 20) ** 2 + 2 * (column - 26) ** 2 < 150, 1, 0).astype(np.uint8)
    sight = Sight(lambda name: episode_rng(TOYSHIFT_1.seed, episode, name, "test"), "front", 3, 0.3, 0 * disc, 0)
    return seen | {
        "object": rounded([toy.mass, *toy.inertia.ravel() * 1e3, *toy.mesh.extents, *toy.friction]),
        "image": noisy_image(image, drawn, episode_rng(TOYSHIFT_1.seed, episode, "noise", "test")).tolist(),
        "mask": noisy_mask(disc, drawn, sight).tolist(),
        "late": len(ActionChannel(drawn, env.action_contract, np.zeros(7), lambda step: None).waiting),  # type: ignore
    }


def test_what_a_shift_comes_to_and_does_stays(env: GraspEnv) -> None:
    found = {}
    for shift in dict.fromkeys(part.shift for part in TOYSHIFT_1.parts):
        drawn = [variation(shift, episode) for episode in EPISODES]
        values = [[rounded(list(one.values.values())), rounded(list(one.draws.values()))] for one in drawn]
        found[shift] = json_hash(values)[:8], json_hash([done(env, one, i) for i, one in enumerate(drawn)])[:8]
    assert found == SHIFTED


def test_the_environment_draws_shifts_as_is_said_here(env: GraspEnv) -> None:
    for episode in EPISODES[:2]:
        env.reset(seed=TOYSHIFT_1.seed, options={"episode": episode, "shift": "table-texture=3", "purpose": "test"})
        assert env.variation == variation("table-texture=3", episode)


def test_household_objects_keep_their_shapes() -> None:
    places = np.stack(np.meshgrid(*[np.linspace(-0.97, 0.97, 7)] * 3), axis=-1).reshape(-1, 3)
    found = {}
    for name in load_objects(HOUSEHOLD).ids:
        row, (colour, make) = ycb_table()[name], SHAPES[name]
        mesh = fitted(make(), row.box)
        volume, _, inertia = mass_properties(np.asarray(mesh.vertices), mesh.faces)
        paint = PAINTS.get(name)
        if callable(paint):
            paint = [rounded(paint(places, axis), 3) for axis in range(3)]
        looks = dataclasses.astuple(paint) if isinstance(paint, Bands) else paint
        measured = [1e6 * volume, *1e3 * mesh.extents, *np.sqrt(np.linalg.eigvalsh(inertia) / volume) * 1e3]
        found[name] = json_hash([dataclasses.astuple(row), colour, rounded(measured, 2), looks])[:6]  # [cm^3], [mm]
    assert found == SHAPED
