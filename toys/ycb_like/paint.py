"""What the YCB-like shapes look like: colours and prints computed for six views, none taken from a photograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import trimesh

from toyshift.core.arrays import Array
from toyshift.toys.model import RGBA, VisualMesh
from toyshift.toys.ycb_like.colours import BLACK, BLUE, BROWN, GREEN, ORANGE, RED, STEEL, WHITE, WOOD, YELLOW, Colour

Rule = Callable[[Array, int], Array]
"""Takes places (n, 3) in the shape's box, -1..1 along each axis, and the view's axis; gives colours (n, 3), 0..1."""


@dataclasses.dataclass(frozen=True)
class Bands:
    """Bands of plain colour, cut exactly: (upper end, colour) each, from -1 up to 1 along an axis of a shape's box."""

    axis: int
    bands: tuple[tuple[float, Colour], ...]


SHARP = 0.7  # edges with a larger angle are drawn sharp [rad]
TILE = 64  # pixels of one view's edge
MARGIN = 2 / TILE  # of a view, so that minified views do not bleed into each other
PLANES = ((1, 2), (0, 2), (0, 1))  # the axes seen in a view along x, y, z


def banded(mesh: trimesh.Trimesh, paint: Bands, rgba: RGBA) -> VisualMesh:
    """The shape cut into bands, each of one colour."""
    middle, half = mesh.bounds.mean(axis=0), mesh.extents / 2
    creased = trimesh.graph.smooth_shade(mesh, angle=SHARP, facet_minarea=None)  # renderers smooth over shared vertices
    normal = np.eye(3)[paint.axis]
    lower, count = -np.inf, len(paint.bands)
    vertices, faces, uv = [], [], []
    size = 0
    for k, (upper, _) in enumerate(paint.bands):
        points, triangles = np.asarray(creased.vertices), np.asarray(creased.faces)
        for end, sign in ((lower, 1.0), (upper if k + 1 < count else np.inf, -1.0)):
            if np.isfinite(end):
                place = middle + end * half * normal
                points, triangles, _ = trimesh.intersections.slice_faces_plane(points, triangles, sign * normal, place)
        vertices.append(points)
        faces.append(triangles + size)
        uv.append(np.tile([0.5, (k + 0.5) / count], (len(points), 1)))
        size += len(points)
        lower = upper
    colours = np.array([[colour] for _, colour in reversed(paint.bands)])  # row 0 is the top
    image = np.round(255 * colours.repeat(8, axis=0).repeat(8, axis=1)).astype(np.uint8)
    points, places = (np.concatenate(one).astype(np.float32) for one in (vertices, uv))
    return VisualMesh(points, np.concatenate(faces).astype(np.int32), places, image, rgba)


def painted(mesh: trimesh.Trimesh, rule: Rule, rgba: RGBA) -> VisualMesh:
    """The shape with a texture: each face shows the view along the axis nearest to its normal.

    Args:
        mesh: the shape [m].
        rule: colours of places.
        rgba: colour where textures are off.
    """
    low, high = mesh.bounds
    places = (np.asarray(mesh.vertices) - low) / (high - low)
    normals = np.asarray(mesh.face_normals)
    axis = np.argmax(np.abs(normals), axis=1)
    view = 2 * axis + (normals[np.arange(len(axis)), axis] > 0)
    keys, faces = np.unique(np.asarray(mesh.faces) * 6 + view[:, None], return_inverse=True)
    vertex, view = np.divmod(keys, 6)
    planes = np.array(PLANES)[view // 2]  # (n, 2)
    inside = MARGIN + (1 - 2 * MARGIN) * np.take_along_axis(places[vertex], planes, axis=1)
    uv = (inside + np.column_stack([view % 3, view // 3])) / (3, 2)
    image = np.zeros((2 * TILE, 3 * TILE, 3), dtype=np.uint8)
    line = (((np.arange(TILE) + 0.5) / TILE - MARGIN) / (1 - 2 * MARGIN) * 2 - 1).clip(-1, 1)
    for k in range(6):
        spots = np.full((TILE, TILE, 3), 1.0 if k % 2 else -1.0)
        spots[..., PLANES[k // 2][0]], spots[..., PLANES[k // 2][1]] = np.meshgrid(line, line)
        colours = rule(spots.reshape(-1, 3), k // 2).reshape(TILE, TILE, 3)
        row, column = TILE * (k // 3), TILE * (k % 3)
        image[row : row + TILE, column : column + TILE] = np.round(255 * colours.clip(0, 1)).astype(np.uint8)
    points, triangles = np.asarray(mesh.vertices[vertex], dtype=np.float32), faces.reshape(-1, 3).astype(np.int32)
    # Row 0 of the image is the top, where v is 1.
    return VisualMesh(points, triangles, uv.astype(np.float32), np.ascontiguousarray(image[::-1]), rgba)


def _plain(p: Array, colour: Colour) -> Array:
    return np.tile(np.asarray(colour), (len(p), 1))


def _print(p: Array, across: int, up: int, out: Array, ink: Colour, low: float, high: float) -> None:
    """Writes lines of ragged blocks, like print seen from afar, between two heights."""
    row = np.floor((p[:, up] - low) / (high - low) * 5)
    word = np.floor(p[:, across] * 7 + 2 * row)
    blocks = (np.sin(12.9898 * word + 78.233 * row) * 43758.5453) % 1 > 0.35
    between = (p[:, up] > low) & (p[:, up] < high) & ((p[:, up] - low) / (high - low) * 5 % 1 < 0.6)
    out[between & blocks & (np.abs(p[:, across]) < 0.75)] = ink


def label(
    body: Colour, band: Colour, ink: Colour, ends: Colour, low: float = -0.3, high: float = 0.45, rim: float = 0.93
) -> Rule:
    """A can or bottle: a printed band around z, ends of another colour beyond `rim`."""

    def rule(p: Array, axis: int) -> Array:
        out = _plain(p, body)
        if axis == 2:
            return _plain(p, ends)
        out[(p[:, 2] > low) & (p[:, 2] < high)] = band
        _print(p, 1 - axis, 2, out, ink, low + 0.1, high - 0.1)
        out[np.abs(p[:, 2]) > rim] = ends
        return out

    return rule


def carton(body: Colour, panel: Colour, ink: Colour, front: int) -> Rule:
    """A printed box: a panel with lines of print on the two faces along `front`, a stripe around the others."""

    def rule(p: Array, axis: int) -> Array:
        out = _plain(p, body)
        across, up = PLANES[axis]
        if axis == front:
            out[(np.abs(p[:, across]) < 0.8) & (p[:, up] > -0.1) & (p[:, up] < 0.75)] = panel
            _print(p, across, up, out, ink, 0.0, 0.65)
            out[(p[:, across] ** 2 + (p[:, up] + 0.5) ** 2) < 0.09] = panel
        else:
            out[np.abs(p[:, up]) < 0.25] = panel
        return out

    return rule


def _on_ball(p: Array, axis: int) -> Array:
    """Places of a view moved onto the unit ball."""
    out = p.copy()
    first, second = PLANES[axis]
    out[:, axis] *= np.sqrt(np.maximum(0, 1 - p[:, first] ** 2 - p[:, second] ** 2))
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def seam(body: Colour, line: Colour, width: float = 0.06) -> Rule:
    """The closed seam of a tennis ball or a baseball."""

    def rule(p: Array, axis: int) -> Array:
        q = _on_ball(p, axis)
        out = _plain(p, body)
        out[np.abs(q[:, 2] - 0.9 * (q[:, 0] ** 2 - q[:, 1] ** 2)) < width] = line
        return out

    return rule


def football(p: Array, axis: int) -> Array:
    """White with twelve dark patches, at the corners of an icosahedron."""
    golden = (1 + 5**0.5) / 2
    corners = [np.roll([0, a, b * golden], k) for a in (-1, 1) for b in (-1, 1) for k in range(3)]
    out = _plain(p, WHITE)
    out[(_on_ball(p, axis) @ (np.array(corners) / np.hypot(1, golden)).T).max(axis=1) > 0.93] = BLACK
    return out


def stickers(p: Array, axis: int) -> Array:
    """Six faces of nine coloured squares on black."""
    sides = np.array([ORANGE, RED, GREEN, BLUE, YELLOW, WHITE])
    out = sides[2 * axis + (p[:, axis] > 0)]
    cell = (p[:, list(PLANES[axis])] + 1) * 1.5 % 1
    out[(np.abs(cell - 0.5) > 0.42).any(axis=1)] = BLACK
    return np.asarray(out)


def dots(p: Array, axis: int) -> Array:
    """A die's dark pips, where `things.die` has its hollows: a spot of each pattern of one to six."""
    patterns = {
        (2, 1): [(0, 0)], (2, 0): [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)], (1, 0): [(-1, -1), (1, 1)],
        (1, 1): [(-1, -1), (1, 1), (1, -1), (-1, 1), (0, 0)], (0, 1): [(-1, -1), (0, 0), (1, 1)],
        (0, 0): [(-1, -1), (1, 1), (1, -1), (-1, 1)],
    }
    out = _plain(p, WHITE)
    seen = p[:, list(PLANES[axis])]
    for spot in patterns[axis, int(p[0, axis] > 0)]:
        out[np.linalg.norm(seen - 4 / 8.5 * np.array(spot), axis=1) < 0.18] = BLACK
    return out


PAINTS: dict[str, Rule | Bands] = {
    "002_master_chef_can": label(BLUE, WHITE, BLUE, STEEL),
    "003_cracker_box": carton(RED, WHITE, BLUE, 0),
    "004_sugar_box": carton(YELLOW, WHITE, BLUE, 0),
    "005_tomato_soup_can": label(RED, WHITE, RED, STEEL, -0.93, 0.0),
    "006_mustard_bottle": label(YELLOW, RED, YELLOW, YELLOW, -0.45, 0.2, 1.1),
    "007_tuna_fish_can": label((0.3, 0.45, 0.6), WHITE, GREEN, STEEL, -0.5, 0.5, 0.85),
    "008_pudding_box": carton((0.5, 0.3, 0.2), WHITE, BROWN, 2),
    "009_gelatin_box": carton((0.8, 0.25, 0.2), WHITE, RED, 2),
    "010_potted_meat_can": label(BLUE, YELLOW, BLUE, STEEL),
    "011_banana": Bands(0, ((-0.93, BROWN), (0.93, YELLOW), (1.0, BROWN))),
    "012_strawberry": Bands(2, ((0.72, RED), (1.0, GREEN))),
    "021_bleach_cleanser": label(WHITE, BLUE, WHITE, BLUE, -0.6, 0.2, 0.78),
    "022_windex_bottle": Bands(2, ((-0.6, (0.2, 0.5, 0.75)), (0.1, WHITE), (0.55, (0.2, 0.5, 0.75)), (1.0, WHITE))),
    "026_sponge": Bands(2, ((0.0, GREEN), (1.0, (0.85, 0.8, 0.3)))),
    "028_skillet_lid": Bands(2, ((-0.8, STEEL), (0.15, (0.72, 0.78, 0.8)), (1.0, BLACK))),
    "032_knife": Bands(0, ((0.0, RED), (1.0, STEEL))),
    "033_spatula": Bands(0, ((-0.2, RED), (1.0, BLACK))),
    "037_scissors": Bands(0, ((-0.2, ORANGE), (1.0, STEEL))),
    "038_padlock": Bands(2, ((-0.1, YELLOW), (1.0, STEEL))),
    "040_large_marker": Bands(0, ((0.25, WHITE), (1.0, BLACK))),
    "043_phillips_screwdriver": Bands(0, ((-0.6, BLACK), (-0.06, ORANGE), (1.0, STEEL))),
    "044_flat_screwdriver": Bands(0, ((-0.6, BLACK), (-0.06, ORANGE), (1.0, STEEL))),
    "048_hammer": Bands(0, ((0.78, WOOD), (1.0, STEEL))),
    "035_power_drill": Bands(2, ((-0.62, BLACK), (1.0, ORANGE))),
    "050_medium_clamp": Bands(1, ((-0.75, ORANGE), (1.0, BLACK))),
    "051_large_clamp": Bands(1, ((-0.85, ORANGE), (1.0, BLACK))),
    "052_extra_large_clamp": Bands(1, ((-0.85, ORANGE), (1.0, BLACK))),
    "053_mini_soccer_ball": football,
    "054_softball": seam((0.85, 0.9, 0.25), RED, 0.05),
    "055_baseball": seam(WHITE, RED, 0.06),
    "056_tennis_ball": seam((0.75, 0.85, 0.25), WHITE, 0.06),
    "062_dice": dots,
    "070-a_colored_wood_blocks": Bands(2, ((0.35, WOOD), (0.5, RED), (0.75, YELLOW), (1.0, BLUE))),
    "072-a_toy_airplane": Bands(2, ((-0.45, BLACK), (1.0, YELLOW))),
    "073-g_lego_duplo": Bands(1, ((-0.76, RED), (0.76, BLUE), (1.0, RED))),
    "077_rubiks_cube": stickers,
}
