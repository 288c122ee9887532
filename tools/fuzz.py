"""``make fuzz``: every reader of bytes from a server, with inputs that atheris (libFuzzer) finds by coverage.

Each target runs in a process of its own for the same time, from examples out of the golden repositories. An answer or
one of the reader's refusals is right; any other exception, too much memory, and a minute without an answer are
faults, whose input is kept in ``.cache/fuzz/TARGET/``. With ``--write``, the figures go to docs/reliability.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".cache" / "fuzz"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- fuzz: begin -->\n", "<!-- fuzz: end -->\n"
LIMITS = ("-max_len=16384", "-rss_limit_mb=1500", "-malloc_limit_mb=600", "-timeout=60", "-print_final_stats=1")


def golden_examples() -> Iterator[tuple[str, bytes]]:
    """(target, bytes) of what released versions and restic wrote."""
    from backup_core.format.cipher import Sealer
    from backup_core.format.compression import Decompressor, unpack_unpacked
    from backup_core.format.pack import header_box_length, read_header
    from backup_core.repository.keyring import unlock
    from backup_core.types import BlobType, Secret

    for archive in sorted((ROOT / "tests" / "golden").glob("*.tar.xz")):
        with tempfile.TemporaryDirectory() as top, tarfile.open(archive) as file:
            file.extractall(top, filter="data")
            place = Path(top) / "repository"
            key = next((place / "keys").iterdir())
            sealer = Sealer(unlock(key.name, key.read_bytes(), Secret("golden")))
            yield "key", key.read_bytes()
            yield "config", sealer.open((place / "config").read_bytes())
            for kind, folder in (("index", "index"), ("snapshot", "snapshots"), ("run record", "davault")):
                for path in (place / folder).glob("*"):
                    plain = unpack_unpacked(sealer.open(path.read_bytes()))
                    yield kind, plain.partition(b"\n")[2] if kind == "run record" else plain
            for pack in (path for path in (place / "data").rglob("*") if path.is_file()):
                data = pack.read_bytes()
                end = len(data) - 4
                yield (
                    "pack header",
                    len(data).to_bytes(4, "little") + sealer.open(data[end - header_box_length(data[end:]) : end]),
                )
                for blob in read_header(data, len(data), sealer):
                    if blob.type is BlobType.TREE:
                        plain = sealer.open(data[blob.offset : blob.offset + blob.length])
                        length = blob.uncompressed_length
                        yield "tree", Decompressor().decompress(plain, length) if length else plain


def write_corpus() -> None:
    """Examples of every target, beside what earlier runs have found."""
    from hashlib import sha256

    from backup_core.testing.parsers import PARSERS

    examples = [*golden_examples(), *((target, parser.good) for target, parser in PARSERS.items())]
    for target, data in examples:
        folder = PLACE / target / "corpus"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


def fuzz_here(target: str, seconds: int) -> None:
    """Fuzz one target until the time is up; does not return."""
    import atheris

    with atheris.instrument_imports(
        include=["backup_core.format", "backup_core.storage.webdav", "backup_core.services"]
    ):
        from backup_core.testing.parsers import PARSERS, REFUSALS
    read = PARSERS[target].read

    def one(data: bytes) -> None:
        with suppress(*REFUSALS):
            read(data)

    folder = PLACE / target
    wishes = (*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", str(folder / "corpus"))
    atheris.Setup([sys.argv[0], *wishes], one)
    atheris.Fuzz()


def fuzz(target: str, seconds: int) -> tuple[str, list[str]]:
    """Fuzz one target in a process of its own: what went wrong ("" for nothing), and its row of figures."""
    command = [sys.executable, "-m", "tools.fuzz", "--here", "--seconds", str(seconds), target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    (PLACE / target / "log").write_text(done.stderr, encoding="utf-8")
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    edges = re.findall(r"cov: (\d+)", done.stderr)
    runs, memory = int(stats.get("number_of_executed_units", 0)), stats.get("peak_rss_mb", "?")
    row = [target, f"{runs:,}", str(seconds), edges[-1] if edges else "?", f"{memory} MiB"]
    sys.stdout.write(f"{target}: {runs:,} inputs, {'a fault' if done.returncode else 'no fault'}\n")
    sys.stdout.flush()
    return (done.stderr[-3000:] if done.returncode or not runs else ""), row


def write_page(rows: list[list[str]]) -> None:
    """Replace the part between the marks."""
    lines = [
        "| target | inputs tried | seconds | edges reached | most memory of the process |",
        "|---|---|---|---|---|",
    ]
    total = sum(int(row[1].replace(",", "")) for row in rows)
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", f"In all: {total:,} inputs; **faults: 0**.", ""]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + END + rest.partition(END)[2], encoding="utf-8")


def main() -> int:
    """Exit code 1 when a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all when none is named")
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/reliability.md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write("make fuzz: skipped, atheris is not installed (pip install 'davault[fuzz]')\n")
        return 0
    if wishes.here:
        fuzz_here(wishes.targets[0], wishes.seconds)
    write_corpus()
    targets = wishes.targets or sorted(path.parent.name for path in PLACE.glob("*/corpus"))
    with ThreadPoolExecutor(wishes.jobs) as pool:
        done = list(pool.map(lambda target: fuzz(target, wishes.seconds), targets))
    faults = [fault for fault, _ in done if fault]
    sys.stdout.write("\n".join(faults))
    if wishes.write and not faults:
        write_page([row for _, row in done])
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
