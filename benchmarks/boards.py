"""How far a camera's pose, told from one picture of the board, is from where the camera stood: random views.

Views are drawn by the pinhole of the tests (640 x 480 pixels, noise of 2 of 255), from 20 to 75 degrees above the
table, 0.5 to 1 m away, turned any way, with a known lens of 450 to 800 pixels.

python benchmarks/boards.py --out results/boards.csv            300 views, a row each; seed 777 was not developed on
python benchmarks/boards.py --views 20 --seed 1                 fewer, others
"""

from __future__ import annotations

import argparse
import csv
import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from toyshift.core.errors import ConfigError
from toyshift.policies.cameras.board import CharucoBoard, camera_in_board, pose_spread, seen_board, tells_little
from toyshift.policies.runtime.framing import Lens
from toyshift.policies.runtime.turns import matrix_to_rotvec

DRAWING = Path(__file__).parents[1] / "tests" / "policies" / "cameras"  # its conftest draws
SIZE, CENTRE = (480, 640), np.array((0.36, -0.006, 0.002))  # of the image [pixels]; of the board on the table [m]
MILLIMETRES, DEGREES = 2.0, 0.3  # that are asked for


def measured(drawing: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Draws one view, and returns what it was and how far the pose that is told lies from it."""
    lying, board = drawing.board_on_table(0.45, 0.12, 0.002, -90.0), CharucoBoard()
    focal, height, way, distance, roll = rng.uniform((450, 20, -180, 0.5, -180), (800, 75, 180, 1.0, 180))
    up, around = math.radians(height), math.radians(way)
    at = CENTRE + np.array([*rng.uniform(-0.03, 0.03, 2), 0.0])
    away = np.array([math.cos(up) * math.cos(around), math.cos(up) * math.sin(around), math.sin(up)])
    lens = Lens(SIZE, (focal, focal), (SIZE[1] / 2, SIZE[0] / 2))
    camera = drawing.Pinhole(drawing.looking(at + distance * away, at, roll), lens)
    row: dict[str, Any] = {
        "focal_px": round(focal, 2), "elevation_deg": round(height, 2), "azimuth_deg": round(way, 2),
        "distance_m": round(distance, 4), "roll_deg": round(roll, 2),
    }  # fmt: skip
    try:
        seen = seen_board(camera.draw(lying, noise=2.0), board, "it")
    except ConfigError:
        return row | {"corners": 0, "off_mm": "", "off_deg": "", "told_uncertain": ""}
    found, error = camera_in_board(seen, lens)
    change = np.linalg.inv(camera.pose) @ lying @ found
    place = 1e3 * float(np.linalg.norm(change[:3, 3]))
    turn = math.degrees(float(np.linalg.norm(matrix_to_rotvec(change[:3, :3]))))
    uncertain = tells_little(*pose_spread(seen, lens, found, error))
    return row | {
        "corners": len(seen.pixels), "off_mm": round(place, 4), "off_deg": round(turn, 5), "told_uncertain": uncertain
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=300)
    parser.add_argument("--seed", type=int, default=777)
    parser.add_argument("--out", type=Path, help="CSV file of a row for each view")
    args = parser.parse_args()
    sys.path.insert(0, str(DRAWING))
    drawing = importlib.import_module("conftest")
    rng = np.random.default_rng(args.seed)
    rows = [measured(drawing, rng) for _ in tqdm(range(args.views), "views", unit="view")]
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    found = [row for row in rows if row["corners"]]
    sure = [row for row in found if not row["told_uncertain"]]
    beyond = [row for row in found if row["off_mm"] > MILLIMETRES or row["off_deg"] > DEGREES]
    print(f"{len(rows)} views, {len(rows) - len(found)} not found, {len(found) - len(sure)} told to be uncertain")
    told = sum(row["told_uncertain"] for row in beyond)
    print(f"beyond {MILLIMETRES} mm or {DEGREES} degrees: {len(beyond)}, told so: {told}")
    for name, chosen in (("all", found), ("not told to be uncertain", sure)):
        place, turn = ([row[key] for row in chosen] for key in ("off_mm", "off_deg"))
        print(f"{name}: median {np.median(place):.2f} mm, most {max(place):.2f} mm and {max(turn):.3f} degrees")


if __name__ == "__main__":
    main()
