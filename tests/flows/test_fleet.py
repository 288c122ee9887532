"""Backing up many machines: none stops the others, none is waited for without end, and one page tells of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Crashed, Running

from backup_core.config.models import BackupConfig
from backup_core.errors import BackupExecutionError
from backup_core.results import Problem, Severity
from backup_core.services.listings import RunRecord
from backup_core.testing.clocks import ManualClock
from deployments.choices import Choices
from deployments.planning import plan, pool_of
from deployments.register import make_deployment, register_pool
from flows import fleet as module
from flows._fleet import MOST_ATTEMPTS, Ended, Fleet, Job, Limits, Phase, Result, Seen
from flows._fleet_report import fleet_report
from flows.fleet import fleet_backup
from tests.flows.conftest import MOMENT, FakeApplication

LIMITS = Limits(at_once=2, start_within=600, silence=600, longest=7200)


def job(host: str, configuration: str = "files") -> Job:
    return Job(host, f"{configuration} of {host}", f"id-{host}", f"davault-{host}")


@dataclass
class Scripted:
    """Hands that tell a story: for each machine the phases of its runs, one a look; the last one stays."""

    stories: dict[str, list[Phase | None]]
    silences: dict[str, float | None] = field(default_factory=dict)
    followers: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    most: int = 0

    def start(self, job: Job) -> str:
        if not job.deployment:
            raise BackupExecutionError(f"{job.host} has no deployments")
        run = f"{job.configuration} #{len(self.runs)}"
        self.runs[run] = job.host
        return run

    def start_again(self, job: Job, run: str, times: int) -> str:
        return self.start(job)

    def successor(self, run: str) -> str:
        return self.followers.get(self.runs[run], "")

    def look(self, runs: Sequence[str]) -> Mapping[str, Seen]:
        self.most = max(self.most, len(runs))
        seen = {}
        for run in runs:
            story = self.stories[self.runs[run]]
            phase = story.pop(0) if len(story) > 1 else story[0]
            if phase is not None:
                seen[run] = Seen(phase, "told")
        return seen

    def stop(self, run: str) -> None:
        self.stopped.append(run)

    def silence(self, pool: str) -> float | None:
        return self.silences.get(pool, 5.0)


def results(ended: Sequence[Ended]) -> dict[str, Result]:
    return {one.job.configuration: one.result for one in ended}


def test_every_machine_comes_to_its_end_and_none_stops_the_others() -> None:
    hands = Scripted(
        {
            "well": [Phase.WAITING, Phase.WORKING, Phase.DONE],
            "breaks": [Phase.WORKING, Phase.FAILED],
            "dead": [Phase.WAITING],
            "dies": [Phase.WORKING],
            "slow": [Phase.WORKING],
            "unseen": [None, None, Phase.DONE],
            "stopped": [Phase.CANCELLED],
        },
        silences={"davault-dead": None, "davault-dies": 900.0},
    )
    clock = ManualClock()
    jobs = [job(host) for host in hands.stories] + [job("dead", "more"), job("well", "more")]
    jobs.append(Job("unknown", "-", "", "-"))
    ended = Fleet(hands, LIMITS, clock).run(jobs)
    assert results(ended) == {
        "files of well": Result.DONE, "more of well": Result.DONE, "files of breaks": Result.FAILED,
        "files of dead": Result.NOT_TAKEN, "more of dead": Result.NOT_TAKEN, "files of dies": Result.LOST,
        "files of slow": Result.LEFT, "files of unseen": Result.DONE, "files of stopped": Result.CANCELLED,
        "-": Result.FAILED,
    }  # fmt: skip
    assert hands.most == LIMITS.at_once
    assert [hands.runs[run] for run in hands.stopped] == ["dead"], (
        "withdrawn, so that it does not begin by itself later"
    )
    messages = {one.job.configuration: one.message for one in ended}
    assert "no worker was ever heard of" in messages["files of dead"]
    assert "15 minutes ago" in messages["files of dies"]
    assert "not tried" in messages["more of dead"]
    assert sum(clock.slept) < LIMITS.longest + LIMITS.start_within + 60


def test_a_crashed_run_is_begun_again_and_one_that_goes_on_elsewhere_is_followed() -> None:
    hands = Scripted(
        {"shaky": [Phase.CRASHED, Phase.DONE], "broken": [Phase.CRASHED], "drained": [Phase.CANCELLED, Phase.DONE]}
    )
    hands.runs["next"], hands.followers["drained"] = "drained", "next"
    ended = {one.job.host: one for one in Fleet(hands, LIMITS, ManualClock()).run(map(job, hands.stories))}
    assert (ended["shaky"].result, ended["shaky"].attempts) == (Result.DONE, 2)
    assert (ended["broken"].result, ended["broken"].attempts) == (Result.CRASHED, MOST_ATTEMPTS)
    assert (ended["drained"].result, ended["drained"].run) == (Result.DONE, "next")


def test_when_the_fleet_run_is_cancelled_the_machines_are_told_to_stop() -> None:
    hands = Scripted({"one": [Phase.WORKING], "two": [Phase.WORKING]})

    class Stopping(ManualClock):
        def sleep(self, seconds: float, cancel: object = None) -> None:
            super().sleep(seconds)
            if len(self.slept) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fleet(hands, LIMITS, Stopping()).run([job("one"), job("two")])
    assert sorted(hands.runs[run] for run in hands.stopped) == ["one", "two"]


def record(run_id: int, **changes: Any) -> RunRecord:
    facts: dict[str, Any] = {
        "run_id": run_id, "kind": "backup", "config_name": "files", "started_at": MOMENT,
        "ended_at": MOMENT + timedelta(seconds=9), "outcome": "completed", "requests": {"PUT": 5},
        "figures": {"files": 1234, "data_added": 70_000, "stored_size": 30_000},
    }  # fmt: skip
    return RunRecord(**(facts | changes))


def test_the_report_begins_with_what_is_wrong_and_says_what_to_do() -> None:
    well, dead = job("a-well"), job("z<dead>")
    problem = Problem("unreadable", "cannot read /root|x", severity=Severity.WARNING)
    page = fleet_report(
        [Ended(well, Result.PROBLEMS, "ok", "run-1", 2), Ended(dead, Result.NOT_TAKEN, "nobody took it", "run-2", 1)],
        {well: record(7, problems=(problem,))},
        seconds=75,
        link=lambda run: f"http://control/runs/{run}",
    )
    lines = page.splitlines()
    assert lines[0] == "# 1 of 2 machines are backed up"
    assert "1 of 2 backups were made" in lines[2] and "1,234 files" in lines[2] and "5 requests" in lines[2]
    rows = [line for line in lines if line.startswith("| ") and "Machine" not in line]
    assert rows[0].startswith(r"| z\<dead\> |") and "[**not begun**](http://control/runs/run-2)" in rows[0]
    assert "backed up with problems (attempt 2)" in rows[1] and "| 1 |" in rows[1]
    assert "python -m deployments.worker --pool davault-z" in page
    assert r"cannot read /root\|x" in page


@pytest.mark.prefect
@pytest.mark.usefixtures("prefect_server")
def test_the_flow_starts_the_machines_deployments_and_reports(
    application: FakeApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("web-1", "db-1", "gone-1"):
        register_pool(pool_of(host))
        config = BackupConfig(
            name=f"of {host}", host=host, source_paths=["/srv"], target_client_id="cloud", target_path=f"/{host}"
        )
        (planned,) = (one for one in plan(config, "Etc/UTC") if one.flow.name == "incremental-backup")
        make_deployment(planned, Choices.of([config], ())).apply()
    known = {"of web-1": [record(1)], "of db-1": [record(2)]}
    application.answers["runs"] = lambda name, limit: known.get(name, [])[:limit]
    monkeypatch.setattr(module, "open_application", lambda: application)
    monkeypatch.setattr(module, "the_clock", lambda: Workers(known))

    state = fleet_backup(start_within_minutes=1, return_state=True)
    assert state.is_failed() and "1 of 3 machines are not backed up: gone-1" in (state.message or "")
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["fleet-backup"])), limit=1
        )
        put_down = {(run.parameters or {}).get("configuration"): run for run in client.read_flow_runs()}
    assert "# 2 of 3 machines are backed up" in artifact.data
    assert "backed up (attempt 2)" in artifact.data, "the one that crashed"
    assert put_down["of gone-1"].state.is_cancelled()
    assert put_down["of web-1"].work_queue_name == "default"

    nobody = fleet_backup(hosts=["nowhere"], return_state=True)
    assert nobody.is_failed()


class Workers(ManualClock):
    """Time in which the workers of two machines do their work; one crashes at its first try, the third is dead."""

    def __init__(self, known: dict[str, list[RunRecord]]) -> None:
        super().__init__()
        self._known = known
        self._tried: set[str] = set()

    def sleep(self, seconds: float, cancel: object = None) -> None:
        super().sleep(seconds)
        with get_client(sync_client=True) as client:
            for run in client.read_flow_runs():
                name = (run.parameters or {}).get("configuration")
                if name == "of web-1" and run.state.is_running():
                    client.set_flow_run_state(run.id, Completed())
                    self._known[name].insert(0, record(10))
                elif name == "of web-1" and run.state.is_scheduled() and "fleet" in _tags(run):
                    client.set_flow_run_state(run.id, Running(), force=True)
                elif name == "of db-1" and run.state.is_scheduled() and "fleet" in _tags(run):
                    again = name in self._tried
                    self._tried.add(name)
                    client.set_flow_run_state(run.id, Completed() if again else Crashed(), force=True)


def _tags(run: FlowRun) -> str:
    return " ".join(run.tags)
