"""Directory trees for tests: ordinary ones made from a seed, changes to them, and a description to compare by.

The description is written independently of the engine on purpose: it is the second opinion on what was restored.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BASE_TIME_NS = 1_700_000_000_123_456_789
WORDS = ("backup", "repository", "snapshot", "tree", "chunk", "档案", "合同", "Überblick", "index", "notes")


class Entry(NamedTuple):
    """Everything about one name that a restore must bring back."""

    kind: str
    """"file", "dir", "symlink", "fifo", "socket", "chardev" or "dev"."""
    mode: int
    """Permission bits with setuid, setgid and sticky (0 for symlinks, which have none on Linux)."""
    uid: int
    gid: int
    mtime_ns: int
    size: int
    """Bytes of a file, 0 for everything else."""
    digest: str
    """SHA-256 of a file's content, hex."""
    target: bytes
    """Where a symlink points."""
    device: int
    """Device number of a device node."""
    attributes: tuple[tuple[bytes, bytes], ...]
    """Extended attributes, ACLs included, sorted by name."""
    twin: bytes
    """The first of the names (in byte order) that share this inode, empty when there is only one."""


KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "chardev",
    stat.S_IFBLK: "dev",
}


def describe(root: str | bytes | os.PathLike[str], *, sockets: bool = True) -> dict[bytes, Entry]:
    """All that lies below ``root`` by relative name, ``b"."`` being the root itself.

    ``sockets=False`` leaves them out, for programs that do not restore sockets.
    """
    top = os.fsencode(root)
    names = sorted(_names_below(top))
    twins: dict[tuple[int, int], bytes] = {}
    found: dict[bytes, Entry] = {}
    for name in names:
        facts = os.lstat(os.path.join(top, name))
        if not sockets and stat.S_ISSOCK(facts.st_mode):
            continue
        shared = facts.st_nlink > 1 and not stat.S_ISDIR(facts.st_mode)
        twin = twins.setdefault((facts.st_dev, facts.st_ino), name) if shared else b""
        found[name] = _entry(os.path.join(top, name), facts, twin)
    return found


def differences(left: dict[bytes, Entry], right: dict[bytes, Entry]) -> list[str]:
    """Sentences saying where two descriptions differ, in order of the names; empty when they are equal."""
    told = []
    for name in sorted(left.keys() | right.keys()):
        one, other = left.get(name), right.get(name)
        if one is None or other is None:
            told.append(f"{name!r}: only on the {'right' if one is None else 'left'}")
        elif one != other:
            fields = [f for f in Entry._fields if getattr(one, f) != getattr(other, f)]
            told.extend(f"{name!r}: {f} is {getattr(one, f)!r} and {getattr(other, f)!r}" for f in fields)
    return told


def make_tree(root: Path, *, seed: int = 1, files: int = 40, largest: int = 200_000) -> Path:
    """An ordinary tree: text, random bytes and copies in nested directories, the same for the same seed."""
    chance = random.Random(seed)
    root.mkdir(parents=True, exist_ok=True)
    directories = [root]
    for number in range(files):
        if chance.random() < 0.25:
            directories.append(chance.choice(directories) / f"{chance.choice(WORDS)}-{number}")
            directories[-1].mkdir(parents=True, exist_ok=True)
        path = chance.choice(directories) / f"{chance.choice(WORDS)} {number}.{chance.choice(('txt', 'bin', 'pdf'))}"
        path.write_bytes(_content(chance, largest))
        path.chmod(chance.choice((0o600, 0o640, 0o644, 0o755)))
    settle_times(root, seed=seed)
    return root


def change_tree(root: Path, *, seed: int = 2) -> dict[str, list[str]]:
    """Add, rewrite, touch, rename and delete some files of a tree; says which, by relative name."""
    chance = random.Random(seed)
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    picked = chance.sample(files, k=min(len(files), 8))
    done: dict[str, list[str]] = {"added": [], "changed": [], "renamed": [], "deleted": []}
    for path in picked[:3]:
        content = bytearray(path.read_bytes() or b"was empty")
        content[len(content) // 2 : len(content) // 2] = chance.randbytes(100)
        path.write_bytes(content)
        # A moment of its own: the file system's clock may stand still between two writes of a fast test.
        os.utime(path, ns=(BASE_TIME_NS, path.stat().st_mtime_ns + 1_000_000_007))
        done["changed"].append(str(path.relative_to(root)))
    for path in picked[3:4]:
        path.rename(path.with_name("renamed " + path.name))
        done["renamed"].append(str(path.relative_to(root)))
    for path in picked[4:6]:
        path.unlink()
        done["deleted"].append(str(path.relative_to(root)))
    for number in range(3):
        path = root / f"added {seed}-{number}.txt"
        path.write_bytes(_content(chance, 50_000))
        done["added"].append(path.name)
    return done


def settle_times(root: Path, *, seed: int = 1) -> None:
    """Give every entry a fixed modification time with odd nanoseconds, deepest first: directories keep theirs."""
    chance = random.Random(seed)
    top = os.fsencode(root)
    for name in sorted(_names_below(top), reverse=True):
        moment = BASE_TIME_NS + chance.randrange(10**15)
        os.utime(os.path.join(top, name), ns=(moment, moment), follow_symlinks=False)


def _content(chance: random.Random, largest: int) -> bytes:
    size = int(largest ** chance.random())
    if chance.random() < 0.5:
        return chance.randbytes(size)
    return " ".join(chance.choices(WORDS, k=size // 7 + 1)).encode()[:size]


def _names_below(top: bytes) -> Iterator[bytes]:
    yield b"."
    for directory, subdirectories, files in os.walk(top):
        inner = os.path.relpath(directory, top)
        for name in subdirectories + files:
            yield os.path.normpath(os.path.join(inner, name))


def _entry(path: bytes, facts: os.stat_result, twin: bytes) -> Entry:
    kind = KINDS[stat.S_IFMT(facts.st_mode)]
    return Entry(
        kind=kind,
        mode=0 if kind == "symlink" else stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
        mtime_ns=facts.st_mtime_ns,
        size=facts.st_size if kind == "file" else 0,
        digest=_digest(path) if kind == "file" else "",
        target=os.readlink(path) if kind == "symlink" else b"",
        device=facts.st_rdev if kind in ("chardev", "dev") else 0,
        attributes=_attributes(path),
        twin=twin,
    )


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attributes(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    names = os.listxattr(path, follow_symlinks=False)
    return tuple(sorted((os.fsencode(n), os.getxattr(path, n, follow_symlinks=False)) for n in names))
