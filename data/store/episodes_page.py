"""One self-contained HTML page that shows sampled episodes: pictures with masks over them, the actions as curves."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, MASK_OTHER, MASK_ROBOT, MASK_TARGET, image_key, mask_key
from toyshift.core.progress import track
from toyshift.core.templates import templates
from toyshift.data.episode import Episode
from toyshift.data.store.dataset import Dataset

ASSETS = Path(__file__).parents[1] / "assets"
# of masks: value -> (name, colour)
LEGEND = {
    MASK_TARGET: ("target", (255, 64, 64)),
    MASK_OTHER: ("other object", (255, 200, 0)),
    MASK_ROBOT: ("robot", (64, 128, 255)),
}
COLUMNS = 10  # frames side by side in a sheet of pictures
QUALITY = 88  # of the JPEG sheets: they are for looking at
GROUPS = {"m": "Position [m]", "rad": "Angle [rad]", "1": "Gripper (1 open)"}


def _uri(image: Any, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def sheet(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Puts (T, H, W, ...) frames side by side, COLUMNS to a row; what is left of the last row is zero."""
    length, height, width = frames.shape[:3]
    columns, rows = min(COLUMNS, length), math.ceil(length / COLUMNS)
    out = np.zeros((rows * columns, *frames.shape[1:]), np.uint8)
    out[:length] = frames
    tiles = out.reshape(rows, columns, height, width, *frames.shape[3:])
    return np.ascontiguousarray(np.swapaxes(tiles, 1, 2).reshape(rows * height, columns * width, *frames.shape[3:]))


def _view(episode: Episode, camera: str) -> dict[str, Any]:
    from PIL import Image

    images = episode.frames[image_key(camera)]
    height, width = images.shape[1:3]
    columns = min(COLUMNS, len(images))
    out: dict[str, Any] = {"camera": camera, "width": width, "height": height, "columns": columns}
    out["images"] = _uri(Image.fromarray(sheet(images)), "JPEG", quality=QUALITY, subsampling=0)
    masks = episode.frames.get(mask_key(camera))
    if masks is not None:
        picture = Image.fromarray(sheet(masks))
        palette = [LEGEND[v][1] if v in LEGEND else (0, 0, 0) for v in range(256)]
        picture.putpalette([c for colour in palette for c in colour])  # turns it into an image of palette entries
        opaque = bytes(255 * (v in LEGEND) for v in range(256))
        out["masks"] = _uri(picture, "PNG", optimize=True, transparency=opaque)
    return out


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Marks of an axis that reach over low..high, 0 among them: round numbers, all with as many decimals as their step.

    Args:
        low: at most 0.
        high: at least 0.
    """
    span = high - low or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = power * next(k for k in (1, 2, 5, 10) if k * power >= span / 4 * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil((low + span) / step - 1e-9)
    return [(k * step, f"{k * step + 0.0:.{decimals}f}") for k in range(first, last + 1)]


def _plots(episode: Episode, dataset: Dataset) -> list[dict[str, Any]]:
    contract, actions = dataset.action_contract, np.asarray(episode.frames[ACTION], np.float64)
    groups: list[dict[str, Any]] = []
    for unit in dict.fromkeys(contract.units):
        entries = [i for i, u in enumerate(contract.units) if u == unit]
        values = [[round(float(v), 5) if math.isfinite(v) else 0.0 for v in actions[:, i]] for i in entries]
        names = [contract.names[i] for i in entries]
        marks = ticks(min(0.0, *(min(row) for row in values)), max(0.0, *(max(row) for row in values)))
        groups.append({"title": GROUPS.get(unit, f"[{unit}]"), "names": names, "values": values, "ticks": marks})
    return groups


def viewer_page(dataset: Dataset, episodes: Sequence[int], problems: dict[int, list[str]] | None = None) -> str:
    """Returns the page.

    Args:
        dataset: where the episodes are.
        episodes: numbers of the episodes to show.
        problems: what to say about an episode in red, by number.
    """
    dataset.require_episodes()
    shown = []
    for i in track(episodes, "view", len(episodes), "episode"):
        episode = dataset.episode(i)
        shown.append({
            "index": i, "length": len(episode), "task": str(episode.meta.get("task", "")),
            "object": str(episode.meta.get("object_id", "unknown object")),
            "success": episode.meta.get("success"), "problems": (problems or {}).get(i, []),
            "views": [_view(episode, camera) for camera in dataset.observation_contract.camera_names],
            "plots": _plots(episode, dataset),
        })  # fmt: skip
    contract = dataset.action_contract
    facts = [
        f"{len(dataset)} episodes, {dataset.num_frames} frames at {contract.control_hz:g} Hz; {len(shown)} shown",
        f"Actions: {contract.mode} in {contract.frame}, {contract.rotation}; gripper {contract.gripper}",
    ]
    data = json.dumps({"hz": contract.control_hz, "episodes": shown}, allow_nan=False)
    return templates(ASSETS).get_template("episodes_page.html").render(
        title=dataset.folder.resolve().name, facts=facts, legend=LEGEND.values(),
        data=data.replace("<", "\\u003c"),  # text of an episode cannot end the script
    )
