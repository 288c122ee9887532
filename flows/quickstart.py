"""The main job once, from nothing, on real files: back up, change, back up again, validate, restore, compare.

    python -m flows.quickstart [--source PATH] [--home DIRECTORY] [--keep] [--stop] [--json]

The environment variables SOURCE, DAVAULT_HOME and KEEP=1 say the same. A WebDAV server and a Prefect server are started
on this machine's loopback, everything is kept below the home, and no other host is called.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup_core.cli import documents, report_documents, units
from backup_core.cli.exits import ExitCode
from backup_core.cli.faults import fault_of
from backup_core.cli.logs import LogLevel, logging_to
from backup_core.cli.output import console, facts, prepare_streams, table, write_json
from backup_core.cli.progress_view import progress_view
from backup_core.clock import SystemClock
from backup_core.config.home import HOME_VARIABLE, Home
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.engine.compare import Difference, compare_trees
from backup_core.errors import BackupError
from backup_core.results import BackupSummary, RestoreSummary
from backup_core.services.application import open_application
from backup_core.services.disaster.records import RunReport
from backup_core.services.disaster.reports import document
from backup_core.services.findings import BackupValidationResult
from flows import _sample
from flows._local_servers import USERNAME, LocalServers
from flows._processes import Running
from flows._quickstart_drill import drill_lines, keep_plan
from flows._settings import server_environment

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.reports.report import Report

NAME = "quickstart"
"""Of the client and of the configuration."""
TARGET = "/backups/quickstart"
DEFAULT_HOME = "davault-quickstart"
"""In the working directory."""
_MOST_DIFFERENCES = 10


@dataclass(slots=True)
class Results:
    """What the steps did."""

    full: BackupSummary
    incremental: BackupSummary
    validation: list[BackupValidationResult]
    restore: RestoreSummary
    differences: list[Difference]
    report: Report
    drill: RunReport

    @property
    def good(self) -> bool:
        """True when everything came back as it was."""
        whole = not self.differences and all(r.is_valid for r in self.validation) and not self.restore.failed
        return whole and self.drill.good


class Quickstart:
    """One run of the main job."""

    def __init__(self, home: Home, source: Path | None, out: Console) -> None:
        self._home = home
        self._out = out
        self._clock = SystemClock()
        self._servers = LocalServers(home, self._clock)
        self._room = home.root / NAME
        self._report_file = home.root / "report.html"
        self._source = source
        self._started = self._clock.monotonic()
        self.document: dict[str, object] = {}
        """What was done, for programs."""

    def run(self, *, keep: bool) -> ExitCode:
        """Do everything and show it; ``ExitCode.OK`` when every byte came back."""
        self._out.print(f"Everything of this run is kept below {self._home.root}\n", soft_wrap=True)
        try:
            with self._step("starting a WebDAV server and a Prefect server on this machine"):
                webdav, prefect = self._servers.start()
                os.environ.update(server_environment(self._home.prefect, prefect.url, base=os.environ))
                # The run's lines go to the server; on the terminal there is only what went wrong.
                os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
            with self._step("preparing the files to back up"):
                sample = _sample.prepare(self._room, self._source)
                self._configure(sample, webdav)
            self._out.print(f"  {sample.description}", soft_wrap=True)
            results = self._main_job(sample)
        finally:
            _send_logs()
            if not keep:
                self._servers.stop()
        self._show(results)
        self._show_next(sample, prefect if keep else None)
        self.document = self._documented(results, sample)
        return ExitCode.OK if results.good else ExitCode.DAMAGE

    def stop(self) -> ExitCode:
        """End servers that an earlier run left running."""
        stopped = self._servers.stop()
        self._out.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
        self.document = {"home": str(self._home.root), "stopped": stopped}
        return ExitCode.OK

    def _configure(self, sample: _sample.Sample, webdav: Running) -> None:
        client = ClientConfig(name=NAME, url=f"{webdav.url}/", username=USERNAME)
        config = BackupConfig(
            name=NAME,
            source_paths=[str(path) for path in sample.sources],
            target_client_id=NAME,
            target_path=TARGET,
            # Nothing is left out, so that the comparison at the end may be of everything.
            exclude_caches=False,
            exclude_if_present=[],
            max_versions=30,
        )
        with open_application(self._home) as application:
            application.add_client(client, password=self._servers.webdav_password, replace=True)
            application.add_config(config, replace=True)

    def _main_job(self, sample: _sample.Sample) -> Results:
        # Prefect reads its settings when it is imported, and they are known only now.
        from flows.backup import full_backup, incremental_backup
        from flows.disaster import disaster_recovery_drill
        from flows.restore import restore
        from flows.storage_report import storage_report
        from flows.validate import validate_backups

        full = self._flow("full backup", lambda: full_backup(NAME))
        with self._step("changing some files") as say:
            stamp = f"{self._clock.now():%Y-%m-%d %H%M%S}"
            say(_sample.change(sample, stamp))
        incremental = self._flow("incremental backup", lambda: incremental_backup(NAME))
        ids = [full.backup_id, incremental.backup_id]
        validation = self._flow(
            "validation, reading all data back", lambda: validate_backups(backup_ids=ids, depth="data")
        )
        target = self._room / "restored"
        if target.exists():
            shutil.rmtree(target)
        summary = self._flow("one-click restore", lambda: restore(configuration=NAME, target=str(target)))
        with self._step("comparing every restored file with its source, byte for byte"):
            differences = self._compare(sample, target)
        with open_application(self._home) as application:
            keep_plan(application, NAME, source=sample.sources[0], target=self._room / "recovered")
        drill = self._flow("disaster-recovery drill", lambda: disaster_recovery_drill(NAME, scratch=str(self._room)))
        report = self._flow("storage report", storage_report)
        with open_application(self._home) as application:
            self._report_file.write_text(application.reporting.html(report), encoding="utf-8")
        return Results(full, incremental, validation, summary, differences, report, drill)

    def _compare(self, sample: _sample.Sample, target: Path) -> list[Difference]:
        # Only root can give files away, so only then must their owners have come back.
        owners = os.geteuid() == 0
        return [d for path in sample.sources for d in compare_trees(path, target / path.name, owners=owners)]

    # ---- showing

    def _flow(self, title: str, start: Callable[[], Any]) -> Any:
        from flows._runtime import watched_by

        self._out.print(f"• {title}, as a Prefect flow")
        began = self._clock.monotonic()
        with progress_view(self._out, self._clock) as sink, watched_by(sink):
            result = start()
        self._out.print(f"  done in {units.duration(self._clock.monotonic() - began)}")
        return result

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[str], None]]:
        began = self._clock.monotonic()
        said: list[str] = []
        self._out.print(f"• {title}")
        yield said.append
        self._out.print(f"  {'; '.join([*said, f'{units.duration(self._clock.monotonic() - began)}'])}")

    def _show(self, results: Results) -> None:
        columns = ("", "FILES", "LOGICAL", "NEW DATA", "STORED", "REQUESTS", "SECONDS")
        rows = [
            _backup_row("full backup", results.full),
            _backup_row("incremental", results.incremental),
            _validation_row(results.validation),
            _restore_row(results.restore),
        ]
        self._out.print()
        self._out.print(table(columns, rows, right=columns[1:]))
        self._out.print()
        both = (results.full, results.incremental)
        logical, new, stored = (sum(getattr(r, f) for r in both) for f in ("total_size", "data_added", "stored_size"))
        self._out.print(
            f"The two backups hold {units.size(logical)}: deduplication left {units.size(new)} of new data, "
            f"which compressed and encrypted takes {units.size(stored)} on the server.",
            soft_wrap=True,
        )
        for problem in (*results.full.problems, *results.incremental.problems):
            self._out.print(f"{problem.severity.value}: {problem.message}", soft_wrap=True)
        self._show_verdict(results)
        self._show_storage(results.report)
        self._show_drill(results.drill)

    def _show_verdict(self, results: Results) -> None:
        whole = sum(r.is_valid for r in results.validation)
        self._out.print(f"{whole} of {len(results.validation)} backups validated, all their data read back.")
        if results.differences:
            self._out.print(f"NOT EQUAL: {len(results.differences)} differences between source and restored files:")
            for difference in results.differences[:_MOST_DIFFERENCES]:
                self._out.print(f"  {units.printable(str(difference))}", soft_wrap=True)
        else:
            entries = units.number(results.restore.files_total)
            self._out.print(f"All {entries} restored entries equal their source, byte for byte, metadata included.")
        self._out.print(f"The whole run took {units.duration(self._clock.monotonic() - self._started)}.\n")

    def _show_storage(self, report: Report) -> None:
        from backup_core.reports import words

        whole = report.overall
        self._out.print(
            f"Storage report: {words.number(whole.backups)} backups of {words.size(whole.kept_bytes)} take "
            f"{words.size(whole.stored_bytes)}, a {words.times(whole.space_ratio)} gain "
            f"(deduplication {words.times(whole.dedup_ratio)}, compression {words.times(whole.compression_ratio)}).\n",
            soft_wrap=True,
        )

    def _show_drill(self, drill: RunReport) -> None:
        for line in drill_lines(drill):
            self._out.print(units.printable(line.rstrip()), soft_wrap=True)
        self._out.print()

    def _documented(self, results: Results, sample: _sample.Sample) -> dict[str, object]:
        return {
            "home": str(self._home.root),
            "sources": [str(path) for path in sample.sources],
            "good": results.good,
            "full": documents.backup(results.full),
            "incremental": documents.backup(results.incremental),
            "validation": [documents.validation(r) for r in results.validation],
            "restore": documents.restore(results.restore),
            "drill": document(results.drill),
            "storage": report_documents.report(results.report),
            "report": str(self._report_file),
            "differences": [str(difference) for difference in results.differences],
            "seconds": round(self._clock.monotonic() - self._started, 3),
        }

    def _show_next(self, sample: _sample.Sample, prefect: Running | None) -> None:
        from flows.storage_report import KEY, newest_page

        served = self._servers.served / TARGET.strip("/")
        key = self._home.key_file(NAME)
        home = shlex.quote(str(self._home.root))
        davault = f"{HOME_VARIABLE}={home} {shlex.quote(str(Path(sys.executable).with_name('davault')))}"
        repository = f"restic -r {shlex.quote(str(served))} --password-file {shlex.quote(str(key))}"
        again = f"{shlex.quote(sys.executable)} -m flows.quickstart --home {home}"
        places = [
            ("source", sample.description),
            ("repository", f"{served} (encrypted; this is what the WebDAV server served)"),
            ("its key", f"{key} (without it nothing can be restored: keep a copy elsewhere)"),
            ("restored", str(self._room / "restored")),
            ("storage report", f"{self._report_file} (one page, for a browser)"),
            ("server logs", str(self._home.logs)),
        ]
        commands = [
            ("its backups", f"{davault} list"),
            ("its recovery plan", f"{davault} dr history {NAME}"),
            ("with restic", f"{repository} snapshots"),
            ("once more", f"{again}   (continues the same repository)"),
        ]
        if prefect is None:
            commands.append(
                ("the Prefect UI", f"{davault} serve   (there, /artifacts/key/{KEY} is the storage report)")
            )
        else:
            commands.append(("the Prefect UI", f"{prefect.url}/runs"))
            commands.append(("the report there", newest_page(prefect.url)))
            commands.append(("stop the servers", f"{again} --stop"))
        self._out.print("Where everything lies:")
        self._out.print(facts(places), soft_wrap=True)
        self._out.print("\nWhat to type next:")
        self._out.print(facts(commands), soft_wrap=True)


def _backup_row(title: str, summary: BackupSummary) -> tuple[str, ...]:
    return (
        title,
        units.number(summary.files),
        units.size(summary.total_size),
        units.size(summary.data_added),
        units.size(summary.stored_size),
        units.number(sum(summary.requests.values())),
        f"{summary.seconds:.1f}",
    )


def _validation_row(results: Sequence[BackupValidationResult]) -> tuple[str, ...]:
    # Backups that are checked together share their requests.
    requests = max((sum(r.requests.values()) for r in results), default=0)
    read = f"{units.size(max((r.bytes_read for r in results), default=0))} read"
    files = sum(r.files_passed for r in results)
    seconds = max((r.seconds for r in results), default=0.0)
    return ("validation", units.number(files), "", "", read, units.number(requests), f"{seconds:.1f}")


def _restore_row(summary: RestoreSummary) -> tuple[str, ...]:
    read = f"{units.size(summary.bytes_downloaded)} read"
    requests = units.number(sum(summary.requests.values()))
    size = units.size(summary.bytes_restored)
    return ("restore", units.number(summary.files_restored), size, "", read, requests, f"{summary.seconds:.1f}")


def _send_logs() -> None:
    """Have Prefect send what is still waiting, while its server is there to take it."""
    handlers = sys.modules.get("prefect.logging.handlers")
    if handlers is not None:
        handlers.APILogHandler().flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.quickstart", description="The main job, once, on real files."
    )
    parser.add_argument("--source", type=Path, default=os.environ.get("SOURCE") or None, help="back up this directory")
    parser.add_argument("--home", type=Path, help=f"where everything is kept (default: ./{DEFAULT_HOME})")
    parser.add_argument("--keep", action="store_true", default=os.environ.get("KEEP", "") not in ("", "0"))
    parser.add_argument("--stop", action="store_true", help="stop servers that --keep left running")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout, the rest on stderr")
    parser.add_argument("--log-level", type=LogLevel, choices=list(LogLevel), default=LogLevel.WARNING)
    parser.add_argument("--log-file", type=Path, help="append a log to this file, too")
    options = parser.parse_args(arguments)
    prepare_streams()
    home = Home.at(options.home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)
    # The flows open the home that the environment names.
    os.environ[HOME_VARIABLE] = str(home.root)
    try:
        with logging_to(lambda: console(sys.stderr), level=options.log_level, file=options.log_file):
            run = Quickstart(home.create(), options.source, console(sys.stderr if options.json else sys.stdout))
            code = run.stop() if options.stop else run.run(keep=options.keep)
            document = run.document
    except (BackupError, KeyboardInterrupt) as error:
        fault = fault_of(error)
        fault.show(console(sys.stderr))
        code, document = fault.exit_code, fault.document()
    if options.json:
        write_json(document, sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
