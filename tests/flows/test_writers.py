"""One writer for each repository, by Prefect's limits; other repositories are free."""

from __future__ import annotations

import pytest

from backup_core.config.models import BackupConfig
from flows import _runtime

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def config(path: str) -> BackupConfig:
    return BackupConfig(name="a", source_paths=["/s"], target_client_id="writers", target_path=path)


def test_a_second_writer_waits_and_another_repository_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with _runtime.only_writer(config("/one")):
        monkeypatch.setattr(_runtime, "LONGEST_WAIT", 0.5)
        with pytest.raises(TimeoutError), _runtime.only_writer(config("/one")):
            pytest.fail("two writers")
        with _runtime.only_writer(config("/two")):
            pass
    with _runtime.only_writer(config("/one")):
        pass


def test_a_limit_that_somebody_removed_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runtime, "ensure_limit", lambda name: None)
    with pytest.raises(Exception, match="must be created before"), _runtime.only_writer(config("/nowhere")):
        pytest.fail("without a limit")
