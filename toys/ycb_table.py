"""The table of the 78 YCB objects: measured masses, sizes and widths, and how ManiSkill scales them."""

from __future__ import annotations

import csv
import dataclasses
import functools
import re
from pathlib import Path

TABLE = Path(__file__).parent / "assets" / "ycb_table.csv"
# Objects of one shape but for their tip or their colour: who has seen one has seen the other.
SAME_SHAPE = {"043_phillips_screwdriver": "044_flat_screwdriver", "073-f_lego_duplo": "073-b_lego_duplo"}
_SINGULAR = {
    "cups": "cup", "colored wood blocks": "colored wood block", "colored wood block": "wood block",
    "lego duplo": "duplo brick",
}


@dataclasses.dataclass(frozen=True)
class YcbRow:
    """Facts of one object, in SI units.

    Attributes:
        id: official id, e.g. "065-a_cups".
        mass: measured [kg].
        box: edges of the smallest oriented box, ascending [m].
        mesh_volume: of the scan's material [m^3].
        hull_volume: of the scan's convex hull [m^3].
        min_width: smallest horizontal width when upright [m].
        scale: by which ManiSkill multiplies the size; 1 where ManiSkill leaves the object out.
        fit80: whether the table counts it as graspable by an 80 mm gripper, at ManiSkill's scale.
    """

    id: str
    mass: float
    box: tuple[float, float, float]
    mesh_volume: float
    hull_volume: float
    min_width: float
    scale: float
    fit80: bool

    @property
    def name(self) -> str:
        return display_name(self.id)


def display_name(object_id: str) -> str:
    """What an instruction calls an object: "025_mug" is a "mug", "065-a_cups" a "cup"."""
    text = re.sub(r"^\d+(-\w)?_", "", object_id).replace("_", " ").strip() or object_id
    return _SINGULAR.get(text, text)


def twin_id(name: str) -> str:
    """The official id that an object goes by in every set, also where its own says more, as in "025_mug_textured".

    Of objects of SAME_SHAPE it is the one's that stands for both; of what is no YCB object, the name itself.
    """
    own = next((row for row in ycb_table() if name == row or name.startswith(f"{row}_")), name)
    return SAME_SHAPE.get(own, own)


@functools.cache
def ycb_table() -> dict[str, YcbRow]:
    """The table by id, in the official order."""
    rows = {}
    with TABLE.open(encoding="utf-8", newline="") as handle:
        for raw in csv.DictReader(handle):
            a, b, c = (float(v) / 1000 for v in raw["obb"].split("x"))
            mass, width = float(raw["mass_g"]) / 1000, float(raw["min_horiz_width"]) / 1000
            mesh, hull = float(raw["mesh_cm3"]) * 1e-6, float(raw["hull_cm3"]) * 1e-6
            scale, fits = float(raw["ms_scale"] or 1.0), raw["fit80"] == "1"
            rows[raw["id"]] = YcbRow(raw["id"], mass, (a, b, c), mesh, hull, width, scale, fits)
    return rows
