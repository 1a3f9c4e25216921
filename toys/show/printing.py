"""Objects for a 3-D printer: millimetres, lying on a stable side at z = 0, checked, as 3MF and STL with a manifest."""

from __future__ import annotations

import base64
import dataclasses
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from scipy.spatial import ConvexHull

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, MeshError
from toyshift.core.files import atomic_path, write_json
from toyshift.core.templates import templates
from toyshift.toys.geometry.rest import compute_rest_poses
from toyshift.toys.geometry.solid import quat_to_matrix
from toyshift.toys.model import GraspObject

ASSETS = Path(__file__).parents[1] / "assets"
MM = 1000.0
PLA = 1240.0  # density of the usual filament [kg/m^3]
CONTACT = 0.05  # surface this near to the bed touches it [mm]
LEAST_CONTACT = 0.03  # a smaller share of the footprint on the bed needs a brim or supports
RAYS = 400  # of the wall's measurement
THIN_SHARE = 0.02  # the wall is the thickness that this share of the surface falls short of


@dataclasses.dataclass(frozen=True)
class PrintConfig:
    """What a printer can do.

    Attributes:
        bed: largest x, y and z of a print [mm].
        wall: thinnest wall that comes out well [mm]: three lines of a 0.4 mm nozzle.
        density: of the solid filament [kg/m^3].
    """

    bed: tuple[float, float, float] = (220.0, 220.0, 250.0)
    wall: float = 1.2
    density: float = PLA

    def __post_init__(self) -> None:
        if not (min(self.bed) > 0 and self.wall >= 0 and 100 <= self.density <= 25000):
            what = "a printer has a bed > 0, a wall >= 0 [mm] and a density of 100..25000 kg/m^3"
            raise ConfigError(f"{what}; got {self}")


@dataclasses.dataclass(frozen=True, eq=False)
class Printable:
    """An object as it lies on the bed.

    Attributes:
        mesh: [mm], z from 0, its footprint's narrow side along y and its middle at x = y = 0.
        transform: (4, 4) from the object's frame [m] to the bed's [mm].
        row: id, name, sizes and warnings for the manifest.
    """

    mesh: trimesh.Trimesh
    transform: Array
    row: dict[str, Any]


def contact_area(mesh: trimesh.Trimesh) -> float:
    """Area of the surface that touches the plane below a mesh [mm^2]."""
    low = (mesh.triangles[:, :, 2] < mesh.bounds[0, 2] + CONTACT).all(axis=1)
    return float(mesh.area_faces[low].sum())


def wall_thickness(mesh: trimesh.Trimesh) -> float:
    """The thickness, straight inwards, that THIN_SHARE of the surface falls short of, in the mesh's unit."""
    points, faces = trimesh.sample.sample_surface(mesh, RAYS, seed=0)
    inward = -mesh.face_normals[faces]
    starts = np.asarray(points) + 1e-5 * mesh.scale * inward
    places, rays, _ = mesh.ray.intersects_location(starts, inward, multiple_hits=True)
    deep = np.full(RAYS, np.inf)
    np.minimum.at(deep, rays, np.linalg.norm(places - np.asarray(points)[rays], axis=1))
    deep = deep[np.isfinite(deep)]  # a ray along an edge may miss the other side
    return float(np.quantile(deep, THIN_SHARE)) if len(deep) else 0.0


def on_the_bed(mesh: trimesh.Trimesh, com: Array) -> tuple[trimesh.Trimesh, Array]:
    """Lays a mesh [m] on the stable side that touches the bed most; returns it in mm and its transform (4, 4)."""
    best: tuple[float, trimesh.Trimesh, Array] | None = None
    for pose in compute_rest_poses(np.asarray(mesh.vertices), com):
        move = np.eye(4)
        move[:3, :3] = MM * quat_to_matrix(pose.quat)
        lying = trimesh.Trimesh(trimesh.transform_points(mesh.vertices, move), mesh.faces, process=False)
        area = contact_area(lying)
        if best is None or area > best[0] + 1e-3:
            best = area, lying, move
    assert best is not None
    _, lying, move = best
    flat, (long, short) = trimesh.bounds.oriented_bounds_2D(lying.vertices[:, :2])
    turn = np.eye(4)
    turn[:2, :2] = flat[:2, :2] if long >= short else np.array([[0.0, -1.0], [1.0, 0.0]]) @ flat[:2, :2]
    move = turn @ move
    placed = trimesh.transform_points(mesh.vertices, move)
    low, high = placed.min(axis=0), placed.max(axis=0)
    move[:3, 3] -= [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    return trimesh.Trimesh(trimesh.transform_points(mesh.vertices, move), mesh.faces, process=False), move


def prepare(found: GraspObject, cfg: PrintConfig) -> Printable:
    """Lays an object on the bed and checks it.

    Raises:
        MeshError: the surface is not closed.
        ConfigError: the object is larger than the bed.
    """
    if not (found.mesh.is_watertight and found.mesh.is_winding_consistent):
        raise MeshError(f"object {found.id!r} cannot be printed: its surface is not closed")
    mesh, move = on_the_bed(found.mesh, found.com)
    size, room = mesh.extents, np.array([*sorted(cfg.bed[:2], reverse=True), cfg.bed[2]])
    if (size > room + 1e-6).any():
        edges, bed = " x ".join(f"{v:.1f}" for v in size), " x ".join(f"{v:g}" for v in cfg.bed)
        what = f"object {found.id!r} does not fit the bed: it is {edges} mm, the bed {bed} mm"
        raise ConfigError(f"{what}. Leave it out, or name a larger bed")
    wall, area, volume = wall_thickness(mesh), contact_area(mesh), float(mesh.volume)
    warnings = []
    if wall < cfg.wall:
        warnings.append(f"walls of {wall:.2f} mm are thinner than {cfg.wall:g} mm")
    if area < LEAST_CONTACT * float(ConvexHull(mesh.vertices[:, :2]).volume):  # in the plane, its area
        warnings.append(f"only {area:.0f} mm^2 touch the bed: print with a brim or supports")
    infill = found.mass / (volume * 1e-9 * cfg.density)
    if infill > 1.0:
        mass = f"the simulated mass of {found.mass * MM:.0f} g"
        warnings.append(f"{mass} needs {infill:.1f} times the filament's density")
    row = {
        "id": found.id, "name": found.name, "source": found.source, "size_mm": [round(float(v), 3) for v in size],
        "volume_cm3": round(volume * 1e-3, 3), "solid_mass_g": round(volume * 1e-6 * cfg.density, 2),
        "simulated_mass_g": round(found.mass * MM, 2), "fill_for_simulated_mass": round(infill, 3),
        "wall_mm": round(wall, 3), "contact_mm2": round(area, 1), "transform": move.tolist(), "warnings": warnings,
    }
    if "toy" in found.info:
        row["toy"] = found.info["toy"]
    return Printable(mesh, move, row)


def write_3mf(path: Path, mesh: trimesh.Trimesh, title: str, rgba: Sequence[float]) -> None:
    """Writes a mesh in millimetres with its name and colour as a 3MF file (3MF Core Specification 1.2).

    The same mesh gives the same bytes.
    """
    colour = "#" + "".join(f"{round(255 * min(max(v, 0.0), 1.0)):02X}" for v in rgba)
    surface = {"vertices": np.asarray(mesh.vertices).tolist(), "triangles": np.asarray(mesh.faces).tolist()}
    made = templates(ASSETS)
    members = {
        "[Content_Types].xml": made.get_template("3mf/types.xml").render(),
        "_rels/.rels": made.get_template("3mf/relations.xml").render(),
        "3D/3dmodel.model": made.get_template("3mf/model.xml").render(name=title, colour=colour, **surface),
    }
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)


def file_stem(object_id: str) -> str:
    """An object's id as the name of a file."""
    return re.sub(r"[^\w.-]+", "_", object_id).strip(".") or "object"


def write_prints(
    out: Path, spec: str, printables: Sequence[tuple[GraspObject, Printable]], cfg: PrintConfig
) -> dict[str, Any]:
    """Writes <id>.3mf and <id>.stl for every object and, last, manifest.json, which it returns.

    Raises:
        MeshError: a written STL is not closed when it is read again.
    """
    rows = []
    for found, ready in printables:
        stem = file_stem(found.id)
        write_3mf(out / f"{stem}.3mf", ready.mesh, f"{found.id} {found.name}", found.rgba)
        with atomic_path(out / f"{stem}.stl") as temporary:
            temporary.write_bytes(ready.mesh.export(file_type="stl"))
        if not trimesh.load_mesh(out / f"{stem}.stl").is_watertight:  # STL rounds to single precision
            why = f"{out / stem}.stl is not closed: details are smaller than STL's precision"
            raise MeshError(f"object {found.id!r}: {why}; print the 3MF instead")
        rows.append({**ready.row, "stl": f"{stem}.stl", "3mf": f"{stem}.3mf"})
    printer = {**dataclasses.asdict(cfg), "bed": list(cfg.bed)}
    manifest = {"objects": spec, "unit": "millimeter", "printer": printer, "prints": rows}
    write_json(out / "manifest.json", manifest)
    return manifest


def label_sheet(manifest: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """One self-contained HTML page of labels to cut out: picture (PNG by id), id, size, and masses of every print."""
    images = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    sheet = templates(ASSETS).get_template("label_sheet.html")
    return sheet.render(objects=manifest["objects"], prints=manifest["prints"], images=images)
