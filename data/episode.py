"""One demonstration, and the atomic file that holds it while a dataset is being collected."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import IMAGE_PREFIX, MASK_PREFIX
from toyshift.core.errors import ConfigError, FileError, with_remedy
from toyshift.core.files import atomic_path
from toyshift.data.png import decode_png, encode_png
from toyshift.data.video import clip_length, decode_clip, encode_clip, is_video_size

Frames = dict[str, NDArray[Any]]

EPISODES = "episodes"
FINALIZING = ".finalize"
CLOSED = "closed-"  # in there: folders that say which of its files are closed, and so which episodes lie there alone
INDEX_FILE = "toyshift_episodes.jsonl"
EXECUTED = "executed_action"  # what the robot was given: the recorded action after its disturbance
# LeRobot fills these columns itself.
AUTO_FEATURES = ("timestamp", "frame_index", "episode_index", "index", "task_index")
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


def is_image(key: str) -> bool:
    return key.startswith(IMAGE_PREFIX)


def is_mask(key: str) -> bool:
    return key.startswith(MASK_PREFIX)


@dataclasses.dataclass(frozen=True, eq=False)
class Episode:
    """One demonstration of T frames.

    Attributes:
        index: its number; while collecting, that of the attempt (gaps are failures), in a finished dataset 0..n-1.
        frames: arrays with leading dimension T, under the batch contract's names: `observation.images.<cam>` (T, H, W,
            3) uint8, `masks.<cam>` (T, H, W) uint8, `observation.state` (T, S) float32, `action` (T, A) float32,
            `sim.state` (T, N) float64, ...
        meta: JSON-able facts (task, success, seed, object_id, factors, ...). Keys that begin with "_" do not count as
            content.
    """

    index: int
    frames: Frames
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.frames.values())))


def digest(frames: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of decoded values and meta (keys beginning with "_" aside), whatever file they came from."""
    sha = hashlib.sha256()
    for key in sorted(frames):
        array = np.ascontiguousarray(frames[key])
        sha.update(f"{key}|{array.dtype.str}|{array.shape}|".encode())
        sha.update(array.data if array.size else b"")
    content = {k: v for k, v in meta.items() if not k.startswith("_")}
    sha.update(json.dumps(content, sort_keys=True, allow_nan=False).encode())
    return sha.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """An episode as it lies in a file: images and masks as PNG bytes, large images as video, the rest as arrays.

    Attributes:
        index: see Episode.
        pngs: key -> T PNG files.
        shapes: key of an image or a mask -> shape of one decoded frame.
        arrays: key -> (T, ...) array.
        histograms: image key -> (3, 256) int64 counts of pixel values, which every statistic of an image derives from.
        meta: see Episode.
        digest: of the decoded episode; where images are stored as video, of what the video decodes to.
        source: file that it came from, for messages.
        videos: key of an image -> clip of T frames, see `video`.
    """

    index: int
    pngs: dict[str, list[bytes]]
    shapes: dict[str, tuple[int, ...]]
    arrays: Frames
    histograms: dict[str, NDArray[np.int64]]
    meta: dict[str, Any]
    digest: str
    source: str
    videos: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        lengths = [len(files) for files in self.pngs.values()] + [len(array) for array in self.arrays.values()]
        return lengths[0] if lengths else clip_length(next(iter(self.videos.values())))

    def decode(self) -> Episode:
        """Returns the episode with decoded images."""
        frames: Frames = {}
        for key, files in self.pngs.items():
            shape = self.shapes[key]
            frames[key] = np.empty((len(files), *shape), np.uint8)
            for t, data in enumerate(files):
                frames[key][t] = decode_png(data, shape, f"{self.source}, {key}, frame {t}")
        for key, clip in self.videos.items():
            frames[key] = decode_clip(clip, self.shapes[key], f"{self.source}, {key}")
        return Episode(self.index, frames | self.arrays, self.meta)

    def first(self, key: str) -> NDArray[np.uint8]:
        """Returns the first image of a camera (H, W, 3), and decodes no other."""
        if key in self.videos:
            return np.asarray(decode_clip(self.videos[key], self.shapes[key], f"{self.source}, {key}", most=1)[0])
        return decode_png(self.pngs[key][0], self.shapes[key], f"{self.source}, {key}, frame 0")


def checked_frames(episode: Episode) -> Frames:
    """Returns the frames as contiguous arrays.

    Raises:
        ConfigError: a key is reserved, a shape or dtype is wrong, lengths differ, or a number is not finite.
    """
    where = f"episode {episode.index}"
    if episode.index < 0 or not episode.frames:
        raise ConfigError(f"{where}: the index must be >= 0 and there must be at least one column of frames")
    length = len(episode)
    frames: Frames = {}
    for key, value in episode.frames.items():
        array = np.ascontiguousarray(value)
        if key in AUTO_FEATURES or "/" in key or ":" in key:
            rule = f"{', '.join(AUTO_FEATURES)} are filled in when the dataset is written"
            raise ConfigError(f"{where}: {key!r} cannot be a column: {rule}, and names hold no '/' or ':'")
        if array.ndim == 0 or len(array) != length or length == 0:
            rule = f"every column must have the same number of frames ({length}), at least 1"
            raise ConfigError(f"{where}: {key!r} has shape {array.shape}; {rule}")
        if str(array.dtype) not in DTYPES:
            raise ConfigError(f"{where}: {key!r} is {array.dtype}; available: {', '.join(DTYPES)}")
        byte, channels = array.dtype == np.uint8, array.shape[3:]
        image, mask = byte and channels == (3,), byte and array.ndim == 3
        ok = image if is_image(key) else mask if is_mask(key) else array.ndim <= 4
        if not ok or 0 in array.shape:
            rule = "images are (T, H, W, 3) uint8, masks (T, H, W) uint8, other columns have at most 4 dimensions"
            raise ConfigError(f"{where}: {key!r} is {array.dtype} {array.shape}; {rule}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            frame = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ConfigError(f"{where}: {key!r} is not finite in frame {frame}; drop the episode")
        frames[key] = array
    return frames


def encode_episode(episode: Episode, *, video: bool = True) -> Encoded:
    """Checks an episode and encodes its images; see `checked_frames` for what is refused.

    Args:
        episode: of any length.
        video: whether images above 160 pixels become video, which is lossy; masks never do.
    """
    frames, where = checked_frames(episode), f"episode {episode.index}"
    try:
        meta = json.loads(json.dumps(episode.meta, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: the meta data cannot be written as JSON ({error})") from error
    pngs: dict[str, list[bytes]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    histograms: dict[str, NDArray[np.int64]] = {}
    videos: dict[str, bytes] = {}
    for key in [k for k in frames if is_image(k) or is_mask(k)]:
        shapes[key] = frames[key].shape[1:]
        if video and is_image(key) and is_video_size(shapes[key]):
            videos[key] = encode_clip(frames[key])
            frames[key] = decode_clip(videos[key], shapes[key], f"{where}, {key}")  # what readers will see
        else:
            pngs[key] = [encode_png(frame) for frame in frames[key]]
        if is_image(key):
            histograms[key] = pixel_histogram(frames[key])
    arrays = {k: v for k, v in frames.items() if k not in shapes}
    return Encoded(episode.index, pngs, shapes, arrays, histograms, meta, digest(frames, meta), where, videos)


def pixel_histogram(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts pixel values: (..., 3) uint8 -> (3, 256)."""
    return np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)]).astype(np.int64)


def episode_path(folder: Path, index: int) -> Path:
    return Path(folder) / EPISODES / f"episode-{index:06d}.npz"


def write_episode(folder: Path, episode: Episode) -> Path:
    """Writes one atomic file, `<folder>/episodes/episode-000123.npz`; an existing one is replaced.

    Raises:
        ConfigError: the episode is malformed.
        FileError: the file cannot be written (disk full, no permission).
    """
    return write_encoded(folder, encode_episode(episode))


def write_encoded(folder: Path, encoded: Encoded) -> Path:
    """Writes the file of an episode that is encoded already; see `write_episode`."""
    members: dict[str, NDArray[Any]] = {f"array:{k}": v for k, v in encoded.arrays.items()}
    for key, files in encoded.pngs.items():
        members[f"png:{key}"] = np.frombuffer(b"".join(files), np.uint8)
        members[f"ends:{key}"] = np.cumsum([len(f) for f in files], dtype=np.int64)
        members[f"shape:{key}"] = np.asarray(encoded.shapes[key], np.int64)
    for key, clip in encoded.videos.items():
        members[f"video:{key}"] = np.frombuffer(clip, np.uint8)
        members[f"shape:{key}"] = np.asarray(encoded.shapes[key], np.int64)
    members |= {f"histogram:{k}": v for k, v in encoded.histograms.items()}
    head = {"index": encoded.index, "digest": encoded.digest, "meta": encoded.meta}
    members["head:"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    path = episode_path(folder, encoded.index)
    try:
        archive = io.BytesIO()  # in memory: an archive that a full disk cuts off cannot be closed
        np.savez(archive, **members)
        with atomic_path(path) as temporary:
            temporary.write_bytes(archive.getbuffer())
    except OSError as error:
        told = f"cannot write {path} ({error}); episodes written before it are whole"
        raise FileError(with_remedy(told, error)) from error
    return path


def read_encoded(folder: Path, index: int) -> Encoded:
    """Reads an episode's file without decoding images; see `read_episode`."""
    path = episode_path(folder, index)
    try:
        with np.load(path, allow_pickle=False) as archive:  # the archive checks the CRC of every member
            members = {name: archive[name] for name in archive.files}
        head = json.loads(members.pop("head:").tobytes())
        parts: dict[str, Frames] = collections.defaultdict(dict)
        for name, value in members.items():
            kind, key = name.split(":", 1)
            parts[kind][key] = value
        pngs = {}
        for key, blob in parts["png"].items():
            data, ends = blob.tobytes(), [0, *parts["ends"][key].tolist()]
            pngs[key] = [data[a:b] for a, b in itertools.pairwise(ends)]
        shapes = {k: tuple(int(n) for n in v) for k, v in parts["shape"].items()}
        videos = {k: v.tobytes() for k, v in parts["video"].items()}
        about = head["meta"], head["digest"], str(path)
        return Encoded(int(head["index"]), pngs, shapes, parts["array"], parts["histogram"], *about, videos)
    except FileNotFoundError as error:
        there = sorted(episode_indices(folder))[:20]
        hint = f"finished datasets are read with open_dataset; whole episodes there: {there}"
        raise FileError(f"{path} does not exist ({hint})") from error
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError, EOFError) as error:
        remedy = "delete it and collect again: every other episode stays usable"
        raise FileError(f"{path} is truncated or damaged ({error}); {remedy}") from error


def read_episode(folder: Path, index: int) -> Episode:
    """Reads the file of one collected episode.

    Raises:
        FileError: the file is missing, truncated or damaged.
    """
    return read_encoded(folder, index).decode()


def closed_part(folder: Path) -> Path | None:
    """Returns what the newest complete note of a `finalize` that was stopped is in, itself a dataset; None without."""
    notes = sorted(path.parent.parent for path in (Path(folder) / FINALIZING).glob(f"{CLOSED}*/meta/info.json"))
    return notes[-1] if notes else None


def stored_index(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows about episodes in the LeRobot layout, those that a stopped `finalize` has written among them.

    Of two episodes of a number it is the newer one's, which `finalize` keeps.
    """
    rows: dict[int, dict[str, Any]] = {}
    for place in (Path(folder), closed_part(folder), Path(folder) / FINALIZING):
        path = Path(place or folder) / "meta" / INDEX_FILE
        if not (path.with_name("info.json").exists() and path.exists()):
            continue
        try:
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            rows |= {int(row["collected_index"]): row for row in found}
        except (ValueError, OSError, KeyError, TypeError) as error:
            remedy = f"restore it from a copy or delete the folder {folder} and collect again"
            raise FileError(f"{path} is damaged ({error}); {remedy}") from error
    return [rows[number] for number in sorted(rows)]


def episode_files(folder: Path) -> set[int]:
    """Returns the indices of whole files in `<folder>/episodes`; of truncated ones the end, the directory, is gone."""
    whole = set()
    for path in (Path(folder) / EPISODES).glob("episode-*.npz"):
        try:
            number = int(path.stem.split("-", 1)[1])
            with zipfile.ZipFile(path) as archive:
                if "head:.npy" in archive.namelist():
                    whole.add(number)
        except (zipfile.BadZipFile, OSError, ValueError):
            continue
    return whole


def episode_indices(folder: Path) -> set[int]:
    """Returns the numbers of the episodes that are safely stored: whole files, and those in the LeRobot layout."""
    return episode_files(folder) | stored_indices(folder)


def stored_indices(folder: Path) -> set[int]:
    """Returns the numbers of the episodes in the LeRobot layout; see `stored_index`."""
    return {int(row["collected_index"]) for row in stored_index(folder)}
