"""The table of shift factors: what each one changes, from which training value to which end, and whose range that is."""

from __future__ import annotations

import dataclasses

LEVELS = 5  # level 0 is the training distribution, level k goes k/5 of the way to the end


@dataclasses.dataclass(frozen=True)
class Factor:
    """One row of the table.

    Attributes:
        name: how it is written in a shift, e.g. "camera-azimuth".
        start: the training value, level 0.
        ends: the value at level 5; of two ends one is drawn per episode.
        unit: unit of the value; "1" for shares and factors.
        what: what changes, in words.
        source: whose range it is; "ours" where nobody published one.
        visual: whether it can be seen in the front camera's first image.
    """

    name: str
    start: float
    ends: tuple[float, ...]
    unit: str
    what: str
    source: str = "ours"
    visual: bool = True

    def at(self, level: int, share: float = 0.0) -> float:
        """Returns the value at a level; `share` in [0, 1) chooses the end."""
        end = self.ends[int(share * len(self.ends))]
        return self.start + level / LEVELS * (end - self.start) if level < LEVELS else end  # the ends exactly


# Where ranges were read: COLOSSEUM (2402.08191), colosseum/assets/configs/insert_onto_square_peg.yaml; Factor World
# (2307.03659), cfgs/data.yaml; ImageNet-C (1903.12261), its severity 5. LIBERO-Plus (2510.13626) has levels 1-5 of camera,
# light, background, layout, noise and robot start, but publishes tasks per level rather than ranges.
_ROWS = (
    Factor("camera-azimuth", 0.0, (-45.0, 45.0), "deg", "front camera turned about the table's vertical", "Factor World: azimuth range 45 deg wide"),
    Factor("camera-elevation", 0.0, (-15.0, 15.0), "deg", "front camera lowered or raised", "Factor World: inclination range 15 deg wide"),
    Factor("camera-distance", 1.0, (1.25 / 1.75, 1.75 / 1.25), "1", "front camera's distance, as a factor", "Factor World: radius 1.25 to 1.75"),
    Factor("camera-fov", 0.0, (-12.0, 12.0), "deg", "front camera's field of view, added"),
    Factor("light-direction", 0.0, (60.0,), "deg", "both lights tilted about a horizontal axis, which is drawn"),
    Factor("light-intensity", 1.0, (0.3 / 0.55, 0.8 / 0.55), "1", "all lights, as a factor", "Factor World: diffuse 0.3 to 0.8; here 0.55 is the training value"),
    Factor("light-colour", 0.0, (1.0,), "1", "lights blended from white to a drawn colour", "COLOSSEUM: each channel drawn alone; here the brightest stays 1"),
    Factor("table-colour", 0.0, (1.0,), "1", "table's mean colour moved to a drawn one", "COLOSSEUM: table_color 0.25 to 1 per channel"),
    Factor("table-texture", 0.0, (1.0,), "1", "table blended into a texture made for the episode", "COLOSSEUM, Factor World: replaced; the blend is ours"),
    Factor("background", 0.0, (1.0,), "1", "floor and wall blended into a texture made for the episode", "COLOSSEUM: background_texture replaced; the blend is ours"),
    Factor("distractors", 0.0, (5.0,), "objects", "other toys on the table", "ours; COLOSSEUM: 2 to each of a task's spawn areas"),
    Factor("object-colour", 0.0, (1.0,), "1", "object blended into a drawn colour", "COLOSSEUM: object_color replaced; the blend is ours"),
    Factor("object-texture", 0.0, (1.0,), "1", "contrast of a pattern printed on the object", "COLOSSEUM, Factor World: replaced; the contrast is ours"),
    Factor("object-size", 1.0, (0.7, 1.6), "1", "object's size, as a factor; its mass stays", "Factor World: scale 0.7 to 1.6"),
    Factor("object-mass", 1.0, (0.2, 5.0), "1", "object's mass, as a factor", "ours", False),
    Factor("object-friction", 1.0, (0.3,), "1", "object's friction, as a factor", "ours", False),
    Factor("object-pose", 1.0, (2.0,), "1", "side of the square of start positions, as a factor"),
    Factor("robot-start", 0.0, (0.5,), "rad", "distance of the start joint angles from home, in a drawn direction"),
    Factor("robot-colour", 0.0, (1.0,), "1", "robot blended into a drawn colour"),
    Factor("image-noise", 0.0, (0.38,), "1", "standard deviation of pixel noise, of the full range", "ImageNet-C: Gaussian noise"),
    Factor("image-blur", 0.0, (100 * 6 / 224,), "% of side", "standard deviation of Gaussian blur", "ImageNet-C: 6 of 224 pixels"),
    Factor("image-jpeg", 100.0, (7.0,), "quality", "images pass through JPEG", "ImageNet-C: quality 7"),
    Factor("action-latency", 0.0, (0.5,), "s", "actions are executed late", "ours", False),
    Factor("action-noise", 0.0, (0.3,), "1", "standard deviation of action noise, of the largest eef_delta step", "ours; Factor World's experts: 0.001", False),
    Factor("mask-erosion", 0.0, (0.8,), "inner radii", "target's mask loses a rim of this width"),
    Factor("mask-dilation", 0.0, (1.0,), "inner radii", "target's mask gains a rim of this width"),
    Factor("mask-dropout", 0.0, (0.8,), "1", "share of images in which the target's mask is missing"),
    Factor("mask-wrong", 0.0, (1.0,), "1", "share of episodes in which the mask shows something else"),
    Factor("mask-iou", 1.0, (0.3,), "IoU", "target's mask made worse until it overlaps the true one so much"),
)
SHIFT_FACTORS: dict[str, Factor] = {row.name: row for row in _ROWS}
MAX_DISTRACTORS = round(SHIFT_FACTORS["distractors"].ends[0])
