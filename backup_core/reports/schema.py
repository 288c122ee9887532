"""What the frames hold: every column with its type, unit and meaning. docs/reports.md shows the same tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from backup_core.deferred import dataclass

MOMENT = "datetime64[us, UTC]"
"""Moments are aware, in UTC; days and months are those of the zone that the frames were loaded with."""
DAY = "datetime64[us]"
"""The first midnight of a day or month, local and without a zone."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame."""

    name: str
    dtype: str
    unit: str
    """"" for names, words and moments."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Schema:
    """All columns of a frame."""

    title: str
    """One row is ..."""
    columns: tuple[Column, ...]

    def frame(self, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """The rows as a frame of exactly these columns and types, also when there are none."""
        made = pd.DataFrame.from_records(list(rows), columns=[column.name for column in self.columns])
        return made.astype({column.name: column.dtype for column in self.columns})


_CONFIGURATION = Column("configuration", "str", "", 'the configuration\'s name, "" when another program made it')

BACKUPS = Schema(
    "a backup that is kept",
    (
        Column("backup_id", "str", "", "its name"),
        _CONFIGURATION,
        Column("kind", "str", "", "full or incremental"),
        Column("at", MOMENT, "", "when it began"),
        Column("files", "int64", "files", "files of any kind but directories"),
        Column("logical_bytes", "int64", "logical bytes", "what restoring it writes"),
        Column("new_bytes", "int64", "logical bytes", "content that the repository did not have yet"),
        Column("stored_bytes", "int64", "stored bytes", "what it added on the server"),
        Column("problems", "int64", "problems", "what went wrong in it"),
        Column("encrypted", "bool", "", "whether a key is needed to read it"),
    ),
)
RUNS = Schema(
    "a run: backup, cleanup and so on, also failed ones, and ones whose backup is forgotten by now",
    (
        Column("run_id", "int64", "", "its number"),
        Column("kind", "str", "", "backup, cleanup, ..."),
        _CONFIGURATION,
        Column("backup_id", "str", "", 'the backup it made, "" when none'),
        Column("started", MOMENT, "", "when it began"),
        Column("seconds", "float64", "seconds", "how long it took; NaN when it never ended"),
        Column("outcome", "str", "", "completed, completed with problems, failed, cancelled, running"),
        Column("good", "bool", "", "whether it did what it should, with or without problems"),
        Column("files", "int64", "files", "files in the backup"),
        Column("changed_files", "int64", "files", "new and changed ones"),
        Column("logical_bytes", "int64", "logical bytes", "what was backed up"),
        Column("new_bytes", "int64", "logical bytes", "content that the repository did not have yet"),
        Column("stored_bytes", "int64", "stored bytes", "what it added on the server"),
        Column("requests", "int64", "requests", "sent to the server"),
        Column("problems", "int64", "problems", "what went wrong"),
        Column("error", "str", "", 'why it failed, "" when it did not'),
    ),
)
REQUESTS = Schema(
    "the requests of one method that one run sent",
    (
        Column("run_id", "int64", "", "the run's number"),
        _CONFIGURATION,
        Column("client", "str", "", 'the client, "" when the configuration is gone'),
        Column("started", MOMENT, "", "when the run began"),
        Column("seconds", "float64", "seconds", "how long the run took"),
        Column("method", "str", "", "PUT, GET, PROPFIND, ..."),
        Column("requests", "int64", "requests", "how many"),
    ),
)
READINGS = Schema(
    "what one configuration took after a change of its repository",
    (
        Column("at", MOMENT, "", "when it was read"),
        _CONFIGURATION,
        Column("repository_id", "str", "", "the repository"),
        Column("stored_bytes", "int64", "stored bytes", "its share of the repository's packs"),
        Column("kept_bytes", "int64", "logical bytes", "all its backups that were kept then"),
        Column("newest_bytes", "int64", "logical bytes", "the newest of them"),
        Column("backups", "int64", "backups", "how many were kept"),
    ),
)
SPACES = Schema(
    "what a server said of an account's room",
    (
        Column("at", MOMENT, "", "when it was asked"),
        Column("client", "str", "", "the client"),
        Column("used_bytes", "Int64", "stored bytes", "of the whole account; missing when the server does not say"),
        Column("available_bytes", "Int64", "stored bytes", "still free; missing when the server does not say"),
    ),
)
VALIDATIONS = Schema(
    "a validation of one backup",
    (
        Column("at", MOMENT, "", "when it began"),
        _CONFIGURATION,
        Column("backup_id", "str", "", "the backup"),
        Column("depth", "str", "", "quick, data or restore"),
        Column("valid", "bool", "", "whether the backup was found whole"),
        Column("files_checked", "int64", "files", "how many were looked at"),
        Column("bytes_read", "int64", "stored bytes", "downloaded and verified"),
        Column("seconds", "float64", "seconds", "how long it took"),
    ),
)
RESTORES = Schema(
    "a restore that has ended",
    (
        Column("started", MOMENT, "", "when it began"),
        _CONFIGURATION,
        Column("backup_id", "str", "", "the backup"),
        Column("status", "str", "", "completed, failed or cancelled"),
        Column("seconds", "float64", "seconds", "how long it took"),
        Column("files", "int64", "files", "entries restored"),
        Column("logical_bytes", "int64", "logical bytes", "written"),
    ),
)
DRILLS = Schema(
    "a drill or an execution of a disaster-recovery plan",
    (
        Column("started", MOMENT, "", "when it began"),
        Column("plan", "str", "", "the plan's name"),
        Column("kind", "str", "", "drill or execution"),
        Column("state", "str", "", "completed, incomplete, failed, cancelled, running"),
        Column(
            "rto_seconds", "float64", "seconds", "until everything was back and checked; NaN when it did not end so"
        ),
        Column("rto_target_seconds", "float64", "seconds", "what the plan promises; NaN when nothing"),
        Column("rpo_seconds", "float64", "seconds", "age of the oldest backup used: work that would be lost"),
        Column("rpo_target_seconds", "float64", "seconds", "what the plan promises; NaN when nothing"),
        Column("met", "bool", "", "whether it was completed within both targets"),
    ),
)
TREND = Schema(
    "a day or month",
    (
        Column("period", DAY, "", "its first midnight, local"),
        Column("backups_made", "int64", "backups", "good runs in it"),
        Column("failed_runs", "int64", "runs", "backups that failed in it"),
        Column("new_bytes", "int64", "logical bytes", "content that was new in it"),
        Column("added_bytes", "int64", "stored bytes", "what its backups added on the server"),
        Column(
            "newest_bytes", "int64", "logical bytes", "the newest backup at its end (overall: of each configuration)"
        ),
        Column("kept_bytes", "int64", "logical bytes", "all backups kept at its end"),
        Column("stored_bytes", "int64", "stored bytes", "on the server at its end"),
        Column("backups_kept", "int64", "backups", "kept at its end"),
        Column(
            "space_ratio", "float64", "", "kept_bytes / stored_bytes: how many times the data fits; NaN for nothing"
        ),
        Column("compression_ratio", "float64", "", "new_bytes / added_bytes of all runs so far; NaN for nothing"),
    ),
)

SCHEMAS: Mapping[str, Schema] = {
    "backups": BACKUPS,
    "runs": RUNS,
    "requests": REQUESTS,
    "readings": READINGS,
    "spaces": SPACES,
    "validations": VALIDATIONS,
    "restores": RESTORES,
    "drills": DRILLS,
    "trend": TREND,
}
"""By the name under which docs/reports.md explains them."""
