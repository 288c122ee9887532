"""Secrets by reference: where a password or key is to be found, instead of the thing itself.

A reference is text that may be stored and shown:

    env:NAME                the environment variable NAME
    file:PATH               the first line of a file
    keyring:SERVICE/USER    the operating system's keyring (package ``keyring``)
    prefect:BLOCK           a block of a Prefect server (when running under Prefect; see ``flows.blocks``)

Any other text given as a secret is the secret itself. It is held in memory as ``Secret`` and stored nowhere; a stored
record says ``memory:`` in its place. A literal that begins like a reference is written ``literal:...``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from backup_core.errors import ConfigError
from backup_core.types import Secret

IN_MEMORY = "memory:"
"""What a stored record says where a literal was given."""

_LITERAL = "literal:"
_SCHEMES = ("env:", "file:", "keyring:", "prefect:", IN_MEMORY)
_LARGEST_SECRET_FILE = 65536

Resolver = Callable[[str], str]
"""Turns what follows the scheme into the clear text; raises ``ConfigError`` saying why it cannot."""

_registered: dict[str, Resolver] = {}


def register_resolver(scheme: str, resolver: Resolver) -> None:
    """Teach this module a scheme that needs a package which may not be imported here (such as ``prefect``)."""
    _registered[scheme] = resolver


def is_reference(text: str) -> bool:
    """True when ``text`` says where a secret is, False when it is one."""
    return text.startswith(_SCHEMES)


def parse_secret(given: str | Secret) -> str | Secret:
    """What a person gave, as a reference (``str``, may be stored) or a literal (``Secret``, may not)."""
    if isinstance(given, Secret) or is_reference(given):
        return given
    return Secret(given.removeprefix(_LITERAL))


def stored_form(source: str | Secret | None) -> str | None:
    """What a record may say of ``source``: the reference, or that a literal was given."""
    return IN_MEMORY if isinstance(source, Secret) else source


def resolve_secret(source: str | Secret, *, what: str, environment: Mapping[str, str] | None = None) -> Secret:
    """The secret behind ``source``. ``what`` names it for people ("the key of configuration X").

    Raises ``ConfigError`` that names the reference which failed, and why.
    """
    if isinstance(source, Secret):
        return source
    scheme, _, rest = source.partition(":")
    try:
        clear = _resolve(scheme, rest, os.environ if environment is None else environment)
    except ConfigError as error:
        raise ConfigError(f"{what} cannot be had from {source}: {error}") from error
    if not clear:
        raise ConfigError(f"{what} cannot be had from {source}: it is empty")
    return Secret(clear)


def _resolve(scheme: str, rest: str, environment: Mapping[str, str]) -> str:
    if scheme == "env":
        if rest not in environment:
            raise ConfigError(f"the environment variable {rest} is not set")
        return environment[rest]
    if scheme == "file":
        return _from_file(Path(rest).expanduser())
    if scheme == "keyring":
        return _from_keyring(rest)
    if scheme == "memory":
        raise ConfigError(
            "it was given as a literal, which is kept in memory only by the program that gave it; "
            "give it again, or use env:NAME, file:PATH or keyring:SERVICE/USER"
        )
    if scheme in _registered:
        return _registered[scheme](rest)
    raise ConfigError(f"nothing here resolves {scheme}: references; run it through the Prefect flows")


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_SECRET_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(content) > _LARGEST_SECRET_FILE:
        raise ConfigError(f"{path} is larger than 64 KiB and no password file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    return text.splitlines()[0] if text else ""


def _from_keyring(rest: str) -> str:
    service, separator, user = rest.rpartition("/")
    if not separator or not service or not user:
        raise ConfigError("write it as keyring:SERVICE/USER")
    try:
        keyring = importlib.import_module("keyring")
        keyring_errors = importlib.import_module("keyring.errors")
    except ImportError as error:
        raise ConfigError("the package keyring is not installed (pip install 'davault[keyring]')") from error
    try:
        found = keyring.get_password(service, user)
    except keyring_errors.KeyringError as error:
        raise ConfigError(f"the keyring refused: {error}") from error
    if found is None:
        raise ConfigError(f"the keyring knows no password of {user} for {service}")
    return str(found)
