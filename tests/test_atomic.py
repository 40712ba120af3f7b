"""A target has its old bytes or its new ones, and nothing else is left in its folder."""

import os

import pytest

from refdiff.atomic import atomic_write
from refdiff.errors import RefdiffError


def test_the_target_changes_at_the_end_only(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, MemoryError])
def test_whatever_stops_the_block_leaves_nothing(tmp_path, stop):
    with pytest.raises(stop), atomic_write(tmp_path / "x") as file:
        file.write(b"half")
        raise stop
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(RefdiffError, match="No space left"), atomic_write(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_permissions_are_those_of_any_new_file(tmp_path):
    with atomic_write(tmp_path / "x"), open(tmp_path / "y", "wb"):
        pass
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "x")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "x").read_bytes() == b"new"


def test_a_bare_name_lies_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_write("x") as file:
        file.write(b"new")
    assert os.listdir() == ["x"]
