"""Archives: what is unpacked is whole; bombs, links and names that lead outside are refused, nothing is left behind."""

from __future__ import annotations

import errno
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.core.errors import FileError
from toyshift.core.files import cache_dir
from toyshift.toys.meshes import archive
from toyshift.toys.meshes.archive import folder_of, unpacked

Fill = Callable[[zipfile.ZipFile], object]


def _zip(path: Path, fill: Fill) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        fill(out)
    return path


def _link(out: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("evil.stl")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    out.writestr(info, "/etc/passwd")


def _left_over() -> set[str]:
    return {p.name for p in cache_dir("archives").iterdir() if not p.name.endswith(".lock")}


def test_only_the_wanted_files_are_unpacked_once(tmp_path: Path) -> None:
    path = _zip(
        tmp_path / "a.whl",
        lambda z: [z.writestr("d/x.stl", "one"), z.writestr("d/y.py", "two"), z.writestr("Z.STL", "three")],
    )
    folder = unpacked(path, (".stl",))
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == ["Z.STL", "d/x.stl"]
    assert (folder / "d" / "x.stl").read_text() == "one"
    assert folder_of(path, (".stl",)) == folder
    assert folder_of(tmp_path, (".stl",)) == tmp_path


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda z: z.writestr("../out.stl", "x"), "outside the folder"),
        (lambda z: z.writestr("a/../../out.stl", "x"), "outside the folder"),
        (lambda z: z.writestr("/tmp/out.stl", "x"), "outside the folder"),
        (lambda z: z.writestr("..\\out.stl", "x"), "outside the folder"),
        (lambda z: z.writestr("C:/out.stl", "x"), "outside the folder"),
        (_link, "holds the link 'evil.stl'"),
        (lambda z: z.writestr("bomb.stl", bytes(5_000_000)), "zip bomb"),
        (lambda z: z.writestr("x.txt", "x"), "holds no file with one of the suffixes .stl"),
    ],
)
def test_unsafe_archives_are_refused(tmp_path: Path, fill: Fill, words: str) -> None:
    before = _left_over()
    with pytest.raises(FileError, match=words) as caught:
        unpacked(_zip(tmp_path / "a.zip", fill), (".stl",))
    assert "a.zip" in str(caught.value)
    assert _left_over() == before
    assert not (tmp_path.parent / "out.stl").exists()


def test_limits_on_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "a.zip", lambda z: [z.writestr(f"{k}.stl", "x" * 100) for k in range(3)])
    monkeypatch.setattr(archive, "MAX_UNPACKED", 250)
    with pytest.raises(FileError, match="would unpack to"):
        unpacked(path, (".stl",))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    with pytest.raises(FileError, match="holds 3 files, more than 2"):
        unpacked(path, (".stl",))


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", lambda z: z.writestr("bomb.stl", bytes(5_000_000)))
    raw = path.read_bytes()
    real, told = (5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert real in raw
    path.write_bytes(raw.replace(real, told))
    before = _left_over()
    with pytest.raises(FileError, match="cannot be unpacked"):
        unpacked(path, (".stl",))
    assert _left_over() == before


def test_damaged_and_missing_archives_are_named(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", lambda z: z.writestr("x.stl", "abc" * 1000))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FileError, match=r"a\.zip cannot be unpacked"):
        unpacked(path, (".stl",))
    with pytest.raises(FileError, match="does not exist"):
        folder_of(tmp_path / "nowhere.zip", (".stl",))
    (tmp_path / "x.tar").write_text("x")
    with pytest.raises(FileError, match="neither a folder nor an archive"):
        folder_of(tmp_path / "x.tar", (".stl",))


def test_a_full_disk_leaves_nothing_half_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "a.zip", lambda z: z.writestr("full.stl", "abc" * 1000))

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive.shutil, "copyfileobj", no_room)
    before = _left_over()
    with pytest.raises(FileError, match="No space left on device"):
        unpacked(path, (".stl",))
    assert _left_over() == before
