"""What is de-identified stays within the place that was named for it, and is on the disk when it has its name."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from rtbids.deidentify.destinations import Folder, Tar
from rtbids.errors import BadData, CannotWrite

NAME = "P0123/2.25.7/2.25.8.dcm"
LEADING_OUT = [
    "P0123/2.25.7/../../../escaped.dcm",
    "P0123/2.25.7/1.2.840.10008./../../../../escaped.dcm",
    "P0123/../2.25.8.dcm",
    "../2.25.7/2.25.8.dcm",
    "/P0123/2.25.7/2.25.8.dcm",
    "P0123/2.25.7/.dcm",
    "P0123/2.25.7/2.25.8\0.dcm",
    "P0123/2.25.7/2.25.8\n.dcm",
    f"P0123/2.25.7/2{'5' * 64}.dcm",
]


def names_in(tar: Path) -> list[str]:
    with tarfile.open(tar) as file:
        return file.getnames()


def write(folder: Folder, name: str) -> None:
    folder.write(name, b"x")
    folder.finish()
    folder.drop()


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_is_not_made_of_identifiers_is_written_nowhere(tmp_path: Path, name: str) -> None:
    folder, tar = Folder(tmp_path / "clean"), Tar(str(tmp_path / "clean.tar"))
    for destination in (folder, tar):
        with pytest.raises(BadData, match="cannot be named"):
            destination.write(name, b"x")
    tar.finish()
    assert names_in(tmp_path / "clean.tar") == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "clean.tar"]


@pytest.mark.parametrize("name", [NAME, "IR7 a.3/series/2.25.8.dcm", f"P0123/2.25.7/{'5' * 64}.dcm"])
def test_names_of_identifiers_are_written(tmp_path: Path, name: str) -> None:
    write(Folder(tmp_path), name)
    assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize("link", ["P0123", "P0123/2.25.7"])
def test_a_link_in_the_folder_does_not_lead_out_of_it(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "clean" / link).parent.mkdir(parents=True)
    (tmp_path / "clean" / link).symlink_to(outside)
    with pytest.raises(CannotWrite, match="leads out of it"):
        Folder(tmp_path / "clean", overwrite=True).write(NAME, b"x")
    assert list(outside.iterdir()) == []


def test_a_folder_that_is_reached_by_a_link_is_written_into(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    write(Folder(tmp_path / "linked"), NAME)
    assert (tmp_path / "real" / NAME).read_bytes() == b"x"


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folders_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[str, bool] = {}  # what was on the disk, and whether the file had its name then
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced[os.readlink(f"/proc/self/fd/{descriptor}")] = (tmp_path / "clean" / NAME).exists()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder = Folder(tmp_path / "clean")
    folder.write(NAME, b"x")
    folder.finish()
    root = tmp_path / "clean"
    (part,) = (place for place, named in synced.items() if not named)
    assert part.startswith(str(root / "P0123" / "2.25.7" / ".2.25.8.dcm"))
    assert {str(root), str(root / "P0123"), str(root / "P0123" / "2.25.7")} <= {
        place for place, named in synced.items() if named
    }


def test_a_link_in_the_place_of_an_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "P0123" / "2.25.7"
    folder.mkdir(parents=True)
    (folder / f".2.25.8.dcm.{os.getpid()}.part").symlink_to(tmp_path / "other")
    with pytest.raises(CannotWrite):
        Folder(tmp_path, overwrite=True).write(NAME, b"x")
    assert not (tmp_path / "other").exists()


def test_a_tar_holds_what_was_written(tmp_path: Path) -> None:
    tar = Tar(str(tmp_path / "clean.tar"))
    tar.write(NAME, b"x")
    tar.finish()
    assert names_in(tmp_path / "clean.tar") == [NAME]


def test_a_file_that_cannot_have_its_name_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(parents=True)
    folder = Folder(tmp_path, overwrite=True)
    folder.write(NAME, b"x")
    with pytest.raises(CannotWrite, match=r"2\.25\.8\.dcm"):
        folder.finish()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_written_has_its_name_also_where_the_end_comes_early(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    names = [f"P0123/2.25.7/2.25.{number}.dcm" for number in range(100)]
    for name in names:
        folder.write(name, b"x")
    folder.drop()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(names)


def test_a_folder_that_was_made_for_nothing_goes_and_another_stays(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        Folder(tmp_path / name).drop()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_under_a_tar_is_said_without_a_promise(tmp_path: Path) -> None:
    (tmp_path / f".clean.{os.getpid()}.tar").symlink_to("/dev/full")
    tar = Tar(str(tmp_path / "clean.tar"))
    with pytest.raises(CannotWrite, match="no space left") as caught:
        tar.write(NAME, b"x")
    assert "not kept" in str(caught.value.hint)
    tar.drop()
    assert list(tmp_path.iterdir()) == []
