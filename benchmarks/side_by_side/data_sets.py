"""The data that is backed up: the same bytes on every machine, and changes that are the same everywhere, too."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
PAGE = 8192
PAGES_IN_A_RUN = 16
"""Databases write their pages in runs: a table's end, a hot part of an index."""
_TEXT_SIZE = 32 * MB
_READY = ".ready"


@dataclass(frozen=True, slots=True)
class DataSet:
    """One kind of data."""

    name: str
    about: str
    make: Callable[[Path, float], None]
    """Writes it into a folder at a scale; 1 is the size that is reported."""
    change: Callable[[Path, int], None]
    """Changes one per cent; the same number changes the same things."""


def ensure(data_set: DataSet, home: Path, scale: float) -> Path:
    """The folder with this set, made when it is not there yet; an unfinished one is made anew."""
    folder = home / f"{data_set.name}-{scale:g}"
    mark = home / f"{folder.name}{_READY}"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        data_set.make(folder, scale)
        mark.touch()
    return folder


def one_file(folder: Path) -> Path:
    """A file from the middle of the set: the one that is restored alone."""
    directory = folder
    while True:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        middle = entries[len(entries) // 2]
        if middle.is_file():
            return Path(middle.path)
        directory = Path(middle.path)


def _text(seed: int, size: int) -> bytes:
    """Text as programs look to a compressor: words of which few are frequent and most are rare."""
    chance = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz_"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(6000)]
    ends = (" ", " ", " ", "(", ")", ", ", ".", " = ", ":\n    ", "\n", "\n\n    ")
    weights = [1 / (rank + 3) for rank in range(len(words))]
    parts: list[str] = []
    length = 0
    while length < size:
        chosen = chance.choices(words, weights, k=10_000)
        piece = "".join(word + end for word, end in zip(chosen, chance.choices(ends, k=10_000), strict=True))
        parts.append(piece)
        length += len(piece)
    return "".join(parts).encode()[:size]


def _slice(text: bytes, chance: random.Random, size: int) -> bytes:
    """So many bytes from anywhere in the text; a first line of its own makes it unlike any other."""
    head = f"# {chance.getrandbits(64):016x}\n".encode()
    begin = chance.randrange(len(text) - size)
    return (head + text[begin : begin + size])[:size]


def _code_path(folder: Path, number: int) -> Path:
    return folder / f"project{number // 5000:02}" / f"package{number // 50 % 100:02}" / f"module{number % 50:02}.py"


def _code_size(chance: random.Random) -> int:
    return min(400_000, max(40, int(chance.lognormvariate(8.9, 1.4))))


def _make_code(folder: Path, scale: float) -> None:
    text, chance = _text(1, max(2 * MB, int(_TEXT_SIZE * scale))), random.Random(1)
    for number in range(int(50_000 * scale)):
        path = _code_path(folder, number)
        if number % 50 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_slice(text, chance, _code_size(chance)))


def _change_code(folder: Path, number: int) -> None:
    chance = random.Random(f"code {number}")
    text = _text(number + 1000, 2 * MB)
    files = sum(len(names) for _, _, names in os.walk(folder))
    for each in chance.sample(range(files), max(1, files // 100)):
        path = _code_path(folder, each)
        path.write_bytes(_slice(text, chance, path.stat().st_size))


def _make_media(folder: Path, scale: float) -> None:
    chance = random.Random(2)
    for number in range(max(1, round(40 * scale))):
        (folder / f"film{number:03}.mp4").write_bytes(chance.randbytes(25 * MB))


def _change_media(folder: Path, number: int) -> None:
    chance = random.Random(f"media {number}")
    files = sorted(folder.iterdir())
    for path in chance.sample(files, max(1, len(files) // 100)):
        path.write_bytes(chance.randbytes(path.stat().st_size))


def _log_lines(chance: random.Random, second: int, count: int) -> Iterable[str]:
    paths = [f"/api/v2/{name}/{part}" for name in ("orders", "users", "files", "search") for part in range(40)]
    agents = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(90, 120)]
    chosen = zip(chance.choices(paths, k=count), chance.choices(agents, k=count), strict=True)
    for number, (path, agent) in enumerate(chosen):
        bits = chance.getrandbits(48)
        clock = second + number // 90
        yield (
            f"10.{bits & 3}.{bits >> 2 & 63}.{bits >> 8 & 255} - - [2026-03-02T{clock // 3600 % 24:02}:"
            f'{clock // 60 % 60:02}:{clock % 60:02}Z] "GET {path}?id={bits >> 16 & 65535} HTTP/1.1" 200 '
            f'{bits >> 32 & 65535} "{agent}"\n'
        )


def _make_logs(folder: Path, scale: float) -> None:
    chance = random.Random(3)
    second = 0
    for number in range(max(1, round(20 * scale))):
        with (folder / f"access.log.{number:02}").open("w") as log:
            while log.tell() < 50 * MB:
                log.write("".join(_log_lines(chance, second, 20_000)))
                second += 222


def _change_logs(folder: Path, number: int) -> None:
    chance = random.Random(f"logs {number}")
    newest = sorted(folder.iterdir())[-1]
    added = sum(path.stat().st_size for path in folder.iterdir()) // 100
    with newest.open("a") as log:
        end = log.tell() + added
        while log.tell() < end:
            log.write("".join(_log_lines(chance, number * 4000, 5_000)))


def _pages(text: bytes, chance: random.Random, first: int, count: int) -> bytes:
    """Pages of which three quarters compress and one quarter does not, as rows and keys do."""
    parts = []
    for page in range(first, first + count):
        begin = chance.randrange(len(text) - PAGE)
        parts.append(page.to_bytes(8, "little") + chance.randbytes(2040) + text[begin : begin + PAGE - 2048])
    return b"".join(parts)


def _make_database(folder: Path, scale: float) -> None:
    text, chance = _text(4, 4 * MB), random.Random(4)
    with (folder / "shop.db").open("wb") as database:
        for first in range(0, max(1024, int(2000 * MB * scale) // PAGE), 1024):
            database.write(_pages(text, chance, first, 1024))


def _change_database(folder: Path, number: int) -> None:
    chance = random.Random(f"database {number}")
    text = _text(number + 2000, MB)
    path = folder / "shop.db"
    runs = path.stat().st_size // PAGE // PAGES_IN_A_RUN
    with path.open("r+b") as database:
        for run in sorted(chance.sample(range(runs), max(1, runs // 100))):
            first = run * PAGES_IN_A_RUN
            database.seek(first * PAGE)
            database.write(_pages(text, chance, first, PAGES_IN_A_RUN))


def _tiny_path(folder: Path, number: int) -> Path:
    return folder / f"{number // 100_000:02}" / f"{number // 250 % 400:03}" / f"{number % 250:03}"


def _make_million(folder: Path, scale: float) -> None:
    for number in range(int(1_000_000 * scale)):
        path = _tiny_path(folder, number)
        if number % 250 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"note %d %x\n" % (number, number * 2654435761))


def _change_million(folder: Path, number: int) -> None:
    chance = random.Random(f"million {number}")
    files = 250 * sum(1 for top in folder.iterdir() for _ in top.iterdir())
    for each in chance.sample(range(files), files // 100):
        _tiny_path(folder, each).write_bytes(b"note %d changed %d\n" % (each, number))


DATA_SETS = {
    each.name: each
    for each in (
        DataSet("code", "50,000 small files, text, 1 GB", _make_code, _change_code),
        DataSet("media", "40 files of 25 MB that do not compress", _make_media, _change_media),
        DataSet("logs", "20 log files of 50 MB", _make_logs, _change_logs),
        DataSet("database", "one file of 2 GB; 1 % of its pages change, 16 side by side", _make_database,
                _change_database),
        DataSet("million", "1,000,000 files of some 20 bytes", _make_million, _change_million),
    )
}  # fmt: skip
