"""The story: a day of three machines on which everything fails once."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tools.three_hosts.fleet import HOSTS, PROJECT, SLOW_LINE, USER, WINDOW_REQUESTS, WINDOW_SECONDS, FleetOfThree
from tools.three_hosts.network import NotPermitted, look_whether_permitted, wait_for

MIB = 1 << 20
IN_DOUBT = 1
"""Packs that may be sent once more after a death: one whose answer had not been written down."""
FRESH = 12 * MIB
"""Bytes that each machine gets before each act: half a minute of uploading."""
DISTURBED_AT = 2
"""So many packs of the act are on the server, of four or five, when something is made to fail."""


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Story:
    """Acts that are played one after the other; each ends with a line of what was seen."""

    def __init__(self, fleet: FleetOfThree) -> None:
        self.fleet = fleet
        self._begun = time.monotonic()
        self._chance = random.Random(7)  # noqa: S311  repeatable data, no secret
        self._pools: dict[str, str] = {}
        self._requests_before = 0
        self._packs = 0

    def say(self, line: str) -> None:
        tell(f"{time.monotonic() - self._begun:6.0f} s  {line}")

    # ---- parts of acts

    def set_up(self) -> None:
        fleet = self.fleet
        fleet.start_postgresql()
        fleet.start_prefect()
        self.say(
            f"server behind TLS: {fleet.status('/admin/version')} with the password, "
            f"{fleet.status('/admin/version', password=False)} without"
        )
        if fleet.status("/admin/version", password=False) != "401":
            raise RuntimeError("the server answers to anybody")
        fleet.start_webdav()
        for name, port in (("cloud", 8080), ("metered", 8081)):
            window = ("--window-requests", str(WINDOW_REQUESTS), "--window-seconds", str(WINDOW_SECONDS))
            fleet.davault(
                "control", "client", "add", name, "--url", f"http://{fleet.dav.address}:{port}/", "--username", USER,
                "--password-env", "DAV_PASSWORD", "--allow-insecure",
                *(SLOW_LINE if name == "cloud" else window),
            )  # fmt: skip
        for host in HOSTS:
            (fleet.machines[host].top / "data").mkdir()
            for name, client, path in (
                (f"{host}-files", "cloud", "/shared"),
                (f"{host}-metered", "metered", f"/{host}"),
            ):
                fleet.davault(
                    "control", "config", "add", name, "--host", host, "--client", client, "--path", path,
                    "--source", str(fleet.machines[host].top / "data"), "--key-env", "FLEET_KEY",
                )  # fmt: skip
        told = json.loads(fleet.control.run(sys.executable, "-m", "deployments.register", "--json"))
        for host in HOSTS:
            said = fleet.machines[host].run(sys.executable, "-m", "deployments.register", "--host", "--json")
            self._pools[host] = json.loads(said)["pool"]
        fleet.start_worker("control", told["pool"])
        for host in HOSTS:
            fleet.start_worker(host, self._pools[host])
        self.say(f"{len(told['deployments'])} deployments; pools {', '.join(self._pools.values())}")

    def give_new_files(self) -> None:
        for host in HOSTS:
            folder = self.fleet.machines[host].top / "data"
            number = len(list(folder.iterdir()))
            (folder / f"{number}.bin").write_bytes(self._chance.randbytes(FRESH))

    def begin(self, **parameters: object) -> str:
        self.give_new_files()
        self._requests_before = len(self.fleet.requests(8080))
        return self.fleet.run_of("fleet-backup/all-hosts", kind="incremental", **parameters)

    def in_the_middle(self, host: str) -> None:
        """Return when a machine has sent some packs of this act."""
        wait_for(f"packs of {host}", lambda: self.packs_of(host) >= DISTURBED_AT, every=0.2)

    def packs_of(self, host: str) -> int:
        """Packs of this act that a machine has got to the server."""
        address = self.fleet.machines[host].address
        new = self.fleet.requests(8080)[self._requests_before :]
        return sum(who == address and method == "PUT" and "/data/" in path for _, who, method, path in new)

    def end(self, act: str, run: str, expected: str = "COMPLETED") -> None:
        state = self.fleet.wait_for_end(run)
        self.say(f"{act}: {state['name']} ({state['message']})")
        for line in self.fleet.report().splitlines():
            if line.startswith(("#", "| ", "- ")) and "Machine" not in line:
                self.say(f"    {line}")
        if state["type"] != expected:
            raise RuntimeError(f"{act}: the run should have ended as {expected}")

    # ---- acts

    def everything_well(self) -> None:
        self.end("two machines into one repository", self.begin())
        self._packs = self.packs_of("web-1")

    def a_machine_loses_power(self) -> None:
        run = self.begin()
        self.in_the_middle("web-1")
        self.fleet.machines["web-1"].kill("worker")
        sent = self.packs_of("web-1")
        self.say(f"web-1: worker and backup killed in the middle, {sent} of {self._packs} packs sent")
        time.sleep(5)
        self.fleet.start_worker("web-1", self._pools["web-1"])
        self.end("web-1 lost power", run)
        again = self.packs_of("web-1") - sent
        self.say(f"    {again} packs sent by the next attempt: what was stored is reused")
        if sent + again > self._packs + IN_DOUBT:
            raise RuntimeError("packs that were on the server have been sent once more")

    def the_network_fails(self) -> None:
        run = self.begin()
        self.in_the_middle("db-1")
        self.fleet.machines["db-1"].plug(connected=False)
        self.say("db-1: cut off the network for a minute")
        time.sleep(60)
        self.fleet.machines["db-1"].plug(connected=True)
        self.end("db-1 was cut off", run)

    def the_server_is_restarted(self) -> None:
        run = self.begin()
        self.in_the_middle("web-1")
        self.fleet.control.stop("server")
        self.say("control: Prefect server stopped in the middle")
        time.sleep(15)
        self.fleet.start_prefect()
        self.say("control: Prefect server answers again")
        self.end("the server was restarted", run)

    def one_prunes_while_another_backs_up(self) -> None:
        self.give_new_files()
        for host in HOSTS:
            self.fleet.davault("control", "config", "edit", f"{host}-files", "--keep-last", "2")
        backup = self.fleet.run_of("incremental-backup/db-1-files", configuration="db-1-files")
        prune = self.fleet.run_of("cleanup-backups/web-1-files", configuration="web-1-files", dry_run=False)
        for name, run in (("db-1 backs up", backup), ("web-1 forgets and prunes", prune)):
            state = self.fleet.wait_for_end(run)
            self.say(f"{name}: {state['name']} ({state['message']})")
            if state["type"] != "COMPLETED":
                raise RuntimeError(f"{name}: {state}")

    def a_machine_is_dead(self) -> None:
        self.fleet.machines["db-1"].stop("worker")
        begun = time.monotonic()
        run = self.begin(start_within_minutes=1)
        self.end("db-1 has no worker", run, expected="FAILED")
        self.say(f"    told after {time.monotonic() - begun:.0f} s")
        self.fleet.start_worker("db-1", self._pools["db-1"])

    # ---- what is left

    def look(self) -> None:
        fleet = self.fleet
        run = fleet.run_of("fleet-backup/all-hosts", kind="full")
        self.end("a full backup at the end", run)
        for host in HOSTS:
            target = fleet.machines[host].top / "restored"
            fleet.davault(host, "restore", f"{host}-files", "--target", str(target))
            different = filecmp.dircmp(fleet.machines[host].top / "data", target / "data")
            if different.left_only or different.right_only or different.diff_files:
                raise RuntimeError(f"{host}: restored files differ: {different.diff_files}, {different.left_only}")
            self.say(f"{host}: {len(different.same_files)} files restored, equal")
        for path in ("shared", *HOSTS):
            self._check(fleet.dav.top / "root" / path)
        self._look_at_budget()
        running = fleet.ask("/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}})
        outcomes = fleet.sql("davault", "select outcome || ' ' || count(*) from run group by outcome order by 1")
        self.say(f"runs left at work: {running}; in the catalogue: {', '.join(outcomes.splitlines())}")
        if running:
            raise RuntimeError("runs are left that nobody carries out")

    def _check(self, repository: Path) -> None:
        newer = PROJECT / ".cache" / "restic-0.18" / "restic"
        program = str(newer) if newer.exists() else "restic"
        environment = {**os.environ, "RESTIC_PASSWORD": self.fleet.control.environment["FLEET_KEY"]}
        words = [program, "--no-cache", "--no-lock", "--repo", str(repository), "check", "--read-data"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        self.say(
            f"restic check --read-data of {repository.name}: {(done.stdout + done.stderr).strip().splitlines()[-1]}"
        )
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)

    def _look_at_budget(self) -> None:
        requests = self.fleet.requests(8081)
        times = sorted(moment for moment, *_ in requests)
        most = max(sum(1 for t in times if moment <= t < moment + WINDOW_SECONDS) for moment in times)
        by_host = Counter(who for _, who, *_ in requests)
        self.say(
            f"metered account: {len(times)} requests of {len(by_host)} machines {sorted(by_host.values())}, "
            f"at most {most} in any {WINDOW_SECONDS} s of {WINDOW_REQUESTS} allowed"
        )
        if most > WINDOW_REQUESTS:
            raise RuntimeError("the budget of requests was exceeded")


def main() -> int:
    """Play it; returns the exit code, 77 when this machine does not permit it."""
    parser = argparse.ArgumentParser(prog="python -m tools.three_hosts", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave logs and repositories behind")
    options = parser.parse_args()
    try:
        look_whether_permitted()
    except NotPermitted as reason:
        tell(f"skipped: {reason}")
        return 77
    top = Path(tempfile.mkdtemp(prefix="davault-three-hosts-"))
    fleet = FleetOfThree(top)
    try:
        with fleet.network:
            story = Story(fleet)
            for act in (
                story.set_up, story.everything_well, story.a_machine_loses_power, story.the_network_fails,
                story.the_server_is_restarted, story.one_prunes_while_another_backs_up, story.a_machine_is_dead,
                story.look,
            ):  # fmt: skip
                act()
        tell("all is well")
        return 0
    except Exception as error:
        tell(f"FAILED: {error}\nlogs are in {top}")
        options.keep = True
        return 1
    finally:
        fleet.stop_postgresql()
        if not options.keep:
            shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
