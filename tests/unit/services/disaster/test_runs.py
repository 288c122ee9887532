"""Drills and executions on real repositories: what comes back, what is told, what is kept, what is resumed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import ClientConfig
from backup_core.errors import ConfigError, LockHeld
from backup_core.progress import CancelToken, Progress
from backup_core.services.application import Application
from backup_core.services.disaster.plans import KeptPlan
from backup_core.services.disaster.records import StepState
from backup_core.services.disaster.reports import preview_markdown, run_markdown
from backup_core.services.dr_manager import DisasterRecoveryManager
from backup_core.services.private_files import exclusive
from backup_core.services.recovery_executor import RecoveryExecutor
from backup_core.services.restore_sessions import Session

Planned = Callable[..., KeptPlan]
SQLITE = {"kind": "sqlite", "path": "数据库/shop.db"}
EXECUTE = """
import sys
from backup_core.services.application import open_application
with open_application(sys.argv[1]) as app:
    app.recovery.disaster_recovery.carry_out("主站")
"""


def lose_a_pack(tmp_path: Path, repository: str) -> None:
    """Remove the largest pack of a repository, which holds file content."""
    packs = [p for p in (tmp_path / "store" / repository / "data").rglob("*") if p.is_file()]
    max(packs, key=lambda p: p.stat().st_size).unlink()


def texts(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def test_everything_comes_back_in_order(
    manager: DisasterRecoveryManager, planned: Planned, live: Path, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    after = [{"command": f"echo $DAVAULT_STEP {{target}} >> {marks}"}]
    planned(
        steps={"db": {"checks": [SQLITE], "after": after}, "code": {"after": after}, "uploads": {"after": after}},
        rto="1h",
        rpo="1d",
    )
    told: list[Progress] = []
    report = manager.carry_out("主站", progress=told.append)
    base = tmp_path / "recovered"
    assert (report.state, report.good, report.breaches) == (StepState.COMPLETED, True, ())
    assert report.rto is not None and report.rpo is not None and report.rto_met and report.rpo_met
    assert (base / "code" / "代码" / "app.py").read_text() == "print('hello')\n"
    assert texts(base / "uploads" / "上传") == texts(live / "上传")
    assert marks.read_text().splitlines()[0] == f"db {base / 'db'}"
    assert len(marks.read_text().splitlines()) == 3
    assert [act.outcome for act in report.steps[0].acts] == ["passed", "passed"]
    assert told and told[-1].phase == "recover"
    assert manager.history("主站")[0] == report
    assert manager.executions.resumable("主站") is None
    assert "Recovery of 主站: everything came back" in run_markdown(report)


def test_lost_files_are_named_and_the_rest_comes_back(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(rto="1h")
    lose_a_pack(tmp_path, "上传")
    report = manager.carry_out("主站")
    states = {step.name: step.state for step in report.steps}
    assert report.state is StepState.INCOMPLETE and not report.good
    assert states == {"db": StepState.COMPLETED, "code": StepState.COMPLETED, "uploads": StepState.INCOMPLETE}
    lost = report.steps[2].lost
    assert any("图片 3.bin" in path for path in lost)
    assert "图片 3.bin" in run_markdown(report) and "some files are LOST" in run_markdown(report)


def test_a_failing_check_blocks_what_depends_on_it(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    broken = {"kind": "sqlite", "path": "数据库/shop.db", "query": "SELECT count(*) FROM orders", "expect": "501"}
    planned(steps={"db": {"checks": [broken]}}, rto="1h")
    report = manager.carry_out("主站")
    assert [step.state.value for step in report.steps] == ["failed", "blocked", "blocked"]
    assert "'500' instead of '501'" in report.steps[0].error
    assert (report.state, report.rto, report.breaches) == (StepState.FAILED, None, ("rto",))
    assert not (tmp_path / "recovered" / "code").exists()


def test_a_failing_command_before_restores_nothing(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(steps={"db": {"before": [{"command": "echo disk missing; false"}]}})
    report = manager.carry_out("主站")
    assert "disk missing" in report.steps[0].error and report.steps[0].stage == "before"
    assert not (tmp_path / "recovered").exists()


def test_what_has_no_backup_does_not_keep_the_rest_from_coming_back(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(steps={"uploads": {"configuration": "没有"}})
    preview = manager.preview("主站")
    assert len(preview.problems) == 1 and "没有" in preview.problems[0]
    report = manager.carry_out("主站")
    assert [step.state.value for step in report.steps] == ["completed", "completed", "failed"]
    with pytest.raises(ConfigError, match="没有"):
        manager.execute("主站")


def test_a_plan_that_stops_on_failure_is_not_begun_without_all_backups(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(steps={"uploads": {"configuration": "没有"}}, on_failure="stop")
    with pytest.raises(ConfigError, match="cannot be executed"):
        manager.carry_out("主站")
    assert not (tmp_path / "recovered").exists()


def test_a_plan_is_executed_by_one_at_a_time(
    app: Application, manager: DisasterRecoveryManager, planned: Planned
) -> None:
    kept = planned()
    with exclusive(app.home.lock_file(f"recovery {kept.plan_id}"), subject="x"), pytest.raises(LockHeld):
        manager.carry_out("主站")


def test_a_failed_step_is_resumed_at_its_stage(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    log, fixed = tmp_path / "log", tmp_path / "fixed"
    commands = {
        "before": [{"command": f"echo before >> {log}"}],
        "after": [{"command": f"echo after >> {log}; test -e {fixed}"}],
    }
    planned(steps={"db": commands})
    first = manager.carry_out("主站")
    assert [step.state.value for step in first.steps] == ["failed", "blocked", "blocked"]
    fixed.touch()
    second = manager.resume("主站")
    assert (second.run_id, second.state) == (first.run_id, StepState.COMPLETED)
    assert log.read_text().split() == ["before", "after", "after"], "the earlier stages are not done again"
    assert second.steps[0].session_id == first.steps[0].session_id
    assert second.steps[0].seconds > first.steps[0].seconds
    with pytest.raises(ConfigError, match="stopped before its end"):
        manager.resume("主站")


def test_a_killed_execution_goes_on_where_it_stood(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    killer = [{"command": f"test -e {once} || {{ touch {once}; kill -9 $PPID; exit 1; }}"}]
    planned(steps={"code": {"before": killer}}, parallel=1)
    done = subprocess.run([sys.executable, "-c", EXECUTE, str(app.home.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    stopped = manager.executions.resumable("主站")
    assert stopped is not None and stopped.state is StepState.INTERRUPTED
    assert [step.state.value for step in stopped.steps] == ["completed", "interrupted", "pending"]
    app.backup("代码", kind="full")
    report = manager.resume("主站")
    assert report.state is StepState.COMPLETED and report.run_id == stopped.run_id
    assert report.steps[0] == stopped.steps[0], "what was completed is not touched"
    assert report.steps[1].backup_id == stopped.steps[1].backup_id, "the backup that was chosen then"
    assert (tmp_path / "recovered" / "uploads" / "上传").is_dir()


def test_a_cancelled_execution_can_be_resumed(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(steps={"code": {"before": [{"command": f"test -e {tmp_path / 'go'} || sleep 600"}]}}, parallel=1)
    cancel = CancelToken()

    def watch(progress: Progress) -> None:
        if "db" in progress.message and progress.phase == "recover":
            cancel.cancel("enough")

    report = manager.carry_out("主站", cancel=cancel, progress=watch)
    assert report.state is StepState.CANCELLED
    (tmp_path / "go").touch()
    assert manager.resume("主站").state is StepState.COMPLETED


def test_a_drill_measures_and_leaves_nothing(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    mark = tmp_path / "service-started"
    scratch = tmp_path / "scratch"
    planned(
        steps={
            "db": {"checks": [SQLITE], "after": [{"command": f"touch {mark}"}]},
            "code": {"checks": [{"kind": "command", "command": "test -f 代码/app.py && test $DAVAULT_MODE = drill"}]},
        },
        rto="1h",
        rpo="1d",
    )
    report = manager.drill("主站", scratch=scratch)
    assert report.good and report.kind == "drill"
    assert report.rto is not None and all(step.seconds > 0 for step in report.steps)
    assert [[act.outcome for act in step.acts] for step in report.steps] == [["skipped", "passed"], ["passed"], []]
    assert list(scratch.iterdir()) == [] and not mark.exists() and not (tmp_path / "recovered").exists()
    assert manager.trend("主站").drills == 1
    assert manager.get("主站").last_drilled_at is not None


def test_a_drill_of_a_sample(manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path) -> None:
    planned(steps={"db": {"checks": [SQLITE]}})
    report = manager.drill("主站", steps=["db", "uploads"], sample=3, scratch=tmp_path)
    assert report.state is StepState.COMPLETED and [step.name for step in report.steps] == ["db", "uploads"]
    assert report.steps[1].files_restored == 3
    assert "3 files of each step" in report.sample
    assert manager.trend("主站").drills == 0, "a sample says nothing about the time everything takes"
    with pytest.raises(ConfigError, match="no step 'x'"):
        manager.drill("主站", steps=["x"])


def test_a_drill_with_a_lost_pack_is_a_breach(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(rto="1h")
    assert manager.drill("主站", scratch=tmp_path).good
    lose_a_pack(tmp_path, "代码")
    report = manager.drill("主站", scratch=tmp_path)
    assert report.state is StepState.INCOMPLETE and not report.good
    found = manager.trend("主站")
    assert (found.drills, found.first_breach_of) == (2, ("state",))
    assert found.first_breach == report.started_at


def test_objectives_that_were_missed(manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path) -> None:
    planned(rto=0.001, rpo=0.001)
    report = manager.drill("主站", scratch=tmp_path)
    assert (report.state, report.breaches, report.good) == (StepState.COMPLETED, ("rto", "rpo"), False)


def test_what_a_killed_drill_left_is_removed_by_the_next(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    once = tmp_path / "once"
    command = f"test -e {once} || {{ touch {once}; kill -9 $PPID; exit 1; }}"
    planned(steps={"db": {"after": [{"command": command, "in_drill": True}]}}, drill_scratch=str(scratch))
    script = EXECUTE.replace('carry_out("主站")', 'drill("主站")')
    assert subprocess.run([sys.executable, "-c", script, str(app.home.root)], check=False).returncode == -9
    (left,) = scratch.iterdir()
    (scratch / "mine").mkdir()
    assert (left / "db").is_dir()
    assert manager.drill("主站").state is StepState.COMPLETED
    assert os.listdir(scratch) == ["mine"]
    assert [run.state.value for run in manager.history(kind="drill")] == ["completed", "interrupted"]


def test_plans_move_to_another_machine(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    from backup_core.services.application import open_application

    kept = planned(rto="4h", steps={"db": {"checks": [SQLITE]}})
    records = manager.plans.export_records()
    with open_application(tmp_path / "other home") as other:
        plans = other.recovery.disaster_recovery.plans
        assert plans.import_records(records) == ["主站"]
        assert plans.import_records(records) == []
        assert plans.find("主站") == kept
        plans.remove("主站")
        file = tmp_path / "plans.toml"
        file.write_text(manager.plans.dump(["主站"]))
        (loaded,) = plans.load(file)
        assert loaded.plan == kept.plan
        with pytest.raises(ConfigError, match="exists already"):
            plans.load(file)
        assert plans.load(file, replace=True)[0].plan_id == loaded.plan_id


def test_a_plan_is_executed_from_a_mirror_when_its_server_is_gone(
    app: Application, manager: DisasterRecoveryManager, planned: Planned, live: Path, tmp_path: Path
) -> None:
    app.add_client(ClientConfig(name="second", url=str(tmp_path / "second place")))
    config = app.get_config("上传")
    mirrored = config.model_copy(update={"mirrors": [MirrorConfig(client="second", path="/copies")]})
    app.add_config(mirrored, replace=True)
    app.mirroring.run("上传")
    planned()
    shutil.rmtree(tmp_path / "store" / "上传")
    assert any("only a mirror" in f.message for f in manager.readiness("主站").findings)
    drilled = manager.drill("主站", steps=["uploads"], sample=2, scratch=tmp_path)
    assert (drilled.state, drilled.steps[0].files_restored) == (StepState.COMPLETED, 2)
    report = manager.carry_out("主站")
    assert report.state is StepState.COMPLETED
    assert texts(tmp_path / "recovered" / "uploads" / "上传") == texts(live / "上传")


def test_an_unforeseen_error_fails_one_step(
    manager: DisasterRecoveryManager, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(steps={"code": {"depends_on": []}}, parallel=1)
    real = RecoveryExecutor.carry_out

    def carry_out(self: RecoveryExecutor, session: Session, progress: Any) -> Any:
        if "code" in str(session.request.target):
            raise ZeroDivisionError("nobody thought of this")
        return real(self, session, progress)

    monkeypatch.setattr(RecoveryExecutor, "carry_out", carry_out)
    report = manager.carry_out("主站")
    assert [step.state.value for step in report.steps] == ["completed", "failed", "completed"]
    assert "nobody thought of this" in report.steps[1].error


def test_whoever_approves_sees_what_will_be_run(manager: DisasterRecoveryManager, planned: Planned) -> None:
    planned(steps={"db": {"before": [{"command": ["systemctl", "stop", "a b"]}], "after": [{"command": "x | y"}]}})
    preview = manager.preview("主站")
    assert preview.steps[0].commands == ("systemctl stop 'a b'", "x | y")
    shown = preview_markdown(preview)
    assert "x \\| y" in shown and "into **" + preview.steps[0].target.replace("_", "\\_") + "**" in shown
    assert f"- {preview.steps[0].files:,} files, " in shown and "Problems" not in shown


def test_a_cancelled_drill_leaves_nothing_and_counts_for_nothing(
    manager: DisasterRecoveryManager, planned: Planned, tmp_path: Path
) -> None:
    planned(parallel=1, rto="1h")
    cancel, scratch = CancelToken(), tmp_path / "scratch"

    def watch(progress: Progress) -> None:
        if "db" in progress.message:
            cancel.cancel("enough")

    report = manager.drill("主站", scratch=scratch, cancel=cancel, progress=watch)
    assert report.state is StepState.CANCELLED and report.breaches == ()
    assert os.listdir(scratch) == []
    assert manager.trend("主站").drills == 0
