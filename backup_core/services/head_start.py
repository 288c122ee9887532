"""Deriving the key of a repository while the packages that will ask for it are still loading.

Stretching a password takes a quarter of a second to half of one, on purpose, and leaves the interpreter alone, which
meanwhile loads the packages of the catalogue and the network. What is guessed here - which key file, which password -
is only computed ahead: both are found and checked as ever when the repository is opened, and a wrong guess is left
unused.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backup_core.catalogue.glance import configuration_at
from backup_core.config.catalogue_place import shared_catalogue_named
from backup_core.config.home import Home
from backup_core.config.secrets import resolve_secret
from backup_core.errors import BackupError
from backup_core.format import kdf
from backup_core.format.key_file import KeyFile
from backup_core.repository.cache import KeyHints
from backup_core.services.keys import NO_KEY, sources_of
from backup_core.services.places_seen import SEEN, place_of, repository_seen
from backup_core.types import Secret

_LOG = logging.getLogger(__name__)
_AT_ONCE = ("env:", "file:")
"""References that are read in no time; a keyring may ask a person, and Prefect must be loaded first."""


def begin_key(home: Path | None, config_name: str) -> None:
    """Begin to derive the key that opens this configuration's repository, if all that takes is at hand."""
    if shared_catalogue_named():
        return
    place = Home.from_environment() if home is None else Home.at(home)
    name = unicodedata.normalize("NFC", config_name)
    known = configuration_at(place.catalogue, name, setting=SEEN + name)
    if known is None:
        return
    record, seen = known
    try:
        repository = repository_seen(seen, place_of(record["target_client_id"], record["target_path"]))
        password = _password(record, place, os.environ)
        if repository is None or password is None:
            return
        for _, data in KeyHints.of_repository(place.cache, repository).load()[:1]:
            kdf.begin(password, KeyFile.decode(data).parameters)
    except (BackupError, KeyError):
        _LOG.debug("the key of %s is not derived ahead", name, exc_info=True)


def _password(record: Mapping[str, Any], home: Home, environment: Mapping[str, str]) -> Secret | None:
    """The first of what ``Keys.candidates`` would try; None when that is not had at once."""
    if not record["encrypt"]:
        return NO_KEY.secret
    source = next(iter(sources_of(record["name"], record["encrypt_key"], home, environment)), None)
    if not isinstance(source, str) or not source.startswith(_AT_ONCE):
        return None
    return resolve_secret(source, what="the key", environment=environment)
