"""Each error ends the program with its documented code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backup_core import errors
from backup_core.cli.exits import ExitCode, advice_for, exit_code_of

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def _every_error(root: type[Exception] = errors.BackupError) -> list[type[Exception]]:
    return [root, *(each for child in root.__subclasses__() for each in _every_error(child))]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WrongKey("x"), ExitCode.REPOSITORY),
        (errors.NotARepository("x"), ExitCode.REPOSITORY),
        (errors.RepositoryExists("x"), ExitCode.REPOSITORY),
        (errors.ConnectionLost("x"), ExitCode.STORAGE),
        (errors.AccessDenied("x"), ExitCode.STORAGE),
        (errors.QuotaExceeded("x"), ExitCode.STORAGE),
        (errors.ListingUnproved("x"), ExitCode.STORAGE),
        (errors.LockHeld("x"), ExitCode.BUSY),
        (errors.Corrupt("x"), ExitCode.DAMAGE),
        (errors.BlobMissing("x"), ExitCode.DAMAGE),
        (errors.ConfigError("x"), ExitCode.CONFIGURATION),
        (errors.SourceError("x"), ExitCode.LOCAL),
        (errors.TargetNotEmpty("x"), ExitCode.LOCAL),
        (errors.CatalogueError("x"), ExitCode.LOCAL),
        (PermissionError(13, "denied"), ExitCode.LOCAL),
        (errors.Cancelled("x"), ExitCode.CANCELLED),
        (KeyboardInterrupt(), ExitCode.CANCELLED),
        (errors.BackupExecutionError("x"), ExitCode.FAILED),
        (TypeError("x"), ExitCode.FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.name,
)
def test_the_code_of_each_error(error: BaseException, code: ExitCode) -> None:
    assert exit_code_of(error) is code


def test_a_wrapped_error_ends_as_its_cause() -> None:
    try:
        try:
            raise errors.QuotaExceeded("full")
        except errors.QuotaExceeded as cause:
            raise errors.BackupExecutionError("the backup could not go on") from cause
    except errors.BackupExecutionError as error:
        assert exit_code_of(error) is ExitCode.STORAGE
        assert "room" in advice_for(error)


def test_an_unforeseen_error_is_not_renamed_after_its_cause() -> None:
    error = TypeError("a fault")
    error.__cause__ = errors.LockHeld("x")
    assert exit_code_of(error) is ExitCode.FAILED


@pytest.mark.parametrize("kind", _every_error(), ids=lambda kind: kind.__name__)
def test_only_errors_without_a_kind_of_their_own_have_no_code(kind: type[Exception]) -> None:
    general = {errors.BackupError, errors.RepositoryError, errors.BackupExecutionError}
    assert (exit_code_of(kind("x")) is ExitCode.FAILED) == (kind in general)


def test_the_documentation_lists_every_code() -> None:
    table = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", DOCUMENTATION.read_text(), re.MULTILINE))
    assert {int(number): name for number, name in table.items()} == {code.value: code.name for code in ExitCode}
