"""``davault key``: which passwords open a repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli import units
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.cli.passwords import secret_reference
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.format.kdf import ScryptParameters
    from backup_core.repository.key_files import KeyInfo
    from backup_core.services.key_care.key_care import KeyChange

group = typer.Typer(name="key", help="Which passwords open a repository.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The configuration's name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewKey:
    new_key_env: Annotated[
        str | None, typer.Option("--new-key-env", metavar="VAR", help="The new key is in this variable.")
    ] = None
    new_key_file: Annotated[
        Path | None, typer.Option("--new-key-file", metavar="F", help="The new key is the first line of this file.")
    ] = None
    scrypt: Annotated[
        str | None,
        typer.Option("--scrypt", metavar="N:R:P", help="What trying a password costs (32768:8:3, about 0.2 seconds)."),
    ] = None

    def reference(self) -> str | None:
        return secret_reference(self.new_key_env, self.new_key_file, "--new-key-env", "--new-key-file")

    def cost(self) -> ScryptParameters | None:
        """Raises ``UsageError`` for what is no cost."""
        from backup_core.errors import FormatError
        from backup_core.format.kdf import SALT_BYTES, ScryptParameters

        if self.scrypt is None:
            return None
        found = re.fullmatch(r"(\d{1,9}):(\d{1,9}):(\d{1,9})", self.scrypt)
        try:
            if found is not None:
                n, r, p = map(int, found.groups())
                return ScryptParameters(n, r, p, bytes(SALT_BYTES))
        except FormatError as error:
            raise UsageError(f"--scrypt {self.scrypt}: {error}") from error
        raise UsageError("--scrypt wants three numbers, such as 65536:8:3")


@command(group, "list")
def list_(run: Invocation, *, name: NameArgument) -> Reply:
    """List the keys of a configuration's repository."""
    infos = run.application.upkeep.keys.list(name)

    def show(out: Console) -> None:
        columns = ("KEY", "IN USE", "MADE", "BY", "COST", "")
        out.print(table(columns, [_row(info) for info in infos]))

    return Reply({"config": name, "keys": [_document(info) for info in infos]}, show)


@command(group, "add")
def add(
    run: Invocation,
    *,
    name: NameArgument,
    new: _NewKey,
    generate: Annotated[
        Path | None, typer.Option("--generate", metavar="F", help="Make a strong key in this new file.")
    ] = None,
) -> Reply:
    """Let another key open the repository, too: for another person, or to keep in a safe."""
    reference = new.reference()
    if (reference is None) == (generate is None):
        raise UsageError("give one of --new-key-env, --new-key-file and --generate")
    cost = new.cost()
    if generate is not None:
        reference = f"file:{run.application.upkeep.keys.generate(generate.expanduser().absolute())}"
    change = run.application.upkeep.keys.add(name, reference or "", cost=cost)
    return _changed(name, "added", change)


@command(group, "remove")
def remove(
    run: Invocation,
    *,
    name: NameArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, or the beginning of it.")],
) -> Reply:
    """Take a key away: its password opens the repository no more, within an hour on no machine at all.

    The key that the configuration uses stays, so the last one can never be removed.
    """
    return _changed(name, "removed", run.application.upkeep.keys.remove(name, key))


@command(group, "change")
def change(run: Invocation, *, name: NameArgument, new: _NewKey) -> Reply:
    """Replace the key of a configuration, because the old one has leaked or is weak.

    Without an option a strong key is made in the home. All configurations that share the repository and the key follow.
    Whatever interrupts this, the old key or the new one opens; run it again then.
    """
    return _changed(name, "changed", run.application.upkeep.keys.change(name, new.reference(), cost=new.cost()))


@command(group, "rotate")
def rotate(
    run: Invocation,
    *,
    name: NameArgument,
    path: Annotated[str, typer.Option("--path", metavar="P", help="Folder for the new repository.")],
    client: Annotated[
        str | None, typer.Option("--client", metavar="C", help="Client to store it at (default: the same).")
    ] = None,
    new: _NewKey,
) -> Reply:
    """Put a repository with another master key in place of a configuration's, because the old one may be known.

    Everything is copied first; then all configurations that share the repository use the new one. Interrupted, run the
    same command again. The old repository stays until you delete it. Without an option a key is made in the home.
    """
    if new.scrypt is not None:
        raise UsageError("--scrypt does not go with rotate; use davault key change afterwards")
    with run.long_work() as progress:
        done = run.application.upkeep.keys.rotate(
            name, path=path, client=client, reference=new.reference(), cancel=run.cancel, progress=progress
        )
    document = {
        "config": name,
        "location": done.location,
        "old_location": done.old_location,
        "client": done.client,
        "path": done.path,
        "key_source": done.reference,
        "copied": done.copied,
        "already_there": done.already_there,
        "configurations": list(done.configurations),
        "notes": list(done.notes),
    }

    def show(out: Console) -> None:
        rows = [
            ("repository", done.location),
            ("key from", done.reference),
            ("backups copied", f"{units.number(done.copied)}, {units.number(done.already_there)} were there already"),
            ("configurations", ", ".join(done.configurations)),
        ]
        out.print(facts(rows))
        show_lines(out, "note", done.notes)

    return Reply(document, show)


def _changed(name: str, word: str, change: KeyChange) -> Reply:
    document = {
        "config": name,
        word: change.key_id,
        "key_source": change.reference or None,
        "configurations": list(change.configurations),
        "notes": list(change.notes),
    }

    def show(out: Console) -> None:
        rows = [(f"key {word}", change.key_id[:16])]
        if change.reference:
            rows.append(("key from", change.reference))
        if change.configurations:
            rows.append(("configurations", ", ".join(change.configurations)))
        out.print(facts(rows))
        show_lines(out, "note", change.notes)

    return Reply(document, show)


def _document(info: KeyInfo) -> dict[str, object]:
    p = info.parameters
    return {
        "id": info.id,
        "current": info.current,
        "created": units.timestamp(info.created),
        "username": info.username,
        "hostname": info.hostname,
        "scrypt": None if p is None else {"n": p.n, "r": p.r, "p": p.p},
        "cheap": info.cheap,
        "damage": info.damage,
    }


def _row(info: KeyInfo) -> tuple[str, ...]:
    p = info.parameters
    made = "-" if info.created is None else f"{info.created:%Y-%m-%d %H:%M}"
    remark = f"damaged: {info.damage}" if info.damage else "passwords are cheap to try" if info.cheap else ""
    cost = "-" if p is None else f"{p.n}:{p.r}:{p.p}"
    return (info.id[:16], "yes" if info.current else "no", made, f"{info.username}@{info.hostname}", cost, remark)
