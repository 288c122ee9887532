"""Two trees on disk: equal, or different in a way that is named."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from backup_core.engine.compare import Aspect, compare_trees
from backup_core.errors import Cancelled
from backup_core.progress import CancelToken
from backup_core.testing.trees import make_tree


@pytest.fixture
def twins(readable_hostile_tree, tmp_path: Path) -> tuple[Path, Path]:
    left = readable_hostile_tree(tmp_path / "left").root
    subprocess.run(["cp", "-a", left, tmp_path / "right"], check=True)
    return left, tmp_path / "right"


def test_a_faithful_copy_has_no_difference(twins) -> None:
    assert compare_trees(*twins) == []
    assert compare_trees(twins[0], twins[0]) == []


def keep_time(path: Path, act) -> None:
    facts = path.lstat()
    above = path.parent.lstat()
    act(path)
    if path.exists() or path.is_symlink():
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)
    os.utime(path.parent, ns=(above.st_atime_ns, above.st_mtime_ns))


def replace_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


def copy_over(path: Path) -> None:
    twin = path.with_name("twin")
    shutil.copy2(path, twin)
    twin.replace(path)


@pytest.mark.parametrize(
    ("name", "act", "aspects"),
    [
        ("contents/text", lambda p: p.write_bytes(b"X" + p.read_bytes()[1:]), [Aspect.CONTENT]),
        ("contents/text", lambda p: p.write_bytes(b"short"), [Aspect.CONTENT]),
        ("contents/text", lambda p: p.chmod(0o600), [Aspect.MODE]),
        ("contents/text", lambda p: os.setxattr(p, "user.new", b"1"), [Aspect.ATTRIBUTES]),
        ("contents/text", lambda p: p.unlink(), [Aspect.PRESENCE]),
        ("links/relative", replace_link, [Aspect.LINK_TARGET]),
        ("special_files/fifo", lambda p: (p.unlink(), p.write_text("")), [Aspect.TYPE]),
        ("links/a pair", copy_over, [Aspect.LINKS, Aspect.LINKS]),
    ],
)
def test_each_difference_is_named(twins, name: str, act, aspects: list[Aspect]) -> None:
    left, right = twins
    keep_time(right / name, act)
    found = compare_trees(left, right)
    assert [difference.aspect for difference in found] == aspects
    assert name in [difference.path for difference in found]
    assert all(str(difference) for difference in found)


def test_times_and_owners_count_unless_told_otherwise(twins) -> None:
    left, right = twins
    os.utime(right / "contents" / "text", ns=(1, 1))
    assert [d.aspect for d in compare_trees(left, right)] == [Aspect.TIME]
    assert compare_trees(left, right, times=False) == []
    if os.geteuid() == 0:
        os.chown(right / "contents" / "copy", 7, 7)
        assert [d.aspect for d in compare_trees(left, right, times=False)] == [Aspect.OWNER]
        assert compare_trees(left, right, times=False, owners=False) == []


def test_what_only_the_right_side_has_may_be_passed_over(tmp_path: Path) -> None:
    left = make_tree(tmp_path / "left", files=5)
    subprocess.run(["cp", "-a", left, tmp_path / "right"], check=True)
    (tmp_path / "right" / "new").write_text("new")
    assert {d.aspect for d in compare_trees(left, tmp_path / "right")} == {Aspect.PRESENCE, Aspect.TIME}
    assert compare_trees(left, tmp_path / "right", extra_right=False) == []


def test_holes_and_data_of_zeros_are_equal(tmp_path: Path) -> None:
    (tmp_path / "holes").touch()
    os.truncate(tmp_path / "holes", 3_000_000)
    (tmp_path / "zeros").write_bytes(bytes(3_000_000))
    assert compare_trees(tmp_path / "holes", tmp_path / "zeros", times=False) == []


def test_sockets_count_only_when_asked_for(tmp_path: Path) -> None:
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
    with chdir(tmp_path / "left"), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    assert compare_trees(tmp_path / "left", tmp_path / "right", times=False) == []
    assert len(compare_trees(tmp_path / "left", tmp_path / "right", times=False, sockets=True)) == 1


def test_a_root_that_is_not_there_is_an_error_and_so_is_a_cancel(twins, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        compare_trees(twins[0], tmp_path / "nowhere")
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        compare_trees(*twins, cancel=cancel)
