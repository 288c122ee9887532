"""First backup, incremental one, validations and restore on the double of Nutstore, within its limits."""

from __future__ import annotations

import pytest

from backup_core.testing.nutstore_job import NutstoreJob, Step

MIB = 1 << 20


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    """As 3 GiB in packs of 64 MiB, sixty times smaller: so it has as many packs. The full size is run by hand."""
    job = NutstoreJob(tmp_path_factory.mktemp("nutstore"), size=48 * MIB, files=1500, pack_size=MIB)
    job.make_source()
    job.server.window_requests = 600
    return {step.name: step for step in job.run()}


def test_no_request_is_refused(steps: dict[str, Step]) -> None:
    assert {step.refused for step in steps.values()} == {0}


def test_the_first_backup(steps: dict[str, Step]) -> None:
    first = steps["first backup"]
    assert first.packs >= 40
    assert steps["init"].requests + first.requests <= 3 * first.packs + 30
    # Better than that: one request for each pack, and little else.
    assert steps["init"].requests + first.requests <= first.packs + 30
    assert first.by_method["PUT"] == first.packs + 3, "lock, index file, snapshot"


def test_later_backups(steps: dict[str, Step]) -> None:
    assert steps["run without changes"].requests <= 8 + 5, "five more when the time of a directory above has changed"
    later = steps["incremental backup"]
    assert later.requests <= later.packs + 8 + 3, "three more to confirm what was stored"


def test_validation_and_restore(steps: dict[str, Step]) -> None:
    packs = sum(step.packs for step in steps.values())
    assert steps["quick validation"].requests <= 10
    assert steps["validation of all data"].requests <= packs + 20
    assert steps["restore"].requests <= packs + 10
