"""Atomic files: whole or absent, whatever happens while writing; seeds give independent, repeatable streams."""

import contextlib
import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import FileError, UnknownNameError, remedy_of, with_remedy
from toyshift.core.files import (
    BY_HAND,
    atomic_dir,
    atomic_path,
    content_hash,
    in_the_way,
    json_hash,
    locked,
    read_json,
    real_path,
    whole_files,
    write_json,
    write_text,
)
from toyshift.core.seeds import episode_rng


def interrupted(block: AbstractContextManager[Path]) -> None:
    with block as temporary:
        (temporary / "x" if temporary.is_dir() else temporary).write_text("half")
        raise RuntimeError


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError):
        interrupted(atomic_path(path))
    assert read_json(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_reported_with_the_file(tmp_path: Path) -> None:
    def full() -> None:
        with atomic_path(tmp_path / "a.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'"):
        full()
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_reported_with_the_folder(tmp_path: Path) -> None:
    def full(where: str | None) -> None:
        with atomic_dir(tmp_path / "bundle") as temporary:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where and str(temporary / where))

    for where in (None, "policy.onnx"):  # what lies in the temporary folder nobody finds afterwards
        with pytest.raises(OSError, match=r"No space left on device: '[^']*/bundle'"):
            full(where)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(("error", "advice"), [
    (OSError(errno.EROFS, os.strerror(errno.EROFS)), "choose a place where you may read and write"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "make room"),
    (OSError("Unable to write (errno = 28, error message = 'No space left on device')"), "make room"),  # HDF5's
    (RuntimeError("I/O error: Permission denied (os error 13)"), "choose a place"),  # that of safetensors
    (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "gone"), "check that path"),
])
def test_the_remedy_is_that_of_the_error(error: Exception, advice: str) -> None:
    assert advice in remedy_of(error)
    assert ("make room" in remedy_of(error)) == ("No space" in str(error))
    assert with_remedy("it failed", error, "pray") == f"it failed; {remedy_of(error)}, or pray"


@pytest.mark.parametrize("error", [OSError("what?"), MemoryError(), OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))])
def test_where_nothing_is_known_to_help_nothing_is_advised(error: Exception) -> None:
    assert with_remedy("it failed", error) == "it failed"
    assert with_remedy("it failed", error, "pray") == "it failed; pray"


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), locked(tmp_path / "new" / "run" / "train"):
        assert (tmp_path / "new" / "run" / "train.lock").exists()
        raise RuntimeError
    assert not os.listdir(tmp_path)
    (tmp_path / "old").mkdir()
    with locked(tmp_path / "old" / "train"):
        pass
    assert os.listdir(tmp_path) == ["old"]  # which the lock did not make


def test_a_lock_that_is_removed_by_its_holder_still_keeps_others_out(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(tmp_path / "new" / "folder" / "x"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))  # raises what a thread has raised
    assert most == 1
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_that_a_holder_removes_meanwhile_is_made_again(
    error: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Path.mkdir, [error] * 3

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        if left:
            raise left.pop()
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with locked(tmp_path / "folder" / "x"):
        assert not left


def test_no_lock_is_made_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    for name in ("file", "file/below", "nowhere", "nowhere/below"):
        with pytest.raises(OSError, match=r"exists|Not a directory") as caught, locked(tmp_path / name / "x"):
            pass
        assert "file where a folder is wanted" in remedy_of(caught.value)


def test_an_interrupted_folder_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        interrupted(atomic_dir(tmp_path / "d"))
    assert os.listdir(tmp_path) == []


def test_truncated_json_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": ')
    with pytest.raises(FileError, match=r"a\.json.*truncated"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileError, match=r"a\.json is not valid JSON.*; correct it there"):
        read_json(tmp_path / "a.json", BY_HAND)
    with pytest.raises(FileError, match="does not exist"):
        read_json(tmp_path / "b.json")


def test_hashes_depend_on_content_and_on_where_parts_end() -> None:
    assert json_hash({"a": 1, "b": 2}) == json_hash({"b": 2, "a": 1})
    assert content_hash("ab", "c") != content_hash("a", "bc")


def test_episode_streams_repeat_and_are_independent() -> None:
    draw = episode_rng(3, 5).random(4)
    np.testing.assert_array_equal(draw, episode_rng(3, 5).random(4))
    others = [episode_rng(3, 6), episode_rng(4, 5), episode_rng(3, 5, "planner")]
    assert all(not np.array_equal(draw, other.random(4)) for other in others)


def test_unknown_names_suggest_the_nearest() -> None:
    message = str(UnknownNameError("pooling", "detpol", ("detpool", "mean")))
    assert "Did you mean 'detpool'?" in message
    assert "mean" in message


@pytest.mark.parametrize("text", ["[" * 200_000, "9" * 5000, "{", "\udcff"], ids=["deep", "long", "torn", "bytes"])
def test_what_is_no_json_for_whatever_reason_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FileError, match=r"odd\.json is not valid JSON"):
        read_json(tmp_path / "odd.json")


def test_a_real_path_has_no_links_and_a_link_to_itself_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link" / ".." / "link") == real_path(str(tmp_path)) / "there"
    assert real_path(tmp_path / "loop").name == "loop"


def test_what_a_killed_writer_left_is_no_file_and_fills_no_folder(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    with atomic_path(rows / "try-0.001.parquet") as file, atomic_dir(rows / "made") as folder:
        left = [file.name, folder.name]
    (rows / "try-0.001.parquet").rename(rows / left[0])  # as kill -9 leaves them
    (rows / "made").rename(rows / left[1])
    assert not in_the_way(rows)
    assert whole_files(rows, "*.parquet") == []
    (rows / ".hidden").touch()  # somebody's
    assert in_the_way(rows)
    for name in "ba":
        write_text(rows / f"{name}.parquet", name)
    assert whole_files(rows, "*.parquet") == [rows / "a.parquet", rows / "b.parquet"]
    assert whole_files(tmp_path, "**/*.parquet") == [rows / "a.parquet", rows / "b.parquet"]
