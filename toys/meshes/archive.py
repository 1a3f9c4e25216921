"""Unpacks zip files and wheels into the cache, and refuses those that would flood the disk or leave their folder."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from toyshift.core.errors import FileError, with_remedy
from toyshift.core.files import atomic_dir, cache_dir, content_hash, locked

MAX_ARCHIVE = 1024 * 2**20  # [bytes] of the file itself
MAX_UNPACKED = 2048 * 2**20  # [bytes] of all that is taken out of it
MAX_RATIO = 200  # of one member's size to its packed size; text packs to a tenth, a bomb to a thousandth
MAX_MEMBERS = 50_000
SUFFIXES = (".zip", ".whl")
BY_HAND = "unpack it yourself and give the folder"  # the remedy


def _check_name(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts or "\0" in name:
        what = f"{path} holds a file named {info.filename!r}"
        raise FileError(f"{what}, which would be written outside the folder it is unpacked to; do not use this archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise FileError(f"{path} holds the link {info.filename!r}; pack the file itself")
    if info.flag_bits & 1:
        raise FileError(f"{path} is encrypted ({info.filename!r}); {BY_HAND}")


def _members(path: Path, archive: zipfile.ZipFile, suffixes: Sequence[str]) -> list[zipfile.ZipInfo]:
    """The files with these suffixes, after every check that can be made before unpacking."""
    listed = archive.infolist()
    if len(listed) > MAX_MEMBERS:
        raise FileError(f"{path} holds {len(listed)} files, more than {MAX_MEMBERS}; {BY_HAND}")
    for info in listed:
        _check_name(path, info)
    wanted = [i for i in listed if not i.is_dir() and PurePosixPath(i.filename).suffix.lower() in suffixes]
    if not wanted:
        raise FileError(f"{path} holds no file with one of the suffixes {', '.join(suffixes)}")
    for info in wanted:
        if info.file_size > MAX_RATIO * max(info.compress_size, 1024):
            what = f"{path}: {info.filename!r} would grow from {info.compress_size} to {info.file_size} bytes"
            raise FileError(f"{what}; it looks like a zip bomb and is not unpacked")
    total = sum(i.file_size for i in wanted)
    if total > MAX_UNPACKED:
        sizes = f"{total / 2**20:.0f} MiB, more than {MAX_UNPACKED / 2**20:.0f} MiB"
        raise FileError(f"{path} would unpack to {sizes}; {BY_HAND}")
    return wanted


def unpacked(path: Path, suffixes: Sequence[str]) -> Path:
    """The folder in the cache with an archive's files, unpacked by the first process that asks, whole or not at all.

    Args:
        path: a zip file or wheel.
        suffixes: of the files that are taken out of it, lower case, with the dot.

    Raises:
        FileError: it is missing, no zip file, damaged, holds nothing with these suffixes, or is not safe to unpack.
    """
    try:
        if path.stat().st_size > MAX_ARCHIVE:
            raise FileError(f"{path} is larger than {MAX_ARCHIVE / 2**20:.0f} MiB; {BY_HAND}")
        folder = cache_dir("archives") / content_hash(path.read_bytes(), *sorted(suffixes))
        with zipfile.ZipFile(path) as archive:
            wanted = _members(path, archive, suffixes)
            if folder.is_dir():
                return folder
            with locked(folder):
                if not folder.is_dir():
                    with atomic_dir(folder) as temporary:
                        for info in wanted:
                            target = temporary / PurePosixPath(info.filename)
                            target.parent.mkdir(parents=True, exist_ok=True)
                            # zipfile stops at the size that was checked above, whatever the packed stream holds
                            with archive.open(info) as source, target.open("wb") as sink:
                                shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        why = "it is damaged or no zip file; download it again"
        raise FileError(f"{path} cannot be unpacked ({error}): {why}") from error
    except OSError as error:
        told = f"{path} cannot be unpacked: {error}"
        raise FileError(with_remedy(told, error, "set TOYSHIFT_CACHE to another folder")) from error
    return folder


def folder_of(path: Path, suffixes: Sequence[str]) -> Path:
    """A folder itself, or the folder in the cache that an archive is unpacked to.

    Raises:
        FileError: there is neither; or see unpacked.
    """
    if path.is_dir():
        return path
    if not path.exists():
        raise FileError(f"{path} does not exist; give a folder, a zip file or a wheel")
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(f"{path} is neither a folder nor an archive ({', '.join(SUFFIXES)})")
    return unpacked(path, suffixes)
