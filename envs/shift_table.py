"""The table of shift factors: what each changes, from which value to which end, whose range it is, what applies it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from toyshift.core.lazy import imported

LEVELS = 5  # level 0 is the training distribution, level k goes k/5 of the way to the end
# When a shift is applied, and to what; `value` is what its factor comes to in the episode:
#   object      (obj, value) -> obj                      the target, before it is loaded
#   scene       (extras, value) -> extras                what the scene is compiled with: `scene.build.Extras`
#   start       (start, value, rng) -> None              where things start: `shifted.start_state.Start`
#   appearance  (appearance, drawn) -> None              camera, lights, paint: `shifted.appearance`, `shifts.Drawn`
#   image       (image, value, rng) -> image             every camera's at every control step, (H, W, 3)
#   mask        (mask, value, sight) -> mask             likewise, (H, W): `shifted.mask_noise.Sight`
#   action      (channel, value) -> None                 actions on their way: `shifted.action_noise.ActionChannel`
When = Literal["object", "scene", "start", "appearance", "image", "mask", "action"]


@functools.cache
def _function(place: str) -> Callable[..., Any]:
    function: Callable[..., Any] = imported("toyshift.envs.shifted", place)
    return function


@dataclasses.dataclass(frozen=True)
class ShiftFactor:
    """One row of the table.

    Attributes:
        name: how it is written in a shift, e.g. "camera-azimuth".
        start: the training value, level 0.
        ends: the value at level 5; of two ends one is drawn per episode.
        unit: unit of the value; "1" for shares and factors.
        what: what changes, in words.
        apply: when -> "file:function" of `envs/shifted/` that applies it then; imported when it is first used.
        source: whose range it is; "ours" where nobody published one.
        late: whether it is applied after those of the same time that are not; else they are in the table's order.
        visual: whether it can be seen in the front camera's first image.
        star_gen: axis of STAR-Gen, our mapping (see below); "none" where none fits.
    """

    name: str
    start: float
    ends: tuple[float, ...]
    unit: str
    what: str
    apply: Mapping[When, str]
    source: str = "ours"
    late: bool = False
    visual: bool = True
    star_gen: str = "none"

    def at(self, level: int, share: float = 0.0) -> float:
        """Returns the value at a level; `share` in [0, 1) chooses the end."""
        end = self.ends[int(share * len(self.ends))]
        return self.start + level / LEVELS * (end - self.start) if level < LEVELS else end  # the ends exactly

    def function(self, when: When) -> Callable[..., Any]:
        """Returns what applies it at one of its times."""
        return _function(self.apply[when])


# Where ranges were read: COLOSSEUM (2402.08191), colosseum/assets/configs/insert_onto_square_peg.yaml; Factor World
# (2307.03659), cfgs/data.yaml; ImageNet-C (1903.12261), its severity 5. LIBERO-Plus (2510.13626) has levels 1-5 of
# camera, light, background, layout, noise and robot start, but publishes tasks per level rather than ranges.
# Axes are STAR-Gen's (2503.01238), by the names of its project page, each meant as there and in REALM (2512.19562),
# which uses the same. It changes the task, neither how the robot starts or moves nor what a policy is told beside
# images.
_ROWS = (
    ShiftFactor("camera-azimuth", 0.0, (-45.0, 45.0), "deg", "front camera turned about the table's vertical",
        {"appearance": "appearance:azimuth"}, "Factor World: azimuth range 45 deg wide", star_gen="V-VIEW"),
    ShiftFactor("camera-elevation", 0.0, (-15.0, 15.0), "deg", "front camera lowered or raised",
        {"appearance": "appearance:elevation"}, "Factor World: inclination range 15 deg wide", star_gen="V-VIEW"),
    ShiftFactor("camera-distance", 1.0, (1.25 / 1.75, 1.75 / 1.25), "1", "front camera's distance, as a factor",
        {"appearance": "appearance:distance"}, "Factor World: radius 1.25 to 1.75", star_gen="V-VIEW"),
    ShiftFactor("camera-fov", 0.0, (-12.0, 12.0), "deg", "front camera's field of view, added",
        {"appearance": "appearance:field_of_view"}, star_gen="V-VIEW"),
    ShiftFactor("light-direction", 0.0, (60.0,), "deg", "both lights tilted about a horizontal axis, which is drawn",
        {"appearance": "appearance:light_direction"}, star_gen="V-AUG"),
    ShiftFactor("light-intensity", 1.0, (0.3 / 0.55, 0.8 / 0.55), "1", "all lights, as a factor",
        {"appearance": "appearance:light_intensity"},
        "Factor World: diffuse 0.3 to 0.8; here 0.55 is the training value", star_gen="V-AUG"),
    ShiftFactor("light-colour", 0.0, (1.0,), "1", "lights blended from white to a drawn colour",
        {"appearance": "appearance:light_colour"}, "COLOSSEUM: each channel drawn alone; here the brightest stays 1",
        star_gen="V-AUG"),
    ShiftFactor("table-colour", 0.0, (1.0,), "1", "table's mean colour moved to a drawn one",
        {"appearance": "paint:table_colour"}, "COLOSSEUM: table_color 0.25 to 1 per channel", late=True,
        star_gen="V-SC"),
    ShiftFactor("table-texture", 0.0, (1.0,), "1", "table blended into a texture made for the episode",
        {"appearance": "paint:table_texture"}, "COLOSSEUM, Factor World: replaced; the blend is ours", star_gen="V-SC"),
    ShiftFactor("background", 0.0, (1.0,), "1", "floor and wall blended into a texture made for the episode",
        {"appearance": "paint:background"}, "COLOSSEUM: background_texture replaced; the blend is ours",
        star_gen="V-SC"),
    ShiftFactor("distractors", 0.0, (5.0,), "objects", "other toys on the table", {"scene": "distractors:bodies"},
        "ours; COLOSSEUM: 2 to each of a task's spawn areas", star_gen="V-SC"),
    ShiftFactor("object-colour", 0.0, (1.0,), "1", "object blended into a drawn colour",
        {"appearance": "paint:object_colour"}, "COLOSSEUM: object_color replaced; the blend is ours", star_gen="V-OBJ"),
    ShiftFactor("object-texture", 0.0, (1.0,), "1", "contrast of a pattern printed on the object",
        {"scene": "paint:printable", "appearance": "paint:object_texture"},
        "COLOSSEUM, Factor World: replaced; the contrast is ours", star_gen="V-OBJ"),
    ShiftFactor("object-size", 1.0, (0.7, 1.6), "1", "object's size, as a factor; its mass stays",
        {"object": "varied_object:resized"}, "Factor World: scale 0.7 to 1.6", star_gen="VB-MOBJ"),
    ShiftFactor("object-mass", 1.0, (0.2, 5.0), "1", "object's mass, as a factor",
        {"object": "varied_object:with_mass"}, visual=False, star_gen="B-HOBJ"),
    ShiftFactor("object-friction", 1.0, (0.3,), "1", "object's friction, as a factor",
        {"object": "varied_object:with_friction"}, visual=False, star_gen="B-HOBJ"),
    ShiftFactor("object-pose", 1.0, (2.0,), "1", "side of the square of start positions, as a factor",
        {"start": "start_state:spread"}, star_gen="VB-POSE"),
    ShiftFactor("robot-start", 0.0, (0.5,), "rad", "distance of the start joint angles from home, in a drawn direction",
        {"start": "start_state:arm"}),
    ShiftFactor("robot-colour", 0.0, (1.0,), "1", "robot blended into a drawn colour",
        {"appearance": "paint:robot_colour"}),
    ShiftFactor("image-noise", 0.0, (0.38,), "1", "standard deviation of pixel noise, of the full range",
        {"image": "image_noise:noisy"}, "ImageNet-C: Gaussian noise", late=True, star_gen="V-AUG"),
    ShiftFactor("image-blur", 0.0, (100 * 6 / 224,), "% of side", "standard deviation of Gaussian blur",
        {"image": "image_noise:blurred"}, "ImageNet-C: 6 of 224 pixels", star_gen="V-AUG"),
    ShiftFactor("image-jpeg", 100.0, (7.0,), "quality", "images pass through JPEG",
        {"image": "image_noise:through_jpeg"}, "ImageNet-C: quality 7", late=True, star_gen="V-AUG"),
    ShiftFactor("action-latency", 0.0, (0.5,), "s", "actions are executed late", {"action": "action_noise:latency"},
        visual=False),
    ShiftFactor("action-noise", 0.0, (0.3,), "1", "standard deviation of action noise, of the largest eef_delta step",
        {"action": "action_noise:noise"}, "ours; Factor World's experts: 0.001", visual=False),
    ShiftFactor("mask-erosion", 0.0, (0.8,), "inner radii", "target's mask loses a rim of this width, in all images",
        {"mask": "mask_noise:eroded"}, late=True),
    ShiftFactor("mask-dilation", 0.0, (1.0,), "inner radii", "target's mask gains a rim of this width, in all images",
        {"mask": "mask_noise:dilated"}, late=True),
    ShiftFactor("mask-dropout", 0.0, (0.8,), "1", "share of images in which the target's mask is missing, drawn anew "
        "in every image", {"mask": "mask_noise:dropped"}, late=True),
    ShiftFactor("mask-gap", 0.0, (0.8,), "1", "share of every 5 s for which the target's mask is missing, at one "
        "stretch", {"mask": "mask_noise:gone"}, late=True),
    ShiftFactor("mask-wrong", 0.0, (1.0,), "1", "share of episodes in which the mask shows another object, the same to "
        "the end; with none on the table the target's outline elsewhere", {"mask": "mask_noise:often_wrong"}),
    ShiftFactor("mask-jitter", 1.0, (0.3,), "IoU", "outline of the target's mask wrong, anew in every image; never off "
        "the target, area kept", {"mask": "mask_noise:jittered"}),
    ShiftFactor("mask-outline", 1.0, (0.3,), "IoU", "outline of the target's mask wrong, the same way for the episode; "
        "never off the target, area kept", {"mask": "mask_noise:outlined"}),
    ShiftFactor("mask-offset", 1.0, (0.3,), "IoU", "target's mask displaced, the same way for the episode; area kept",
        {"mask": "mask_noise:offset"}),
)
SHIFT_FACTORS = {row.name: row for row in _ROWS}
