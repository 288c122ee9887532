"""Passwords and keys on the command line: by reference or asked for, never as an argument."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from backup_core.cli.frame import UsageError
from backup_core.types import Secret


def secret_reference(variable: str | None, file: Path | None, variable_option: str, file_option: str) -> str | None:
    """The reference to store for what was given, None when nothing was.

    Raises:
        UsageError: both were given.
    """
    if variable is not None and file is not None:
        raise UsageError(f"{variable_option} and {file_option} exclude each other")
    if variable is not None:
        return f"env:{variable}"
    return None if file is None else f"file:{file.expanduser().absolute()}"


def reference_note(reference: str | None) -> list[str]:
    """A warning when a reference leads nowhere at present; it may still do so where backups will run."""
    from backup_core.config.secrets import resolve_secret
    from backup_core.errors import ConfigError

    if reference is None:
        return []
    try:
        resolve_secret(reference, what="the secret")
    except ConfigError as error:
        return [f"{error}; it is looked up again each time it is needed"]
    return []


def ask_password(question: str, options: str) -> Secret:
    """Ask on the terminal, without showing what is typed.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"there is no terminal to ask for the password on; use {options}")
    return Secret(str(typer.prompt(question, hide_input=True, err=True)))
