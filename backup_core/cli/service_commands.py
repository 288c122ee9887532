"""``davault service``: the control room as a service of systemd."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backup_core.cli.exits import ExitCode
from backup_core.cli.frame import PROGRAM, Invocation, command
from backup_core.cli.output import Reply, facts
from backup_core.cli.serve_command import ServeOptions
from backup_core.cli.units import printable
from backup_core.services.service_manager.unit import Scope, Unit

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.config.home import Home
    from backup_core.services.service_manager.installer import Plan

_VARIABLES = "service.env"
"""In the home."""
group = typer.Typer(name="service", help="Run the control room as a service of systemd.", no_args_is_help=True)

_Scope = Annotated[
    Scope | None,
    typer.Option("--scope", help="For the whole machine or for you alone (default: system when you are root)."),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the unit and the commands.")]


@command(group, "install")
def install(
    run: Invocation,
    options: ServeOptions,
    *,
    scope: _Scope = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it now, too.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a unit of another home or program.")] = False,
    dry_run: _DryRun = False,
) -> Reply:
    """Have davault serve started with the machine (or your login), and again whenever it breaks.

    Passwords that configurations refer to as env:NAME belong into the file service.env of the home, as NAME=VALUE.
    """
    from backup_core.services.service_manager.installer import ServiceInstaller

    home = _home(run)
    chosen = _scope(scope)
    words = (str(Path(sys.executable).with_name(PROGRAM)), "serve", *options.words())
    unit = Unit(chosen, words, home.root, home.root / _VARIABLES, options.patience)
    installer = ServiceInstaller(chosen)
    plan = installer.plan_install(unit, start=start, replace=replace)
    if not dry_run:
        home.create()
        installer.carry_out(plan)
    return _reply(plan, chosen, home, dry_run=dry_run)


@command(group, "uninstall")
def uninstall(run: Invocation, *, scope: _Scope = None, dry_run: _DryRun = False) -> Reply:
    """Stop the service, after its runs have ended or were cancelled, and remove the unit; backups and home stay."""
    from backup_core.services.service_manager.installer import ServiceInstaller

    chosen = _scope(scope)
    installer = ServiceInstaller(chosen)
    plan = installer.plan_uninstall()
    if not dry_run:
        installer.carry_out(plan)
    return _reply(plan, chosen, _home(run), dry_run=dry_run)


@command(group, "status")
def status(run: Invocation, *, scope: _Scope = None) -> Reply:
    """Show whether the service is installed and running, and whether its pages answer; exit code 3 when they do not."""
    from backup_core.services.service_manager.installer import ServiceInstaller
    from backup_core.services.service_manager.pages import find_pages

    found = ServiceInstaller(_scope(scope)).state()
    home = _home(run)
    pages = find_pages(home)
    document: dict[str, object] = {
        "unit": str(found.path),
        "installed": found.installed,
        "enabled": found.enabled or None,
        "active": found.active or None,
        "home": str(home.root),
        "url": pages.url or None,
        "answers": pages.answers,
    }
    lines = [
        ("unit", f"{found.path}{'' if found.installed else ' (not installed)'}"),
        ("with the machine", found.enabled or "systemd does not say"),
        ("state", found.active or "systemd does not say"),
        ("pages", f"{pages.url or 'none are served'}{'' if pages.answers else ' (no answer)'}"),
    ]
    code = ExitCode.OK if pages.answers else ExitCode.PROBLEMS
    return Reply(document, lambda out: out.print(facts(lines), soft_wrap=True), code)


def _scope(given: Scope | None) -> Scope:
    return given or (Scope.SYSTEM if os.geteuid() == 0 else Scope.USER)


def _home(run: Invocation) -> Home:
    from backup_core.config.home import Home

    return Home.from_environment() if run.settings.home is None else Home.at(run.settings.home)


def _reply(plan: Plan, scope: Scope, home: Home, *, dry_run: bool) -> Reply:
    commands = [" ".join(words) for words in (*plan.before, *plan.after)]
    document: dict[str, object] = {
        "unit": str(plan.path),
        "text": plan.text,
        "commands": commands,
        "scope": scope.value,
        "home": str(home.root),
        "dry_run": dry_run,
    }

    def show(out: Console) -> None:
        if dry_run:
            done = "would be removed" if plan.text is None else "would be written"
            out.print(f"{plan.path} {done}:" if plan.text else f"{plan.path} {done}", soft_wrap=True)
            for line in [*(plan.text or "").splitlines(), *(f"then: {words}" for words in commands)]:
                out.print(printable(line), soft_wrap=True)
            return
        out.print(f"{plan.path} {'removed' if plan.text is None else 'written'}", soft_wrap=True)
        if plan.text is not None and scope is Scope.USER:
            out.print("so that it runs while you are not logged in: loginctl enable-linger")

    return Reply(document, show)
