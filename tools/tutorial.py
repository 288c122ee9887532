"""Runs docs/tutorial.md, which is a script as well as a text.

    python tools/tutorial.py            compare what the commands print today with what the text says
    python tools/tutorial.py --write    write what they print today into the text

Lines that begin with "$ davault" in a ``console`` block are run in this process, against a WebDAV server of its own,
with a clock that only moves when the text says so. Comments, which readers do not see, say what happens between:

    <!-- at 2025-10-01 20:00 -->      the clock is set
    <!-- files -->                    a person's documents are made
    <!-- nights 9 -->                 so many nights pass, with some work each day and a backup at 02:00
    <!-- delete a/b.txt -->           a file is lost

Numbers may differ by a twentieth (a tree holds inode numbers and the name of the user, so that its size is not quite
the same everywhere), those of packs by more, requests, ids and durations by anything; every other word must be the
same.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import random
import re
import shlex
import shutil
import socket
import string
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

TEXT = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
SHOWN_HOME = "/home/me"
"""As long as the directory that ``a_room`` makes in /tmp, so that tables keep their columns."""
SHOWN_URL = "https://dav.example.org/"
TOLERANCE = 0.05
LOOSE = 0.5
"""For lines about packs: how many there are depends on how the workers share the files. How many requests were sent
also depends on what was cached in time, so their number is not compared."""
_LOOSE_LINE = re.compile(r"packs|^(kept|copied in part|deleted|index written anew|  of inter)|  data  ")
_BLOCK = re.compile(r"^<!-- (\w+)(?: ([^\n]*?))? -->$|^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b[0-9a-f]{8,64}\b")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_DURATION = re.compile(r"\b[\d.]+ (?:ms|s)\b")


@contextlib.contextmanager
def a_room() -> Iterator[Path]:
    """A directory with a name of three letters, removed at the end."""
    for letters in itertools.product(string.ascii_lowercase, repeat=3):
        room = Path(tempfile.gettempdir(), "".join(letters))
        with contextlib.suppress(FileExistsError):
            room.mkdir(mode=0o700)
            break
    try:
        yield room
    finally:
        shutil.rmtree(room)


class Story:
    """One telling."""

    def __init__(self, room: Path) -> None:
        from backup_core.testing.clocks import ManualClock
        from backup_core.testing.webdav_server import WebDAVServer

        self.room = room
        self.documents = room / "Documents"
        self.clock = ManualClock(datetime(2025, 10, 1, 20, 0, tzinfo=UTC))
        self.chance = random.Random(7)  # noqa: S311 - repeatable documents, no secrets
        self.server = WebDAVServer(room / "server")
        self._prepare_process()

    def _prepare_process(self) -> None:
        from backup_core.services import application
        from backup_core.storage.backend import Space
        from backup_core.storage.webdav.backend import WebDAVBackend

        os.environ.update(TZ="UTC", DAVAULT_HOME=str(self.room / ".davault"), HOME=str(self.room))
        os.environ["NUTSTORE_PASSWORD"] = self.server.password.reveal()
        time.tzset()
        vars(application)["SystemClock"] = lambda: self.clock
        vars(socket)["gethostname"] = lambda: "laptop"
        # What is free on this machine's disk is none of the story's business.
        WebDAVBackend.space = lambda _: Space(used=2 << 30, available=8 << 30)  # type: ignore[method-assign]

    def told(self, text: str) -> str:
        """The text with what the commands print now."""
        with self.server:
            return _BLOCK.sub(self._part, text)

    def _part(self, match: re.Match[str]) -> str:
        word, argument, commands = match.groups()
        if commands is not None:
            return "```console\n" + "".join(self._commands(commands)) + "```"
        getattr(self, f"_do_{word}")(argument or "")
        return match[0]

    # ---- what happens between

    def _do_at(self, moment: str) -> None:
        self.clock.set(datetime.strptime(moment, "%Y-%m-%d %H:%M").replace(tzinfo=UTC))

    def _do_files(self, _: str) -> None:
        for folder, count in (("合同", 12), ("letters", 40), ("notes", 60), ("scans", 8)):
            for number in range(count):
                self._write(f"{folder}/{number:03}.{'bin' if folder == 'scans' else 'txt'}")
        self._write("合同/租约.txt")
        (self.documents / "draft.tmp").write_text("scratch")

    def _do_nights(self, count: str) -> None:
        for _ in range(int(count)):
            self._write(f"notes/{self.chance.randrange(60):03}.txt")
            self._write(f"letters/{self.chance.randrange(60):03}.txt")
            night = (self.clock.now() + timedelta(hours=22)).replace(hour=2, minute=0, second=0, microsecond=0)
            self.clock.set(night)
            self._run(["backup", "docs", "--quiet"])

    def _do_delete(self, name: str) -> None:
        (self.documents / name).unlink()

    def _write(self, name: str) -> None:
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".bin":
            path.write_bytes(self.chance.randbytes(60_000))
        else:
            words = self.chance.choices(("backup", "contract", "合同", "Brief", "the", "and", "2025"), k=400)
            path.write_text(" ".join(words))
        stamp = self.clock.now().timestamp()
        os.utime(path, (stamp, stamp))

    # ---- commands

    def _commands(self, block: str) -> Iterator[str]:
        for line in block.splitlines():
            if line.startswith("$ "):
                yield f"{line}\n{self._shown(line[2:])}"

    def _shown(self, line: str) -> str:
        command, _, pipe = line.partition(" | ")
        words = shlex.split(command.replace(SHOWN_HOME, str(self.room)).replace(SHOWN_URL, self.server.url))
        if words[0] != "davault":
            raise ValueError(f"only davault is run: {line}")
        lines = [part.rstrip() for part in self._run(words[1:]).splitlines()]
        if pipe:
            program, _, count = pipe.split()
            lines = lines[: int(count)] if program == "head" else lines[-int(count) :]
        shown = "".join(f"{part}\n" for part in lines)
        return shown.replace(str(self.room), SHOWN_HOME).replace(self.server.url, SHOWN_URL)

    def _run(self, words: list[str]) -> str:
        from backup_core.cli import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        if code not in (0, 3):
            raise RuntimeError(f"davault {' '.join(words)} ended with {code}:\n{out.getvalue()}{err.getvalue()}")
        return out.getvalue()


def differences(text: str, now: str) -> list[str]:
    """What is not the same, as lines of a diff; empty when the text is true."""
    if len(text.splitlines()) == len(now.splitlines()) and all(map(_alike, text.splitlines(), now.splitlines())):
        return []
    skeletons = [[_skeleton(line) for line in part.splitlines()] for part in (text, now)]
    return list(difflib.unified_diff(*skeletons, "the text", "what is printed", lineterm="")) or [
        f"{one}  !=  {other}"
        for one, other in zip(text.splitlines(), now.splitlines(), strict=True)
        if not _alike(one, other)
    ]


def _skeleton(line: str) -> str:
    return re.sub(r"[\s─]+", " ", _NUMBER.sub("0", _ID.sub("ID", _DURATION.sub("TIME", line)))).strip()


def _alike(one: str, other: str) -> bool:
    if _skeleton(one) != _skeleton(other):
        return False
    if one.startswith("requests"):
        return True
    allowed = LOOSE if _LOOSE_LINE.search(one) else TOLERANCE
    pairs = zip(_numbers(one), _numbers(other), strict=True)
    return all(abs(a - b) <= max(allowed * max(a, b), 0.11 if allowed == TOLERANCE else 3) for a, b in pairs)


def _numbers(line: str) -> list[float]:
    plain = _ID.sub("", _DURATION.sub("", line))
    return [float(number.replace(",", "")) for number in _NUMBER.findall(plain)]


def main(arguments: list[str]) -> int:
    """Compare or write."""
    text = TEXT.read_text(encoding="utf-8")
    with a_room() as room:
        now = Story(room).told(text)
    if arguments == ["--write"]:
        TEXT.write_text(now, encoding="utf-8")
        return 0
    found = differences(text, now)
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
