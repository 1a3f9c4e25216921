"""Reading a finished dataset: contracts, episodes one row group at a time, and what is wrong with damaged files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError, UnknownNameError
from toyshift.core.files import content_hash, read_json
from toyshift.data.episode import (
    EPISODES,
    FINALIZING,
    INDEX_FILE,
    Encoded,
    Episode,
    digest,
    is_image,
    is_mask,
    pixel_histogram,
)
from toyshift.data.png import from_text
from toyshift.data.store.layout import (
    CODEBASE_VERSION,
    DATA_PATH,
    EPISODES_PATH,
    FOOTERS,
    TOYSHIFT_VERSION,
    VIDEO_PATH,
    Column,
    check_contracts,
    from_arrow,
)
from toyshift.data.video import clip_crc, cut_clip

_RESTORE = "restore it from a copy, or delete the folder and run the command that made it again"
FROM = "from_timestamp"
CONVERT = (
    "LeRobot 0.4 converts 2.1 in place: python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 "
    "--repo-id=USER/NAME --root=FOLDER --push-to-hub=false (LeRobot 0.6: lerobot.scripts.convert_dataset_v21_to_v30); "
    "2.0 must become 2.1 first, by an older LeRobot"
)
ESSENTIAL = (f"meta/{INDEX_FILE}", EPISODES_PATH)  # without these files no episode is found


class Dataset:
    """A dataset in the LeRobot v3 layout with ToyShift's contracts.

    Attributes:
        folder: where it lies.
        info: contents of meta/info.json.
        manifest: how it was made.
        action_contract: what its actions mean.
        observation_contract: its cameras and state entries.
        columns: key -> dtype and shape of one frame.
        videos: those columns that are stored as video.
        complaints: what a lenient opening found and went on from.
    """

    def __init__(self, folder: Path, *, lenient: bool = False) -> None:
        self.folder = Path(folder)
        self.complaints: list[str] = []
        self._lenient = lenient
        info = self._info_or_complaint()
        ours = _read_ours(self.folder)
        self.manifest: dict[str, Any] = ours["manifest"]
        self.action_contract = ActionContract.from_json(ours["action_contract"])
        self.observation_contract = ObservationContract.from_json(ours["observation_contract"])
        self.columns = {k: Column(v["dtype"], tuple(v["shape"])) for k, v in ours["columns"].items()}
        rebuilt = self._rebuilt_info()
        self.info: dict[str, Any] = info or rebuilt
        stored = rebuilt["features"] | self.info["features"]
        self.videos = tuple(k for k in self.columns if stored[k]["dtype"] == "video")
        self._files: dict[str, dict[str, int]] = ours["files"]
        check_contracts(self.columns, self.action_contract, self.observation_contract, str(self.folder))
        self._check_files()
        lines = (self.folder / "meta" / INDEX_FILE).read_text(encoding="utf-8").splitlines()
        self._rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._places = self._read_places()
        self._check_info()

    def _info_or_complaint(self) -> dict[str, Any]:
        """Returns info.json; for a lenient reader nothing where it is missing or wrong: toyshift.json says the same."""
        try:
            return read_info(self.folder)
        except FileError as error:
            if not self._lenient or not (self.folder / "meta" / "toyshift.json").exists():
                raise
            self.complaints.append(str(error))
            return {}

    def _rebuilt_info(self) -> dict[str, Any]:
        """Returns what is read of info.json, from what else the folder says."""
        videos = self.folder / "videos"
        kinds = {k: {"dtype": "video" if (videos / k).is_dir() else c.dtype} for k, c in self.columns.items()}
        return {"fps": self.action_contract.control_hz, "data_path": DATA_PATH, "features": kinds}

    def require_episodes(self) -> None:
        """Raises FileError where there is no episode."""
        if not self.num_frames:
            raise FileError(f"{self.folder} holds no episodes; collect some, or leave it out")

    @property
    def robot_type(self) -> str:
        """Name of the robot."""
        return str(self.info.get("robot_type", "panda"))

    def facts(self) -> dict[str, Any]:
        """Returns episodes, frames and content_hash, for results and manifests."""
        return {"episodes": self.num_episodes, "frames": self.num_frames, "content_hash": self.content_hash()}

    @property
    def num_episodes(self) -> int:
        return len(self._rows)

    @property
    def num_frames(self) -> int:
        return sum(self.lengths)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of frames of each episode."""
        return tuple(place[3] for place in self._places)

    @property
    def collected_indices(self) -> tuple[int, ...]:
        """The number that each episode had while collecting (gaps are failed attempts)."""
        return tuple(int(row["collected_index"]) for row in self._rows)

    def meta(self, i: int) -> dict[str, Any]:
        """Returns what was noted about episode i: task, success, seed, object_id, factors, ..."""
        return dict(self._rows[self._checked(i)]["meta"])

    def episode_digest(self, i: int) -> str:
        """Returns the digest of episode i's decoded values, as computed when it was recorded."""
        return str(self._rows[self._checked(i)]["digest"])

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[Episode]:
        return (self.episode(i) for i in range(self.num_episodes))

    def episode(self, i: int, keys: Iterable[str] | None = None) -> Episode:
        """Reads and decodes episode i (one row group).

        Args:
            i: 0 <= i < num_episodes.
            keys: columns to read, or None for all: without images it is 20 times faster.

        Raises:
            UnknownNameError: a column does not exist.
            FileError: its file is missing, truncated or damaged; other episodes stay readable.
        """
        return self.encoded(i, keys).decode()

    def first_image(self, i: int, key: str) -> NDArray[np.uint8]:
        """Reads the image (H, W, 3) with which episode i begins, and decodes no other; raises as `episode`."""
        return self.encoded(i, [key]).first(key)

    def encoded(self, i: int, keys: Iterable[str] | None = None) -> Encoded:
        """Reads episode i without decoding images; `histograms` is left empty."""
        columns = self._columns(keys)
        table = self._read(i, [k for k in columns if k not in self.videos])
        where = f"{self.file_of(i)}, episode {i}"
        videos = {}
        pngs: dict[str, list[bytes]] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        arrays = {}
        for key, column in columns.items():
            if key in self.videos:
                videos[key] = self._clip(i, key)
                shapes[key] = column.shape
            elif is_image(key):
                pngs[key] = [item["bytes"] or b"" for item in table[key].to_pylist()]
            elif is_mask(key):
                pngs[key] = [from_text(text or "") for text in table[key].to_pylist()]
            else:
                arrays[key] = from_arrow(table[key], column, f"{where}, {key}")
            if key in pngs:
                shapes[key] = column.shape
        row = self._rows[i]
        return Encoded(i, pngs, shapes, arrays, {}, dict(row["meta"]), row["digest"], where, videos)

    def _clip(self, i: int, key: str) -> bytes:
        """Cuts one episode out of a video file."""
        name, begin = self._video_places[key][i]
        where = f"{self.folder / name}, episode {i}"
        clip = cut_clip(self.folder / name, self.info["fps"], begin, self._places[i][3], where)
        if clip_crc(clip) != self._rows[i]["videos"][key]:
            raise FileError(f"{where}: the video changed since it was written (CRC-32 differs); {self._remedy()}")
        return clip

    def _remedy(self) -> str:
        return f"{_RESTORE}. Other episodes stay usable: `toyshift data check {self.folder} --repair NEW` copies them"

    def _open(self, path: Path) -> pq.ParquetFile:
        """Opens a data file; one that is cut off, by the copy of its end in meta/."""
        path = path.absolute()  # Arrow takes a:b/c for an address
        try:
            # checksums of pages tell a flipped bit from a value
            return pq.ParquetFile(path, page_checksum_verification=True)
        except pa.ArrowInvalid:
            folder = self.folder.absolute()
            copy = folder / FOOTERS / path.relative_to(folder)
            if not copy.exists():
                raise
            return pq.ParquetFile(path, metadata=pq.read_metadata(copy), page_checksum_verification=True)

    def _read(self, i: int, columns: list[str]) -> Any:
        """Reads columns of one episode's row group."""
        name, group, first, length = self._places[self._checked(i)]
        path = self.folder / name
        where = f"{path}, episode {i}"
        try:
            with self._open(path) as file:
                table = file.read_row_group(group, columns=[*columns, "episode_index", "index"])
        except FileNotFoundError as error:
            raise FileError(f"{where}: the file is missing; {self._remedy()}") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            why = f"the file is truncated or damaged ({error})"
            raise FileError(f"{where}: unreadable, {why}; {self._remedy()}") from error
        if table.num_rows != length or table["episode_index"][0].as_py() != i or table["index"][0].as_py() != first:
            raise FileError(f"{where}: row group {group} holds other rows than {EPISODES_PATH} says; {_RESTORE}")
        return table

    def timestamps(self, i: int) -> NDArray[np.float32]:
        """Returns the stored times (T,) of episode i's frames [s].

        Raises:
            FileError: its file is missing, truncated or damaged.
        """
        times: NDArray[np.float32] = self._read(i, ["timestamp"])["timestamp"].to_numpy()
        return times

    def file_of(self, i: int) -> Path:
        """Returns the data file that holds episode i."""
        return self.folder / self._places[self._checked(i)][0]

    def files_of(self, i: int) -> list[Path]:
        """Returns all files that hold a part of episode i."""
        return [self.file_of(i), *(self.folder / places[i][0] for places in self._video_places.values())]

    def encoded_with_histograms(self, i: int) -> Encoded:
        """Reads episode i with `histograms`, which needs decoding."""
        encoded = self.encoded(i)
        frames = encoded.decode().frames
        encoded.histograms.update({k: pixel_histogram(v) for k, v in frames.items() if is_image(k)})
        return encoded

    def content_hash(self, *, recompute: bool = False) -> str:
        """Returns a hash of all decoded values and meta data in episode order, independent of files and collection.

        Args:
            recompute: decode everything and hash it again, rather than hash the digests noted at recording.

        Raises:
            FileError: recomputed values differ from those recorded.
        """
        if recompute:
            for i in range(self.num_episodes):
                episode = self.episode(i)
                if digest(episode.frames, episode.meta) != self.episode_digest(i):
                    raise FileError(
                        f"{self.folder / self._places[i][0]}: episode {i} decodes to other values than were recorded; "
                        f"{_RESTORE}"
                    )
        return content_hash(*(str(row["digest"]) for row in self._rows))

    def verify(self) -> None:
        """Checks the checksum of every file.

        Raises:
            FileError: naming the first file that changed.
        """
        for name, facts in self._files.items():
            path = self.folder / name
            if file_crc(path) != facts["crc32"]:
                raise FileError(f"{path} changed since it was written (CRC-32 differs); {_RESTORE}")

    def _columns(self, keys: Iterable[str] | None) -> dict[str, Column]:
        wanted = list(self.columns if keys is None else keys)
        for key in wanted:
            if key not in self.columns:
                raise UnknownNameError(f"column of {self.folder}", key, self.columns)
        return {key: self.columns[key] for key in wanted}

    def _checked(self, i: int) -> int:
        if not 0 <= i < self.num_episodes:
            raise ConfigError(f"{self.folder} has no episode {i}; available: 0..{self.num_episodes - 1}")
        return i

    def _check_files(self) -> None:
        for name, facts in self._files.items():
            path = self.folder / name
            if not path.is_file():
                self._complain(f"{path} is missing", fatal=name in ESSENTIAL)
                continue
            if name.startswith("meta/") and (path.stat().st_size != facts["bytes"] or file_crc(path) != facts["crc32"]):
                self._complain(f"{path} changed since it was written", fatal=name in ESSENTIAL)

    def _complain(self, message: str, *, fatal: bool = False) -> None:
        """Raises, or notes what a lenient reader can go on from."""
        if fatal or not self._lenient:
            raise FileError(f"{message}; {_RESTORE}")
        self.complaints.append(message)

    def damaged_files(self) -> list[str]:
        """Returns the data files whose size is not the one written (truncated), without reading them."""
        sizes = {name: path.stat().st_size for name in self._files if (path := self.folder / name).is_file()}
        return [name for name, facts in self._files.items() if sizes.get(name) != facts["bytes"]]

    def _read_places(self) -> list[tuple[str, int, int, int]]:
        """Returns (file, row group, first global frame, length) of each episode."""
        path = self.folder / EPISODES_PATH
        try:
            wanted = ["episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index"]
            wanted += [f"videos/{k}/{name}" for k in self.videos for name in ("chunk_index", "file_index", FROM)]
            table = pq.read_table(path.absolute(), columns=wanted)  # Arrow takes a:b/c for an address
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise FileError(f"{path} is unreadable ({error}); {_RESTORE}") from error
        places: list[tuple[str, int, int, int]] = []
        groups: dict[str, int] = {}
        self._video_places: dict[str, list[tuple[str, float]]] = {key: [] for key in self.videos}
        for row in table.to_pylist():
            chunk, file = row["data/chunk_index"], row["data/file_index"]
            name = str(self.info["data_path"]).format(chunk_index=chunk, file_index=file)
            group = groups.get(name, 0)
            groups[name] = group + 1
            places.append((name, group, row["dataset_from_index"], row["length"]))
            for key, found in self._video_places.items():
                chunk, file = row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]
                video = VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)
                found.append((video, row[f"videos/{key}/{FROM}"]))
        return places

    def _check_info(self) -> None:
        path = self.folder / "meta" / "info.json"
        if "total_episodes" not in self.info:
            return  # rebuilt
        frames = sum(self.lengths)
        found = (len(self._rows), len(self._places), frames)
        said = (self.info["total_episodes"], self.info["total_episodes"], self.info["total_frames"])
        if found != said:
            there = f"but the folder holds {found[0]} and {frames}"
            message = f"{path} announces {said[0]} episodes and {said[2]} frames, {there}"
            self._complain(message, fatal=found[0] != found[1])
        missing = sorted(set(self.columns) - set(self.info["features"]))
        if missing:
            self._complain(f"{path}: the features {', '.join(missing)} are missing")
        if (fps := self.info["fps"]) != (hz := self.action_contract.control_hz):
            self._complain(f"{path}: fps is {fps}, the action contract says {hz:g}")


def file_crc(path: Path) -> int:
    """Returns the CRC-32 of a file, read in pieces."""
    crc = 0
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc


def read_info(folder: Path) -> dict[str, Any]:
    """Reads meta/info.json of a LeRobot v3 folder, of ours or of others.

    Raises:
        FileError: the folder is none, or not finished; the file is damaged, or of another version of the layout.
    """
    path = folder / "meta" / "info.json"
    if (folder / FINALIZING / "READY").exists() or (not path.exists() and (folder / EPISODES).is_dir()):
        remedy = "Run the command that collects it again: it goes on where it was"
        raise FileError(f"{folder} is not finished: its episodes are not in the LeRobot layout yet. {remedy}")
    if folder.is_file():
        remedy = f"`toyshift data convert {folder} DIR --to lerobot` makes one of a robomimic file"
        raise FileError(f"{folder} is a file; datasets are folders: {remedy}")
    if not path.exists():
        raise FileError(f"{folder} is no dataset: {path} does not exist")
    remedy = "restore it from a copy"
    if (folder / "meta" / "toyshift.json").exists():
        remedy += f", or let `toyshift data check {folder} --repair NEW` make it from the other files"
    try:
        info = read_json(path)
    except FileError as error:
        raise FileError(f"{path} is not valid JSON ({error.__cause__}); {remedy}") from error
    wanted = ("codebase_version", "fps", "features", "total_episodes", "total_frames", "data_path")
    missing = [k for k in wanted if not isinstance(info, dict) or k not in info]
    if missing:
        raise FileError(f"{path}: {', '.join(missing)} missing; {remedy}")
    if info["codebase_version"] != CODEBASE_VERSION:
        version = f"version {info['codebase_version']!r} of the LeRobot layout"
        older = f". {CONVERT}" if str(info["codebase_version"]).startswith("v2") else ""
        raise FileError(f"{path}: {version}; only {CODEBASE_VERSION} is read{older}")
    return dict(info)


def _read_ours(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "toyshift.json"
    if not path.exists():
        raise ContractError(
            f"{folder} has no {path.name} in meta/ and so no action contract: what its actions mean is unknown, and "
            f"guessing is refused. Of a dataset of ours, {_RESTORE}; one of LeRobot's own has none, and is not read"
        )
    ours = read_json(path, _RESTORE)
    missing = [
        k
        for k in ("version", "action_contract", "observation_contract", "manifest", "columns", "files") if k not in ours
    ]
    if missing:
        raise ContractError(f"{path}: {', '.join(missing)} missing; {_RESTORE}")
    if ours["version"] != TOYSHIFT_VERSION:
        raise FileError(f"{path}: version {ours['version']}, this ToyShift reads {TOYSHIFT_VERSION}")
    return dict(ours)


def open_dataset(folder: Path, *, lenient: bool = False) -> Dataset:
    """Opens a finished dataset.

    Args:
        folder: where it lies.
        lenient: go on where single data files are missing or info.json is wrong (see `complaints`), to save the
            episodes that are whole.

    Raises:
        FileError: a file is missing, truncated, damaged or of another version; the message says which and what to do.
        ContractError: there is no action or observation contract, or the data do not fit it.
    """
    return Dataset(Path(folder), lenient=lenient)
