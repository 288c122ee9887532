"""A tree of every odd file that a Linux file system can hold: what a backup program meets in real life, all at once."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

from backup_core.deferred import dataclass
from backup_core.testing.trees import BASE_TIME_NS

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

ODD_NAMES = (
    "重要文档.txt",
    "合同 2026 (最终版).pdf",
    "Ünïcödé.txt",
    "NFC-\u00e9",
    "NFC-e\u0301",  # the same letter to the eye, another name to the file system
    "emoji-\U0001f409",
    "line\nbreak",
    "tab\tname",
    "back\\slash",
    'double"quote',
    "single'quote",
    "<html>&amp;",
    "percent%2Fencoded",
    "#hash?question",
    "control-\x01-\x1f-\x7f",
    "separator-\u2028-\u2029",
    "replacement-\ufffd",
    " leading and trailing ",
    "-leading-dash",
    "trailing.dot.",
    "...",
    "~tilde",
    "*glob[!x]?",
    "CON.txt",
    "x" * 255,
)
BYTE_NAMES = (
    b"latin-1-\xe9",
    b"\xff\xfe\xfd",
    b"half-utf8-\xe4\xb8",
    b"surrogate-\xed\xa0\x80",
    b"gbk-\xd6\xd8\xd2\xaa",
)
LENGTHS = (0, 1, 4095, 512 * KIB - 1, 512 * KIB, 512 * KIB + 1, MIB, 8 * MIB + 1)
MOMENTS_NS = (0, 1, -1, -86_400_000_000_001, 4_102_444_800_999_999_999, 999_999_999)
# A POSIX ACL as the kernel keeps it: version 2, then (tag, permissions, id) of owner, user 12345,
# group, mask and others.
NO_ID = 0xFFFFFFFF
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, NO_ID), (2, 4, 12345), (4, 4, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID))
)


@dataclass(frozen=True, slots=True)
class HostileTree:
    """What was made."""

    root: Path
    left_out: tuple[str, ...]
    """What this machine or user could not make, with the reason."""


def make_hostile_tree(root: Path, *, small_files: int = 0, sparse_size: int = 0) -> HostileTree:
    """Make the tree below ``root`` (new or empty).

    ``small_files``: so many files of up to 300 bytes besides, 500 in a directory. ``sparse_size``: bytes of a file that
    is a hole but for three islands of data. Owners and device nodes need root; what cannot be made is told, not hidden.
    """
    root.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    chance = random.Random(23)
    _names(root / "names")
    _contents(root / "contents", chance)
    _links(root / "links")
    _modes(root / "modes")
    _directories(root / "directories")
    for make in (_special_files, _attributes, _owners):
        make(root / make.__name__.strip("_"), left_out)
    if small_files:
        _small_files(root / "small files", small_files, chance)
    if sparse_size:
        _sparse(root / "sparse", sparse_size)
    _times(root / "times")
    return HostileTree(root, tuple(left_out))


def _names(top: Path) -> None:
    top.mkdir()
    for name in (*map(os.fsencode, ODD_NAMES), *BYTE_NAMES):
        Path(os.fsdecode(os.path.join(os.fsencode(top), name))).write_bytes(b"content of " + name)
    directory = os.path.join(os.fsencode(top), b"directory-\xe9-\xe9\x87\x8d\xe8\xa6\x81")
    os.mkdir(directory)
    Path(os.fsdecode(directory), "inside").write_text("a file in a directory whose name is not UTF-8")


def _contents(top: Path, chance: random.Random) -> None:
    top.mkdir()
    for length in LENGTHS:
        (top / f"random-{length}").write_bytes(chance.randbytes(length))
    (top / "zeros").write_bytes(bytes(3 * MIB))
    (top / "text").write_text("the same line again and again\n" * 100_000)
    (top / "copy").write_bytes((top / f"random-{8 * MIB + 1}").read_bytes())


def _links(top: Path) -> None:
    (top / "below").mkdir(parents=True)
    (top / "file").write_text("linked")
    (top / "hard").hardlink_to(top / "file")
    (top / "below" / "hard too").hardlink_to(top / "file")
    (top / "a pair").write_bytes(b"p" * 5000)
    (top / "below" / "of two").hardlink_to(top / "a pair")
    targets = {
        "relative": b"below/../file",
        "absolute": os.fsencode(top / "file"),
        "to a directory": b"below",
        "dangling": b"not/there",
        "loop": b"loop",
        "outside": b"../../../../../../etc/hostname",
        "bytes": b"target-\xff-\xe9",
        "long": b"l" * 4000,
        "中文": "目标".encode(),
    }
    for name, target in targets.items():
        os.symlink(target, os.fsencode(top / name))


def _modes(top: Path) -> None:
    top.mkdir()
    for mode in (0o000, 0o400, 0o444, 0o777, 0o4755, 0o2755, 0o6711, 0o1644):
        path = top / f"file-{mode:04o}"
        path.write_text(f"{mode:o}")
        path.chmod(mode)
    for mode in (0o500, 0o555, 0o700, 0o1777, 0o2770):
        path = top / f"directory-{mode:04o}"
        path.mkdir()
        (path / "inside").write_text("in it")
        path.chmod(mode)


def _directories(top: Path) -> None:
    (top / "empty").mkdir(parents=True)
    deep = top
    for level in range(60):
        deep = deep / f"level {level:02}"
    deep.mkdir(parents=True)
    (deep / "at the bottom").write_text("deep")


def _special_files(top: Path, left_out: list[str]) -> None:
    top.mkdir()
    os.mkfifo(top / "fifo", 0o640)
    # A socket's whole path must fit into 108 bytes, so it is bound by a short relative one.
    with chdir(top), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    for name, kind, device in (("null", 0o020666, os.makedev(1, 3)), ("loop", 0o060660, os.makedev(7, 200))):
        _try(left_out, f"device node {name}", partial(os.mknod, top / name, kind, device))


def _attributes(top: Path, left_out: list[str]) -> None:
    (top / "directory").mkdir(parents=True)
    for name in ("plain", "acl"):
        (top / name).write_text(name)
    wanted = (
        ("plain", "user.comment", "备注".encode()),
        ("plain", "user.binary", b"\x00\xff\x00"),
        ("plain", "user.empty", b""),
        ("plain", "user.large", b"v" * 3000),
        ("plain", "trusted.davault", b"only root sees this"),
        ("directory", "user.on-a-directory", b"yes"),
        ("acl", "system.posix_acl_access", ACL),
        ("directory", "system.posix_acl_default", ACL),
    )
    for name, attribute, value in wanted:
        _try(left_out, f"attribute {attribute}", partial(os.setxattr, top / name, attribute, value))


def _owners(top: Path, left_out: list[str]) -> None:
    top.mkdir()
    for name, uid, gid in (("nobody", 65534, 65534), ("unknown", 123_456, 234_567)):
        path = top / name
        path.write_text(name)
        _try(left_out, f"owner {uid}:{gid}", partial(os.chown, path, uid, gid))
    link = top / "owned link"
    link.symlink_to("nobody")
    _try(left_out, "owner of a symlink", partial(os.chown, link, 1234, 1234, follow_symlinks=False))


def _small_files(top: Path, count: int, chance: random.Random) -> None:
    for number in range(count):
        directory = top / f"{number // 500:03}"
        if number % 500 == 0:
            directory.mkdir(parents=True)
        (directory / f"文件 {number:06}.txt").write_bytes(chance.randbytes(chance.randrange(300)))


def _sparse(top: Path, size: int) -> None:
    top.mkdir()
    with (top / "mostly nothing").open("wb") as file:
        for offset in (0, size // 2 + 12_345, size - 5):
            file.seek(offset)
            file.write(b"data!")


def _times(top: Path) -> None:
    top.mkdir()
    for moment in MOMENTS_NS:
        path = top / f"at {moment}"
        path.write_text(str(moment))
        os.utime(path, ns=(BASE_TIME_NS, moment))
    link = top / "link"
    link.symlink_to("at 0")
    os.utime(link, ns=(BASE_TIME_NS, BASE_TIME_NS), follow_symlinks=False)
    os.utime(top, ns=(BASE_TIME_NS, BASE_TIME_NS + 1))


def _try(left_out: list[str], what: str, make: Callable[[], None]) -> None:
    try:
        make()
    except OSError as error:
        left_out.append(f"{what}: {error.strerror}")
