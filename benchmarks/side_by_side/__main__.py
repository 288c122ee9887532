"""Measure, add to the results, and render docs/benchmarks.md: ``make bench``, or a part of it.

    python -m benchmarks.side_by_side [--sets code,media] [--cases first,restore] [--peers davault,restic-0.18] …

Each session is whole in itself: it makes its repositories, and ratios are formed within it. So the table can be filled
in slices of a few minutes. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import sys
from datetime import UTC
from pathlib import Path

from backup_core.clock import SystemClock
from benchmarks.side_by_side import results
from benchmarks.side_by_side.data_sets import DATA_SETS
from benchmarks.side_by_side.page import write_page
from benchmarks.side_by_side.peers import Peer, Restic, all_peers
from benchmarks.side_by_side.session import CASES, Plan, Session

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / "benchmarks" / "results.json"
RESTIC = {"restic-0.18": str(PROJECT / ".cache" / "restic-0.18" / "restic"), "restic-0.14": "restic"}


def _machine() -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    kind = cpu[1] if cpu else platform.machine()
    return f"{os.cpu_count()} × {kind}, {memory:.0f} GB, Python {platform.python_version()}"


def _installed(wanted: set[str]) -> list[Peer]:
    peers = [peer for peer in all_peers(RESTIC) if not wanted or peer.name in wanted]
    for peer in peers:
        if missing := peer.missing():
            print(f"{peer.name} is left out: {missing} is not installed", file=sys.stderr)
    return [peer for peer in peers if not peer.missing()]


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=_words, default=list(DATA_SETS), help=", ".join(DATA_SETS))
    parser.add_argument("--cases", type=_words, default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--peers", type=_words, default=[], help="default: all that are installed")
    parser.add_argument("--links", type=_words, default=["loopback"], help="loopback, and long: 50 ms, 20 MB/s")
    parser.add_argument("--scale", type=float, default=1.0, help="0.01 for a look in a minute")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--versions", type=int, default=30, help="backups before the cleanup")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/davault-bench"))
    parser.add_argument("--target", type=Path, default=Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--render-only", action="store_true", help="measure nothing")
    return parser.parse_args()


def main() -> None:
    """Sessions one after the other; what each found is kept at its end."""
    chosen = _chosen()
    # What was measured before somebody stopped it is kept, and servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = results.load(chosen.results, _machine())
    peers = [] if chosen.render_only else _installed(set(chosen.peers))
    judge = next((peer for peer in all_peers(RESTIC) if isinstance(peer, Restic) and shutil.which(peer.program)), None)
    chosen.work.mkdir(parents=True, exist_ok=True)
    for name in chosen.sets if peers else []:
        for link in chosen.links:
            begun = SystemClock().now().astimezone(UTC).isoformat(timespec="seconds")
            plan = Plan(begun, DATA_SETS[name], chosen.scale, link, frozenset(chosen.cases), chosen.rounds,
                        chosen.versions, chosen.work, chosen.target)  # fmt: skip
            session = Session(plan, peers, judge)
            try:
                session.measure()
            finally:
                found = found.with_more(session.runs, session.proofs)
                results.save(found, chosen.results)
    if chosen.results == RESULTS:
        write_page(found, PROJECT / "docs")


if __name__ == "__main__":
    main()
