"""Files that are either whole or absent: atomic writes, JSON, hashes, the cache folder and locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError

MOST_LOST = 1000  # times in a row that a folder may be gone again: what is in the way stays


def cache_dir(*parts: str) -> Path:
    """Returns (and makes) a folder in the user's cache: $TOYSHIFT_CACHE, or ~/.cache/toyshift."""
    root = Path(os.environ.get("TOYSHIFT_CACHE") or Path.home() / ".cache" / "toyshift")
    path = root.joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "set TOYSHIFT_CACHE to a folder you can write"
        raise FileError(f"cannot make the cache folder {path} ({error}); {remedy}") from error
    return path


def real_path(path: str | Path) -> Path:
    """Returns a path without links, like Path.resolve, but leaves a link that leads to itself as it is."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renamed to it when the block ends well, removed when it does not.

    A full disk's error names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces `path` when the block ends well, and is removed when it does not.

    A full disk's error names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        within = str(error.filename or temporary).startswith(str(temporary))
        if error.errno is not None and within:  # where it was to be: what lies in the temporary folder is gone
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_unfinished(path: Path) -> bool:
    """Whether a writer was killed before `atomic_path` or `atomic_dir` had given the file or folder its name."""
    return path.name.startswith(".") and ".tmp" in path.suffixes


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """Returns the files that match a pattern, sorted, without those that a killed writer left unfinished."""
    return sorted(path for path in Path(folder).glob(pattern) if not is_unfinished(path))


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically, with sorted keys; NaN is refused because other programs cannot read it."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


MADE_AGAIN = "it may be truncated: delete it and run the command that made it again"
BY_HAND = "correct it there"  # in files that people write


def read_json(path: Path, remedy: str = MADE_AGAIN) -> Any:
    """Reads a JSON file.

    Args:
        path: of the file.
        remedy: what helps where it is damaged; it depends on who made the file, and on what lies beside it.

    Raises:
        FileError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, thousands of digits, thousands of brackets
        raise FileError(f"{path} is not valid JSON ({error}); {remedy}") from error


def content_hash(*parts: bytes | str) -> str:
    """Returns 16 hex digits of SHA-256 over the parts, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()[:16]


def json_hash(value: Any) -> str:
    """Returns the content hash of a JSON-able value, independent of key order."""
    return content_hash(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes on `path` + ".lock"; the kernel frees it when a process dies.

    The file, and folders that were made for it and hold nothing else, are gone when the block ends.
    """
    file = Path(path).with_name(Path(path).name + ".lock")
    made = [folder for folder in file.parents if not folder.exists()]  # the innermost first
    handle = _lock(file)
    try:
        yield
    finally:
        try:
            file.unlink(missing_ok=True)
        finally:
            os.close(handle)
        with contextlib.suppress(OSError):  # filled meanwhile, or gone
            for folder in made:
                folder.rmdir()


def _lock(file: Path) -> int:
    """Returns a handle of the locked file; whoever held it before may have removed it, so it is looked for again."""
    lost = 0
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
        except (FileNotFoundError, FileExistsError):  # a holder removes its folders meanwhile, or a file is in the way
            lost += 1
            if lost == MOST_LOST:
                raise
            continue
        lost = 0
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(file)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def in_the_way(path: Path) -> bool:
    """Whether a file or a filled folder lies there; what a killed writer left unfinished fills none."""
    return path.is_file() or (path.is_dir() and not all(map(is_unfinished, path.iterdir())))


def require_new(path: Path) -> None:
    """Raises ConfigError where a file or a filled folder is in the way."""
    if in_the_way(path):
        raise ConfigError(f"{path} exists; choose another destination, or delete it")
