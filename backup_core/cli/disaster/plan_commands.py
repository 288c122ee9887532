"""``davault dr create|edit|list|show|remove|import|export``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backup_core.cli import units
from backup_core.cli.disaster.group import PlanArgument, group, manager
from backup_core.cli.frame import Invocation, UsageError, command
from backup_core.cli.output import Reply, facts, show_lines, table
from backup_core.deferred import dataclass

if TYPE_CHECKING:
    from rich.console import Console

    from backup_core.config.recovery_plans import RecoveryPlan
    from backup_core.services.disaster.plans import KeptPlan

_NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """What can be said of a plan as a whole."""

    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None
    target: Annotated[str | None, typer.Option("--target", metavar="DIR", help="Directory to recover into.")] = None
    on_failure: Annotated[
        str | None,
        typer.Option("--on-failure", metavar="stop|continue", help="What a failed step does to the others."),
    ] = None
    parallel: Annotated[int | None, typer.Option("--parallel", metavar="N", help="Steps at the same time.")] = None
    rto: Annotated[
        str | None, typer.Option("--rto", metavar="TIME", help="Time in which all must be back: 4h; none: no limit.")
    ] = None
    rpo: Annotated[
        str | None, typer.Option("--rpo", metavar="TIME", help="Age a backup may have: 1d; none: no limit.")
    ] = None
    email: Annotated[
        str | None, typer.Option("--email", metavar="ADDRESS", help="Whom to tell; with commas between them.")
    ] = None
    notify: Annotated[
        list[str] | None,
        typer.Option("--notify", metavar="REFERENCE", help="env:NAME or file:PATH of an Apprise URL; repeatable."),
    ] = None
    verify: Annotated[
        bool | None, typer.Option("--verify/--no-verify", help="Read everything back from disk (default: yes).")
    ] = None
    scratch: Annotated[
        str | None, typer.Option("--drill-scratch", metavar="DIR", help="Where drills make their directory.")
    ] = None

    def changes(self) -> dict[str, Any]:
        """The fields that were given, by their names in the plan."""
        given: dict[str, Any] = {
            "description": self.description,
            "target_base_path": self.target,
            "on_failure": self.on_failure,
            "parallel": self.parallel,
            "rto": self.rto,
            "rpo": self.rpo,
            "notification_email": self.email,
            "notify": self.notify,
            "auto_verify": self.verify,
            "drill_scratch": self.scratch,
        }
        kept = {key: value for key, value in given.items() if value is not None}
        return {key: None if value == _NONE else value for key, value in kept.items()}


Steps = Annotated[
    list[str] | None,
    typer.Option("--step", metavar="CONFIG", help="A configuration, as NAME=CONFIG to name the step; repeatable."),
]
After = Annotated[
    list[str] | None, typer.Option("--after", metavar="STEP=STEP", help="The first waits for the second; repeatable.")
]


@command(group, "create")
def create(
    run: Invocation,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plan's name.")],
    step: Steps = None,
    after: After = None,
    given: _Fields,
) -> Reply:
    """Make a plan.

    Its steps are done one after the other in the order given; with --after or --parallel, steps that do not wait for
    each other run side by side. Commands, checks and patterns are written in a TOML file: davault dr export shows the
    plan as one, davault dr import reads it back.
    """
    from backup_core.config.recovery_plans import RecoveryPlan

    if not step or given.target is None:
        raise UsageError("a plan needs --target DIR and at least one --step CONFIG")
    steps = [_step(text) for text in step]
    _add_dependencies(steps, after or [])
    parallel = {} if after else {"parallel": 1}
    plan = RecoveryPlan.model_validate({"name": name, **parallel, "steps": steps, **given.changes()})
    return _told(run, manager(run).plans.add(plan), "created")


@command(group, "edit")
def edit(
    run: Invocation,
    *,
    plan: PlanArgument,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    step: Steps = None,
    remove_step: Annotated[
        list[str] | None, typer.Option("--remove-step", metavar="STEP", help="Take this step out; repeatable.")
    ] = None,
    after: After = None,
    given: _Fields,
) -> Reply:
    """Change a plan: only what is given changes. --step adds steps, --after adds dependencies."""
    from backup_core.config.recovery_plans import RecoveryPlan

    kept = manager(run).plans.find(plan)
    record = kept.plan.record()
    gone = set(remove_step or ())
    if strangers := gone - {s["name"] for s in record["steps"]}:
        raise UsageError(f"--remove-step: the plan has no step {min(strangers)!r}")
    steps = [s for s in record["steps"] if s["name"] not in gone] + [_step(text) for text in step or ()]
    for one in steps:
        one["depends_on"] = [other for other in one.get("depends_on", []) if other not in gone]
    _add_dependencies(steps, after or [])
    changes = given.changes() | ({"name": name} if name is not None else {})
    if not changes and not gone and not step and not after:
        raise UsageError("nothing to change was given")
    changed = RecoveryPlan.model_validate({**record, **changes, "steps": steps})
    return _told(run, manager(run).plans.replace(kept.plan_id, changed), "changed")


@command(group, "list")
def list_(run: Invocation) -> Reply:
    """List the plans."""
    plans = manager(run).listed()

    def show(out: Console) -> None:
        rows = [
            (
                p.name,
                p.plan_id,
                " → ".join(p.steps),
                _limit(p.rto),
                _limit(p.rpo),
                units.moment(p.last_tested_at),
                units.moment(p.last_drilled_at),
            )
            for p in plans
        ]
        out.print(table(("NAME", "ID", "STEPS", "RTO", "RPO", "TESTED", "DRILLED"), rows))

    from backup_core.services.disaster.reports import document

    return Reply({"plans": [document(p) for p in plans]}, show)


@command(group, "show")
def show_(run: Invocation, *, plan: PlanArgument) -> Reply:
    """Show everything about a plan."""
    kept = manager(run).plans.find(plan)
    return Reply(_document(kept), lambda out: _show(out, kept))


@command(group, "remove")
def remove(run: Invocation, *, plan: PlanArgument) -> Reply:
    """Forget a plan. What is known of its drills and executions stays, and so does everything it restored."""
    kept = manager(run).plans.remove(plan)
    return Reply({"removed": kept.plan_id}, lambda out: out.print(f"plan {units.printable(kept.plan.name)} removed"))


@command(group, "import")
def import_(
    run: Invocation,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A file as davault dr export writes it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace plans of the same names.")] = False,
) -> Reply:
    """Add the plans of a TOML file: all of them, or none when anything in it is wrong."""
    plans = manager(run).plans.load(file, replace=replace)
    names = [kept.plan.name for kept in plans]
    notes = [note for kept in plans for note in manager(run).bring_to_servers(kept.plan_id)]

    def show(out: Console) -> None:
        out.print(f"{len(names)} plans imported: {units.printable(', '.join(names))}", soft_wrap=True)
        show_lines(out, "note", notes)

    return Reply({"imported": names, "notes": notes}, show)


@command(group, "export")
def export(
    run: Invocation,
    *,
    plans: Annotated[
        list[str] | None, typer.Argument(metavar="[PLAN]...", help="Only these plans (default: all).")
    ] = None,
) -> Reply:
    """Print plans as TOML, with everything that can be said of them; references to secrets are included, secrets
    never."""
    text = manager(run).plans.dump(plans or ())
    return Reply({"toml": text}, lambda out: out.print(text, soft_wrap=True, end=""))


def _step(text: str) -> dict[str, Any]:
    name, named, configuration = text.partition("=")
    return {"name": name, "configuration": configuration if named else name}


def _add_dependencies(steps: list[dict[str, Any]], after: list[str]) -> None:
    by_name = {step["name"]: step for step in steps}
    for text in after:
        name, named, others = text.partition("=")
        if not named or name not in by_name:
            raise UsageError(f"--after {text!r}: write STEP=STEP with the names of two steps")
        waits_for = [*by_name[name].get("depends_on", []), *others.split(",")]
        by_name[name]["depends_on"] = list(dict.fromkeys(waits_for))


def _told(run: Invocation, kept: KeptPlan, what: str) -> Reply:
    notes = manager(run).bring_to_servers(kept.plan_id)

    def show(out: Console) -> None:
        name = units.printable(kept.plan.name)
        out.print(f"plan {name} {what} ({kept.plan_id})")
        show_lines(out, "note", notes)
        out.print(f"next: davault dr test {name}")

    return Reply({**_document(kept), "notes": notes}, show)


def _document(kept: KeptPlan) -> dict[str, object]:
    return {"plan_id": kept.plan_id, "created_at": units.timestamp(kept.created_at), "plan": kept.plan.record()}


def _limit(seconds: float | None) -> str:
    from backup_core.config.durations import duration_text

    return "-" if seconds is None else duration_text(seconds)


def _show(out: Console, kept: KeptPlan) -> None:
    plan = kept.plan
    rows = [
        ("plan", plan.name),
        ("id", kept.plan_id),
        *([("for", plan.description)] if plan.description else []),
        ("into", plan.target_base_path),
        ("recovery time", f"at most {_limit(plan.rto)}" if plan.rto is not None else "no objective"),
        ("age of backups", f"at most {_limit(plan.rpo)}" if plan.rpo is not None else "no objective"),
        ("on failure", plan.on_failure),
        ("at a time", f"{plan.parallel} steps"),
        ("read back", "yes" if plan.auto_verify else "no"),
        ("told", ", ".join([*plan.addresses, *plan.notify]) or "nobody"),
    ]
    out.print(facts(rows))
    out.print()
    out.print(table(("STEP", "CONFIGURATION", "AFTER", "TARGET", "FILES", "COMMANDS", "CHECKS"), _step_rows(plan)))
    for step in plan.steps:
        for when, commands in (("before", step.before), ("after", step.after)):
            lines = [command.command for command in commands]
            show_lines(out, f"{step.name} {when}", [x if isinstance(x, str) else shlex.join(x) for x in lines])


def _step_rows(plan: RecoveryPlan) -> list[tuple[str, ...]]:
    return [
        (
            step.name,
            step.configuration,
            ", ".join(step.depends_on) or "-",
            str(step.place(plan.base)),
            ", ".join(step.patterns) or "all",
            str(len(step.before) + len(step.after)),
            ", ".join(check.kind for check in step.checks) or "-",
        )
        for step in plan.steps
    ]
