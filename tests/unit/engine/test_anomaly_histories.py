"""Two hundred ordinary days of quite different sources raise no alarm; every disaster on any of them does.

A simulated source is a population of files with a size and whether they compress; a day changes it as such days do, and
the figures of the run follow from the difference, as the engine counts them.
"""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count

import pytest

from backup_core.engine.anomaly import RunFacts, judge
from backup_core.engine.change_census import suffix_of

DAYS = 200


@dataclass
class File:
    """One file."""

    size: int
    hard: bool
    content: int = field(default_factory=count().__next__)
    """Stands for its bytes."""


@dataclass
class Source:
    """What lies on a disk, and what the last backup saw of it."""

    files: dict[str, File] = field(default_factory=dict)
    seen: dict[str, tuple[int, bool]] = field(default_factory=dict)
    contents: set[int] = field(default_factory=set)

    def back_up(self) -> RunFacts:
        """The figures of a run, as the engine counts them."""
        before, now = self.seen, {n: (f.content, f.hard) for n, f in self.files.items()}
        new = now.keys() - before.keys()
        gone = before.keys() - now.keys()
        changed = [name for name in now.keys() & before.keys() if now[name] != before[name]]
        stems = {name.rpartition(".")[0] or name: name for name in gone} | {name: name for name in gone}
        renamed = {name: stems[stem] for name in new if (stem := name.rpartition(".")[0]) in stems}
        pairs = [(before[n], now[n]) for n in changed] + [(before[old], now[name]) for name, old in renamed.items()]
        read = sum(self.files[name].size for name in (*new, *changed))
        fresh = sum(self.files[n].size for n in (*new, *changed) if now[n][0] not in self.contents)
        facts = RunFacts(
            files=len(now),
            size=sum(file.size for file in self.files.values()),
            new=len(new),
            removed=len(gone),
            rewritten=len(changed),
            hardened=sum(not old[1] and new_one[1] for old, new_one in pairs),
            comparable=sum(not old[1] for old, _ in pairs),
            new_hard=sum(now[name][1] for name in new),
            fresh=fresh / read if read else 0.0,
            suffixes=dict(Counter(suffix_of(name.encode()).decode() for name in new).most_common(30)),
            renamed=dict(Counter(suffix_of(name.encode()).decode() for name in renamed).most_common(30)),
            selection="same",
        )
        self.seen = now
        self.contents |= {content for content, _ in now.values()}
        return facts

    def write(self, name: str, size: int, *, hard: bool = False) -> None:
        """A new file, or a new content of one."""
        self.files[name] = File(size, hard)

    def change(self, name: str, *, hard: bool | None = None) -> None:
        """Another content of the same size."""
        file = self.files[name]
        self.files[name] = File(file.size, file.hard if hard is None else hard)


Day = Callable[[Source, random.Random, int], None]


def office(source: Source, chance: random.Random, day: int) -> None:
    """Documents: a few new, a few changed; now and then a folder is tidied up or renamed."""
    if day == 0:
        for n in range(800):
            source.write(
                f"docs/{n % 40}/letter{n}.{chance.choice(['odt', 'txt', 'csv', 'svg'])}", chance.randrange(500, 90_000)
            )
            source.write(f"docs/{n % 40}/scan{n}.pdf", chance.randrange(50_000, 900_000), hard=True)
    for n in range(chance.randrange(12)):
        source.write(f"docs/{chance.randrange(40)}/new{day}-{n}.odt", chance.randrange(500, 90_000))
    for name in chance.sample(sorted(source.files), min(25, len(source.files))):
        source.change(name)
    if day % 30 == 17:
        folder = f"docs/{chance.randrange(40)}/"
        for name in [n for n in source.files if n.startswith(folder)]:
            source.files[f"archive/{day}/" + name.removeprefix(folder)] = source.files.pop(name)
    if day % 45 == 40:
        for name in chance.sample(sorted(source.files), len(source.files) // 10):
            del source.files[name]


def logs(source: Source, chance: random.Random, day: int) -> None:
    """Log rotation, numbered with gzip from the second on, and dated with only two weeks kept."""
    for service in range(12):
        base = f"log/app{service}.log"
        for number in range(13, 1, -1):
            if f"{base}.{number}.gz" in source.files:
                source.files[f"{base}.{number + 1}.gz"] = source.files.pop(f"{base}.{number}.gz")
        source.files.pop(f"{base}.14.gz", None)
        if f"{base}.1" in source.files:
            old = source.files.pop(f"{base}.1")
            source.write(f"{base}.2.gz", old.size // 10, hard=True)
        if base in source.files:
            source.files[f"{base}.1"] = source.files.pop(base)
        source.write(base, chance.randrange(10_000, 3_000_000))
        source.write(f"log/web{service}.log-{20260000 + day}", chance.randrange(10_000, 500_000))
        source.files.pop(f"log/web{service}.log-{20260000 + day - 14}", None)


def photos(source: Source, chance: random.Random, day: int) -> None:
    """A photo library: imports of hundreds, a phone with a new format, and one reorganisation of all folders."""
    if day == 0:
        for n in range(3000):
            source.write(f"photos/2019/img{n}.jpg", chance.randrange(2_000_000, 6_000_000), hard=True)
            source.write(f"photos/2019/img{n}.xmp", 4_000)
    if day % 20 == 5:
        suffix = "jpg" if day < 90 else "heic"
        for n in range(chance.randrange(300, 4000)):
            source.write(f"photos/2026/{day}/img{n}.{suffix}", chance.randrange(2_000_000, 6_000_000), hard=True)
    if day == 120:
        for name in list(source.files):
            source.files["sorted/" + name] = source.files.pop(name)
    for name in chance.sample(sorted(source.files), 15):
        if name.endswith("xmp"):
            source.change(name)


def monorepo(source: Source, chance: random.Random, day: int) -> None:
    """A large checkout: daily pulls, branches that differ in a third of the files, packs of git that come and go."""
    if day == 0:
        for n in range(6000):
            source.write(
                f"repo/pkg{n % 200}/file{n}.{chance.choice(['py', 'ts', 'go', 'md', 'json'])}",
                chance.randrange(300, 40_000),
            )
    names = sorted(source.files)
    share = 0.35 if day % 25 == 12 else 0.03
    for name in chance.sample(names, int(share * len(names))):
        source.change(name)
    if day % 25 == 12:
        for name in chance.sample(names, len(names) // 7):
            del source.files[name]
        for n in range(len(names) // 6):
            source.write(f"repo/branch{day}/file{n}.{chance.choice(['py', 'ts', 'rs'])}", chance.randrange(300, 40_000))
    for _ in range(40):
        source.write(f"repo/.git/objects/{day:02x}/{chance.getrandbits(80):020x}", 900, hard=True)
    if day % 14 == 13:
        for name in [n for n in source.files if n.startswith("repo/.git/objects/")]:
            del source.files[name]
        source.write(f"repo/.git/objects/pack/pack-{chance.getrandbits(80):020x}.pack", 4_000_000, hard=True)


def dependencies(source: Source, chance: random.Random, day: int) -> None:
    """A project with installed packages: upgrades replace many small files, lock files change."""
    if day == 0:
        for n in range(400):
            source.write(f"app/src/page{n}.tsx", chance.randrange(500, 20_000))
    wanted = 300 if day == 0 else (60 if day % 10 == 3 else 2)
    packages = sorted({name.split("/")[2] for name in source.files if name.startswith("app/node_modules/")})
    for package in chance.sample(packages, min(len(packages), wanted)):
        for name in [n for n in source.files if n.startswith(f"app/node_modules/{package}/")]:
            if chance.random() < 0.4:
                source.files[name.replace(".js", f".{chance.randrange(9)}.js")] = source.files.pop(name)
            elif chance.random() < 0.7:
                source.change(name)
    for n in range(wanted if day == 0 else wanted // 10):
        for k in range(20):
            source.write(f"app/node_modules/p{day}-{n}/dist/m{k}.js", chance.randrange(200, 30_000))
    for name in chance.sample(sorted(source.files), 10):
        source.change(name)


def dumps(source: Source, chance: random.Random, day: int) -> None:
    """A few large files that all change every day, the oldest of which goes: nightly database dumps."""
    source.write(f"dump/db-{day}.sql", chance.randrange(40_000_000, 60_000_000))
    source.files.pop(f"dump/db-{day - 7}.sql", None)
    source.write("dump/latest.sql", chance.randrange(40_000_000, 60_000_000))


def builds(source: Source, chance: random.Random, day: int) -> None:
    """Build output: every file is new every day, under a name made of its hash."""
    if day == 0:
        for n in range(100):
            source.write(f"out/static{n}.txt", 5_000)
    for name in [n for n in source.files if "hash" in n]:
        del source.files[name]
    for _ in range(150):
        source.write(f"out/hash{chance.getrandbits(40):x}.js", chance.randrange(2_000, 60_000))
        source.write(f"out/hash{chance.getrandbits(40):x}.js.gz", chance.randrange(900, 9_000), hard=True)


def restored(source: Source, chance: random.Random, day: int) -> None:
    """A mail store, once copied to a new disk: other inodes and times, the same content."""
    if day == 0:
        for n in range(2000):
            source.write(f"mail/cur/{n}.eml", chance.randrange(1_000, 60_000))
    for n in range(chance.randrange(5, 40)):
        source.write(f"mail/cur/{day}-{n}.eml", chance.randrange(1_000, 60_000))
    if day % 60 == 30:
        for name in chance.sample(sorted(source.files), len(source.files) // 4):
            del source.files[name]


SOURCES: list[Day] = [office, logs, photos, monorepo, dependencies, dumps, builds, restored]


def lived(day_of: Day, days: int, seed: int) -> tuple[Source, list[RunFacts], list[tuple[int, object]]]:
    """A source after so many days, its history (newest first), and the alarms on the way."""
    chance, source = random.Random(seed), Source()
    history: list[RunFacts] = []
    alarms: list[tuple[int, object]] = []
    for day in range(days):
        day_of(source, chance, day)
        run = source.back_up()
        alarms += [(day, sign) for sign in judge(run, history)]
        history.insert(0, run)
    return source, history, alarms


@pytest.mark.parametrize("day_of", SOURCES, ids=lambda d: d.__name__)
def test_two_hundred_ordinary_days_are_no_disaster(day_of: Day) -> None:
    assert lived(day_of, DAYS, seed=7)[2] == []


@cache
def remembered(day_of: Day, age: int) -> bytes:
    """A source after so many days and its history, to be copied for each disaster."""
    source, history, _ = lived(day_of, age, seed=11)
    return pickle.dumps((source, history))


def _encrypt_in_place(source: Source, chance: random.Random) -> None:
    for name in source.files:
        source.change(name, hard=True)


def _encrypt_and_rename(source: Source, chance: random.Random) -> None:
    for name in list(source.files):
        source.write(name + ".locked", source.files.pop(name).size + 500, hard=True)


def _encrypt_under_other_names(source: Source, chance: random.Random) -> None:
    for name in list(source.files):
        size = source.files.pop(name).size
        source.write(f"{name.rpartition('/')[0]}/{chance.getrandbits(64):016x}.wxyz", size, hard=True)


def _encrypt_a_third(source: Source, chance: random.Random) -> None:
    for name in chance.sample(sorted(source.files), len(source.files) // 3):
        source.write(name + ".crypt", source.files.pop(name).size, hard=True)


def _delete_nearly_all(source: Source, chance: random.Random) -> None:
    for name in chance.sample(sorted(source.files), int(0.9 * len(source.files))):
        del source.files[name]


def _delete_all_but_notes(source: Source, chance: random.Random) -> None:
    source.files.clear()
    source.write("READ_ME.txt", 1_000)


def _unmount(source: Source, chance: random.Random) -> None:
    source.files.clear()


DISASTERS = [
    _encrypt_in_place, _encrypt_and_rename, _encrypt_under_other_names, _encrypt_a_third,
    _delete_nearly_all, _delete_all_but_notes, _unmount,
]  # fmt: skip


def _cases() -> Iterator[tuple[Day, Callable[[Source, random.Random], None]]]:
    for day_of in SOURCES:
        for strike in DISASTERS:
            # What was never compressible cannot lose that; its size and names stay, so nobody could tell by figures.
            if day_of is photos and strike is _encrypt_in_place:
                continue
            # Two of seven files are no mass.
            if day_of is dumps and strike is _encrypt_a_third:
                continue
            yield day_of, strike


@pytest.mark.parametrize("age", [1, 40])
@pytest.mark.parametrize(("day_of", "strike"), list(_cases()), ids=lambda f: f.__name__.strip("_"))
def test_every_disaster_is_seen_on_the_day_it_strikes(
    day_of: Day, strike: Callable[[Source, random.Random], None], age: int
) -> None:
    source, history = pickle.loads(remembered(day_of, age))
    if len(source.files) < 3 and strike is _delete_nearly_all:
        pytest.skip("one of two files is no mass")
    strike(source, random.Random(3))
    assert judge(source.back_up(), history)
