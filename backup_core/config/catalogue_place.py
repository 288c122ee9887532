"""Where a catalogue lies that is not the home's own: on machines that work together, in one database for all."""

from __future__ import annotations

import os
from collections.abc import Mapping

CATALOGUE_VARIABLE = "DAVAULT_CATALOGUE"
"""Environment variable with an SQLAlchemy URL (``postgresql://user@server/davault``), or with a reference to a file
that holds one (``file:PATH``), since a URL may hold a password."""


def shared_catalogue_named(environment: Mapping[str, str] | None = None) -> str:
    """What ``DAVAULT_CATALOGUE`` says, a reference as it stands there; "" when it says nothing."""
    return (os.environ if environment is None else environment).get(CATALOGUE_VARIABLE, "")


def shared_catalogue(environment: Mapping[str, str] | None = None) -> str | None:
    """The URL of the catalogue that ``DAVAULT_CATALOGUE`` names; None when it names none.

    Raises ``ConfigError`` for a file that cannot be read.
    """
    named = shared_catalogue_named(environment)
    if not named.startswith("file:"):
        return named or None
    from backup_core.config.secrets import resolve_secret

    return resolve_secret(named, what=f"the catalogue of {CATALOGUE_VARIABLE}").reveal()
