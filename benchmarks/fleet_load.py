"""What a backup run costs the Prefect server and its database, and what an idle worker costs: the figures from which
docs/many-machines.md reckons what 1,000 machines need.

    python -m benchmarks.fleet_load [--runs N]

Prefect on PostgreSQL behind nginx, one worker on a machine (network namespace) of its own, a real WebDAV server. The
runs are incremental backups without changes, as most are. Needs what ``make fleet`` needs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tools.three_hosts.__main__ import Story
from tools.three_hosts.fleet import FleetOfThree
from tools.three_hosts.network import look_whether_permitted, wait_for, with_children

HOST = "web-1"
CONFIGURATION = f"{HOST}-files"
QUIET = 30.0
"""Seconds of an idle worker that are measured, and that the server gets to write everything down after the runs."""
TICKS = os.sysconf("SC_CLK_TCK")


class Meter:
    """Counters of the server, to be read before and after."""

    def __init__(self, fleet: FleetOfThree) -> None:
        self._fleet = fleet

    def read(self) -> dict[str, Counter[str]]:
        """Everything that is counted, by kind."""
        return {
            "rows": self._rows("prefect"),
            "catalogue_rows": self._rows("davault"),
            "bytes": Counter({name: self._bytes(name) for name in ("prefect", "davault")}),
            "requests": self._requests(),
            "cpu": Counter({"server": self._cpu("server"), "worker": self._cpu("worker", HOST)}),
        }

    def _rows(self, database: str) -> Counter[str]:
        tables = self._fleet.sql(database, "select tablename from pg_tables where schemaname = 'public'").split()
        counts = " union all ".join(f"select '{table} ' || count(*) from \"{table}\"" for table in tables)
        return Counter(
            {
                name: int(count)
                for name, count in (line.split() for line in self._fleet.sql(database, counts).splitlines())
            }
        )

    def _bytes(self, database: str) -> int:
        """Of all tables with their indexes. Space of removed rows counts: it is needed."""
        statement = "select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r'"
        return int(self._fleet.sql(database, statement))

    def _requests(self) -> Counter[str]:
        log = self._fleet.control.top / "nginx-access.log"
        found: Counter[str] = Counter()
        for line in log.read_text().splitlines():
            method, path = line.split('"')[1].split()[:2]
            if "curl" not in line:
                words = path.split("?")[0].removeprefix("/api/").split("/")
                found[f"{method} {'/'.join(word if len(word) < 36 else 'ID' for word in words)}"] += 1
        return found

    def _cpu(self, program: str, machine: str = "control") -> float:
        """Seconds that a program, its children and those that have ended have worked."""
        return sum(_cpu_of(pid) for pid in with_children(self._fleet.machines[machine].processes[program].pid))


def _cpu_of(pid: int) -> float:
    facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, facts[11:15])) / TICKS


def difference(after: dict[str, Counter[str]], before: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """What has happened between two readings."""
    made = {kind: Counter(counts) for kind, counts in after.items()}
    for kind, counts in before.items():
        made[kind].subtract(counts)
    return made


def per_run(total: Counter[str], idle: Counter[str], *, idle_share: float, runs: int) -> dict[str, float]:
    """Figures of one run: those of an idle worker in the same time are taken off."""
    figures = {name: (count - idle[name] * idle_share) / runs for name, count in total.items()}
    return {
        name: round(figure, 3)
        for name, figure in sorted(figures.items(), key=lambda one: -one[1])
        if abs(figure) >= 0.05
    }


def measure(fleet: FleetOfThree, runs: int) -> dict[str, object]:
    """Set everything up, let ``runs`` backups run, and reckon."""
    story = Story(fleet)
    story.set_up()
    for host in ("db-1", "control"):
        fleet.machines[host].stop("worker")
    (fleet.machines[HOST].top / "data" / "file").write_bytes(os.urandom(1 << 20))
    name = f"incremental-backup/{CONFIGURATION}"
    fleet.wait_for_end(fleet.run_of(name, configuration=CONFIGURATION))
    deployment = fleet.ask(
        "/deployments/filter",
        {"deployments": {"name": {"any_": [CONFIGURATION]}}, "flows": {"name": {"any_": ["incremental-backup"]}}},
    )[0]["id"]
    time.sleep(QUIET)

    meter = Meter(fleet)
    before = meter.read()
    time.sleep(QUIET)
    idle = difference(meter.read(), before)

    begun, before = time.monotonic(), meter.read()
    for _ in range(runs):
        run = fleet.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": {"configuration": CONFIGURATION}})[
            "id"
        ]
        wait_for(
            "a run's end", lambda run=run: fleet.state_of(run)["type"] in ("COMPLETED", "FAILED", "CRASHED"), most=600
        )
        if (state := fleet.state_of(run))["type"] != "COMPLETED":
            raise RuntimeError(f"a run ended as {state}")
    busy = time.monotonic() - begun
    time.sleep(QUIET)
    total = difference(meter.read(), before)
    share = (busy + QUIET) / QUIET
    return {
        "runs": runs,
        "seconds_a_run": round(busy / runs, 2),
        "idle_worker": {
            "seconds": QUIET,
            "requests": {name: count for name, count in idle["requests"].items() if count},
            "cpu_seconds": dict(idle["cpu"]),
            "rows": {name: count for name, count in idle["rows"].items() if count},
        },
        "a_run": {kind: per_run(total[kind], idle[kind], idle_share=share, runs=runs) for kind in total},
    }  # fmt: skip


def main() -> int:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    look_whether_permitted()
    with tempfile.TemporaryDirectory(prefix="davault-fleet-load-") as top:
        fleet = FleetOfThree(Path(top))
        try:
            with fleet.network:
                print(json.dumps(measure(fleet, options.runs), indent=1, ensure_ascii=False))
        finally:
            fleet.stop_postgresql()
    return 0


if __name__ == "__main__":
    sys.exit(main())
