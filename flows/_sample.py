"""What the quickstart backs up: a copy of Python's standard library, or the user's own files, and changes to make.

The user's own files are only ever read. Changes are made in the copy, or else in a scratch directory that is a second
source of the same backup.
"""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from backup_core.errors import ConfigError, SourceError

COPY = "standard-library"
SCRATCH = "quickstart-changes"
_CHANGED, _DELETED = 12, 3
_NOT_COPIED = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__")


@dataclass(frozen=True, slots=True)
class Sample:
    """The sources of the quickstart's backup."""

    sources: tuple[Path, ...]
    changing: Path
    """The one of them in which files may be changed."""
    description: str


def prepare(room: Path, wanted: Path | None) -> Sample:
    """Choose the sources, and make those that are ours below ``room``; what an earlier run left there is used again.

    Raises ``SourceError`` when ``wanted`` is no directory, ``ConfigError`` when ``room`` lies inside it.
    """
    room.mkdir(parents=True, exist_ok=True)
    if wanted is None:
        library = Path(sysconfig.get_path("stdlib"))
        copy = room / COPY
        if not copy.exists():
            draft = room / f"{COPY}.part"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(library, draft, symlinks=True, ignore=_NOT_COPIED)
            draft.rename(copy)
        return Sample((copy,), copy, f"a copy of {library}")
    source = wanted.expanduser().absolute()
    if not source.is_dir():
        raise SourceError(f"{source} is no directory that can be read", path=str(source))
    if room.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"the backup would be stored inside what it backs up ({source}); "
            "set DAVAULT_HOME to a directory somewhere else"
        )
    scratch = room / SCRATCH
    if not scratch.exists():
        scratch.mkdir()
        for number in range(24):
            (scratch / f"note {number:02}.txt").write_text(f"note {number}, first version\n" * 200, encoding="utf-8")
    return Sample((source, scratch), scratch, f"{source} (only read) and {scratch}")


def change(sample: Sample, stamp: str) -> str:
    """Add, change, rename and delete some files, the same ones for the same ``stamp``; says what in a sentence."""
    top = sample.changing
    files = [p for p in sorted(top.rglob("*")) if p.is_file() and not p.is_symlink()]
    step = max(1, len(files) // _CHANGED)
    changed, others = files[::step][:_CHANGED], files[1::step]
    for path in changed:
        with path.open("ab") as file:
            file.write(f"\n# changed by the quickstart at {stamp}\n".encode())
    deleted = others[:_DELETED]
    for path in deleted:
        path.unlink()
    renamed = others[_DELETED : _DELETED + 1]
    for path in renamed:
        path.rename(path.with_name(f"{path.stem} renamed {stamp}{path.suffix}"))
    added = [top / f"新增文件 {stamp} {number}.txt" for number in range(_DELETED)]
    for number, path in enumerate(added):
        path.write_text(f"added by the quickstart at {stamp}: {number}\n" * 50, encoding="utf-8")
    return f"{len(added)} files added, {len(changed)} changed, {len(renamed)} renamed, {len(deleted)} deleted"
