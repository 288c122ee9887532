"""Commands around a backup, as a configuration has them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup_core.config.files import dump_configurations, parse_configurations
from backup_core.config.models import BackupConfig
from backup_core.errors import BackupExecutionError, Cancelled, ConfigError
from backup_core.progress import CancelToken
from backup_core.results import Outcome
from backup_core.services.application import Application

Configured = Callable[..., BackupConfig]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return tmp_path / "story"


def noting(story: Path, what: str = "$DAVAULT_STAGE $DAVAULT_OUTCOME") -> str:
    return f'echo "{what}" >> {story}'


def told(story: Path) -> list[str]:
    return [line.strip() for line in story.read_text().splitlines()]


def all_stages(story: Path, **changes: Any) -> dict[str, Any]:
    return {stage: [noting(story)] for stage in ("before", "after", "on_failure")} | changes


def test_commands_run_before_and_after_a_good_backup(app: Application, configured: Configured, story: Path) -> None:
    who = "$DAVAULT_NAME $DAVAULT_KIND $DAVAULT_BACKUP_ID ${DAVAULT_KEY-none} ${TEST_KEY-none}"
    configured(hooks=all_stages(story, after=[noting(story), noting(story, who)]))
    done = app.backup("文档", kind="full")
    assert done.outcome is Outcome.COMPLETED
    assert told(story) == ["before", "after completed", f"文档 full {done.backup_id} none none"]


def test_a_failing_command_before_stops_the_run(app: Application, configured: Configured, story: Path) -> None:
    hooks = all_stages(story, before=[noting(story), "echo reason; exit 4", noting(story)])
    configured(hooks=hooks)
    with pytest.raises(BackupExecutionError) as caught:
        app.backup("文档")
    assert "ended with exit code 4. It said: reason" in str(caught.value)
    assert told(story) == ["before", "on-failure failed", "after failed"]
    assert app.backups("文档", refresh=True) == []
    assert app.runs("文档")[0].outcome == "failed"


def test_a_failing_backup_is_told_to_the_commands(
    app: Application, configured: Configured, story: Path, source: Path
) -> None:
    configured(hooks=all_stages(story, on_failure=[noting(story, "$DAVAULT_STAGE $DAVAULT_ERROR")]))
    source.rename(source.with_name("away"))
    with pytest.raises(BackupExecutionError):
        app.backup("文档")
    assert told(story)[0] == "before"
    assert told(story)[1].startswith("on-failure none of the sources can be found")
    assert told(story)[2:] == ["after failed"]


def test_what_fails_after_a_good_backup_is_a_problem_of_it(
    app: Application, configured: Configured, story: Path
) -> None:
    configured(hooks={"after": ["false", noting(story), ["/no/such/program"]]})
    done = app.backup("文档")
    assert done.outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert [problem.kind for problem in done.problems] == ["hook", "hook"]
    assert told(story) == ["after completed"]
    assert len(app.backups("文档")) == 1


def test_words_need_no_shell_and_time_runs_out(app: Application, configured: Configured, story: Path) -> None:
    configured(hooks={"before": [["touch", f"{story} $HOME;x"]], "timeout": 0.2, "after": ["sleep 100"]})
    done = app.backup("文档")
    assert Path(f"{story} $HOME;x").exists()
    assert "did not end within 0 seconds and was stopped" in done.problems[0].message


def test_cancelling_stops_a_command_before_and_still_runs_those_after(
    app: Application, configured: Configured, story: Path
) -> None:
    started = story.with_name("started")
    os.mkfifo(started)
    configured(hooks=all_stages(story, before=[f"echo > {started}; sleep 1000"]))
    cancel = CancelToken()

    def stop() -> None:
        started.read_text()
        cancel.cancel()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Cancelled):
        app.backup("文档", cancel=cancel)
    thread.join()
    assert told(story) == ["on-failure cancelled", "after cancelled"]


def test_secrets_are_blotted_out_of_what_commands_say(
    app: Application, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    configured(hooks={"after": ["printf 'the key is 密钥密钥!'; exit 1"]}, encrypt_key="env:MARKED")
    with caplog.at_level(logging.DEBUG), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARKED", "密钥密钥!")
        done = app.backup("文档")
    assert "It said: the key is **********" in done.problems[0].message
    assert any("the key is **********" in record.getMessage() for record in caplog.records)
    assert "密钥密钥!" not in caplog.text


def test_a_dry_run_runs_no_command(app: Application, configured: Configured, story: Path) -> None:
    configured(hooks=all_stages(story), command_sources=[{"name": "x", "command": noting(story)}])
    app.backup("文档", dry_run=True)
    assert not story.exists()


def test_the_output_of_a_command_is_restored(app: Application, configured: Configured, tmp_path: Path) -> None:
    configured(command_sources=[{"name": "数据/a.sql", "command": 'echo "$DAVAULT_STAGE $DAVAULT_NAME"'}])
    done = app.backup("文档")
    assert app.validate([done.backup_id], depth="restore", live_source=True)[0].is_valid
    app.restore("文档", target=tmp_path / "back")
    assert (tmp_path / "back" / "a.sql").read_text() == "source 文档\n"
    assert (tmp_path / "back" / "源" / "一.txt").exists()
    app.restore("文档", target=tmp_path / "part", patterns=["a.sql"])
    assert [p.name for p in (tmp_path / "part").rglob("*")] == ["a.sql"]


def test_a_failing_source_command_is_told_without_secrets(app: Application, configured: Configured) -> None:
    configured(source_paths=[], command_sources=[{"name": "x", "command": "echo 密钥密钥 >&2; exit 2"}],
               encrypt_key="env:LONG")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, pytest.raises(BackupExecutionError) as caught:
        patch.setenv("LONG", "密钥密钥")
        app.backup("文档")
    assert "It said: **********. What it had printed" in str(caught.value)
    assert "密钥密钥" not in str(caught.value)


def test_commands_survive_toml(configured: Configured) -> None:
    config = configured(
        hooks={"before": ["a && b", ["x", 'y "z"']], "timeout": 5.5},
        command_sources=[{"name": "/d/s.sql", "command": ["pg_dump", "shop"]}, {"name": "t", "command": "x | y"}],
        sqlite_backup=False,
    )
    text = dump_configurations([], [config])
    assert parse_configurations(text)[1] == [config]
    assert config.command_sources[0].name == "d/s.sql"
    assert "hooks" not in dump_configurations([], [configured()])


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"hooks": {"before": [""]}}, "hooks.before"),
        ({"hooks": {"befor": ["x"]}}, "no such field"),
        ({"hooks": {"timeout": 0}}, "hooks.timeout"),
        ({"command_sources": [{"name": "../x", "command": "x"}]}, "command_sources.0.name"),
        ({"command_sources": [{"name": "a\nb", "command": "x"}]}, "control characters"),
        ({"command_sources": [{"name": "x", "command": []}]}, "command_sources.0.command"),
        ({"command_sources": [{"name": "x", "command": "a"}, {"name": "x", "command": "b"}]}, "named twice"),
        ({"command_sources": [{"name": "x", "command": "a"}, {"name": "x/y", "command": "b"}]}, "inside each other"),
        ({"command_sources": [{"name": "srv/x", "command": "a"}], "source_paths": ["/srv"]}, "inside each other"),
        ({"source_paths": []}, "at least one source"),
    ],
)
def test_wrong_commands_are_refused(configured: Configured, wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        configured(**wrong)
