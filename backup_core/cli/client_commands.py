"""``davault client``: accounts on servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.client_options import AccountOptions, ConnectionOptions, LimitOptions
from backup_core.cli.client_views import (
    account_document,
    account_facts,
    client_document,
    client_facts,
    measurement_document,
    measurement_table,
)
from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.cli.passwords import ask_password, reference_note
from backup_core.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.config.models import ClientConfig
    from backup_core.services.findings import ProbeResult

group = typer.Typer(name="client", help="Accounts on servers.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The client's name.")]
_URL = "WebDAV address (https://…), or file:///path for a directory."


@command(group, "add")
def add(
    run: Invocation,
    *,
    name: NameArgument,
    url: Annotated[str, typer.Option("--url", metavar="URL", help=_URL)],
    account: AccountOptions,
    connection: ConnectionOptions,
    limits: LimitOptions,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a client of this name.")] = False,
) -> Reply:
    """Remember an account on a server.

    The password is never given on the command line: it is read from a variable or a file each time it is needed, or
    asked for now and kept in a file of the home that only you can read.
    """
    from backup_core.config.models import ClientConfig

    given = {**account.changes(), **connection.changes(), **limits.changes()}
    client = ClientConfig(name=name, url=url, **given)
    asked = None
    if client.username and client.password is None and client.token is None:
        asked = ask_password(f"Password of {client.username} at {client.url}", "--password-env or --password-file")
    run.application.add_client(client, password=asked, replace=replace)
    return _told(run, client.name, "added", next_step=f"next: davault client probe {client.name}")


@command(group, "edit")
def edit(
    run: Invocation,
    *,
    name: NameArgument,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help=_URL)] = None,
    account: AccountOptions,
    connection: ConnectionOptions,
    limits: LimitOptions,
    reset: Annotated[
        list[str] | None,
        typer.Option("--reset", metavar="FIELD", help="Put a field (as in --json) back to its default; repeatable."),
    ] = None,
) -> Reply:
    """Change a client: only what is given changes."""
    changes = {**account.changes(), **connection.changes(), **limits.changes()}
    if url is not None:
        changes["url"] = url
    resets = [field.removesuffix("_source") for field in reset or ()]
    if both := sorted(set(resets) & set(changes)):
        raise UsageError(f"a field is either set or reset, not both: {', '.join(both)}")
    if not changes and not resets:
        raise UsageError("nothing to change was given")
    client = run.application.edit_client(name, changes, reset=resets)
    return _told(run, client.name, "changed")


@command(group, "list")
def list_(run: Invocation) -> Reply:
    """List the clients."""
    clients = run.application.list_clients()

    def show(out: Console) -> None:
        rows = [(c.name, c.url, c.username or "-", c.service_type, _source(c) or "-") for c in clients]
        out.print(table(("NAME", "URL", "USER", "TYPE", "PASSWORD FROM"), rows))

    return Reply({"clients": [client_document(c) for c in clients]}, show)


@command(group, "show")
def show_(run: Invocation, *, name: NameArgument) -> Reply:
    """Show everything about a client, and how much its account has used up."""
    client = run.application.get_client(name)
    state = run.application.accounts.state(client)
    last = run.application.accounts.last_probe(client)
    document = {
        "client": client_document(client),
        "account": account_document(state),
        "measured": None if last is None else measurement_document(last),
    }

    def show(out: Console) -> None:
        rows = [*client_facts(client), *account_facts(state)]
        if last is not None:
            rows.append(("measured", f"score {last.score} of 100 on {units.moment(last.measured_at)}"))
        out.print(facts(rows))

    return Reply(document, show)


@command(group, "remove")
def remove(run: Invocation, *, name: NameArgument) -> Reply:
    """Forget a client and its remembered password. Nothing changes on its server."""
    run.application.remove_client(name)
    return Reply({"removed": name}, lambda out: out.print(f"client {units.printable(name)} removed"))


@command(group, "probe")
def probe(
    run: Invocation,
    *,
    name: NameArgument,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see whether the server is there and lets us in; write nothing.")
    ] = False,
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="The largest object to store; it measures the speed.")
    ] = "8M",
    entries: Annotated[
        int, typer.Option("--entries", metavar="N", min=1, help="Objects to list: 1000 shows whether listings are cut.")
    ] = 10,
) -> Reply:
    """Measure a client's server: whether it keeps what backups rest upon.

    It is tried out with a few objects in a folder of its own, which is removed again. What was found is remembered, and
    later backups act on it: a server that stores objects whole or not at all need not be asked for their sizes.
    """
    from backup_core.cli import documents

    result = run.application.probe_client(name)
    measured = None
    if result.reachable and not quick and run.application.accounts.has_account(run.application.get_client(name)):
        with run.long_work() as progress:
            measured = run.application.measure_client(
                name, size=size, entries=entries, cancel=run.cancel, say=lambda text: progress(Progress(message=text))
            )
    code = ExitCode.OK if result.reachable else ExitCode.STORAGE
    document = {**documents.probe(result), "measured": None if measured is None else measurement_document(measured)}

    def show(out: Console) -> None:
        _show_probe(out, result)
        if measured is not None:
            out.print(measurement_table(measured))
            out.print(f"score {measured.score} of 100, by {measured.numbers['requests']} requests")

    return Reply(document, show, code)


def _show_probe(out: Console, result: ProbeResult) -> None:
    room = "not told" if result.available is None else units.size(result.available)
    rows = [
        ("client", result.client),
        ("location", result.location),
        ("reachable", f"yes, in {units.duration(result.seconds)}" if result.reachable else "no"),
        ("room left", room),
        *((name, found) for name, found in result.checks.items()),
    ]
    if result.error:
        rows.append(("error", result.error))
    out.print(facts(rows))


def _told(run: Invocation, name: str, what: str, *, next_step: str = "") -> Reply:
    """The answer of ``add`` and ``edit``."""
    client = run.application.get_client(name)
    notes = [note for source in client.secrets().values() if isinstance(source, str) for note in reference_note(source)]

    def show(out: Console) -> None:
        out.print(f"client {units.printable(client.name)} {what}" + (f"; {next_step}" if next_step else ""))
        show_lines(out, "note", notes)

    return Reply({"client": client_document(client), "notes": notes}, show)


def _source(client: ClientConfig) -> str | None:
    stored = client.record()["token" if client.password is None else "password"]
    return None if stored is None else str(stored)
