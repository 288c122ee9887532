"""Nothing is ever written outside the target, whatever names are asked for and whatever stands in their place."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from backup_core.engine.target import (
    ROOT,
    Directories,
    Target,
    check_name,
    create_part,
    free_bytes,
    is_part,
    look,
    make_directory,
    open_directory,
    open_for_reading,
    open_part,
    part_name,
    publish,
    remove,
    remove_tree,
    write_all,
)
from backup_core.errors import RestoreError, UnsafePath


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nobody may touch."""
    path = tmp_path / "outside" / "precious"
    path.parent.mkdir()
    path.write_text("precious")
    path.chmod(0o640)
    return path


@pytest.fixture
def target(tmp_path: Path):
    with Target(str(tmp_path / "target"), create=True) as opened:
        yield opened


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/etc/passwd", b"../x", b"nul\0", b"/"])
def test_names_that_are_ways_are_refused_by_every_act(target, name: bytes) -> None:
    acts = [
        check_name,
        lambda n: look(target.fd, n),
        lambda n: open_directory(target.fd, n),
        lambda n: make_directory(target.fd, n, private=True),
        lambda n: create_part(target.fd, n),
        lambda n: open_part(target.fd, n),
        lambda n: open_for_reading(target.fd, n),
        lambda n: publish(target.fd, b"part", n),
        lambda n: remove(target.fd, n),
        lambda n: remove_tree(target.fd, n),
    ]
    for act in acts:
        with pytest.raises(UnsafePath):
            act(name)


@pytest.mark.parametrize("name", ["...", ".hidden", "..a", "a..", " ", "\n", "-rf", "~", "*", "重要"])
def test_odd_names_that_are_names_are_let_pass(name: str) -> None:
    assert check_name(name.encode()) == name.encode()


def test_links_in_the_place_of_directories_are_not_followed(target, outside: Path) -> None:
    os.symlink(outside.parent, b"link", dir_fd=target.fd)
    with pytest.raises(OSError):
        open_directory(target.fd, b"link")
    with closing(Directories(target.fd, lambda n: (ROOT, b"link"))) as directories, pytest.raises(OSError):
        directories.handle(0)


def test_a_part_is_never_written_through_a_link_or_into_somebody_elses_file(target, outside: Path) -> None:
    part = part_name(b"file", b"content")
    os.symlink(outside, part, dir_fd=target.fd)
    with pytest.raises(OSError):
        open_part(target.fd, part)
    descriptor = create_part(target.fd, part, size=4)
    write_all(descriptor, b"mine", 0)
    os.close(descriptor)
    remove(target.fd, part)
    os.link(outside, part, dst_dir_fd=target.fd)
    with pytest.raises(UnsafePath):
        open_part(target.fd, part)
    remove(target.fd, part)
    os.mkfifo(part, dir_fd=target.fd)
    with pytest.raises(UnsafePath):
        open_part(target.fd, part)
    with pytest.raises(UnsafePath):
        open_for_reading(target.fd, part)
    assert outside.read_text() == "precious"


def test_a_name_that_is_a_link_is_replaced_and_its_goal_left_alone(target, outside: Path) -> None:
    os.symlink(outside, b"file", dir_fd=target.fd)
    descriptor = create_part(target.fd, b"part")
    write_all(descriptor, b"new", 0)
    os.close(descriptor)
    publish(target.fd, b"part", b"file")
    assert not Path(os.fsdecode(target.path), "file").is_symlink()
    assert outside.read_text() == "precious"


def test_removing_a_tree_removes_links_and_not_what_they_lead_to(target, outside: Path) -> None:
    top = Path(os.fsdecode(target.path))
    (top / "tree" / "deep" / "er").mkdir(parents=True)
    (top / "tree" / "file").write_text("x")
    (top / "tree" / "deep" / "link").symlink_to(outside.parent)
    (top / "tree" / "deep" / "er" / "file-link").symlink_to(outside)
    remove_tree(target.fd, b"tree")
    assert os.listdir(target.fd) == []
    assert outside.read_text() == "precious"


def test_trees_deeper_than_any_path_can_say_are_handled(target) -> None:
    depth = 2000
    others = len(os.listdir("/proc/self/fd"))
    with closing(Directories(target.fd, lambda n: (n - 1, b"directory"))) as directories:
        for number in range(depth):
            make_directory(directories.handle(number - 1), b"directory", private=True)
        descriptor = create_part(directories.handle(depth - 1), b"file")
        os.close(descriptor)
        # From cold: the whole way is walked again, with few handles open.
    with closing(Directories(target.fd, lambda n: (n - 1, b"directory"))) as directories:
        assert look(directories.handle(depth - 1), b"file") is not None
        assert len(os.listdir("/proc/self/fd")) - others < 150
    remove_tree(target.fd, b"directory")
    assert os.listdir(target.fd) == []


def test_two_restores_do_not_write_to_one_target(target, tmp_path: Path) -> None:
    target.hold()
    with Target(str(tmp_path / "target"), create=True) as second, pytest.raises(RestoreError, match="another restore"):
        second.hold()


def test_a_target_that_is_a_file_is_refused(outside: Path) -> None:
    for create in (True, False):
        with pytest.raises(RestoreError, match="choose another target"):
            Target(str(outside), create=create)
    with pytest.raises(RestoreError):
        Target(str(outside / "below"), create=True)


def test_part_names_follow_from_name_and_content() -> None:
    assert part_name(b"a", b"1") == part_name(b"a", b"1")
    assert len({part_name(b"a", b"1"), part_name(b"a", b"2"), part_name(b"b", b"1"), part_name(b"a1", b"")}) == 4
    assert is_part(part_name(b"x" * 255, b""))
    assert len(part_name(b"x" * 255, b"")) < 255
    assert not is_part(b".davault-notes.part")


def test_room_is_told_also_for_a_target_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(str(tmp_path / "not" / "yet")) > 0
