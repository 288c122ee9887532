"""The secrets that this installation knows, kept from the commands it runs and out of what is shown of their output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from backup_core.config.secrets import resolve_secret
from backup_core.config.stored import SECRETS
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.services.keys import KEY_VARIABLE
from backup_core.types import Secret

if TYPE_CHECKING:
    from backup_core.services.backup_service import BackupService

_VARIABLE = "env:"
_HIDDEN = "**********"
_SHORTEST = 4
"""Characters of a secret below which it would be found in any text."""


@dataclass(frozen=True)
class KnownSecrets:
    """Secrets, and the environment's variables in which some of them are."""

    variables: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()

    def environment(self) -> dict[str, str]:
        """This process' environment without those variables."""
        return {name: value for name, value in os.environ.items() if name not in self.variables}

    def without(self, text: str) -> str:
        """A text as it may be shown and logged."""
        for secret in self.secrets:
            clear = secret.reveal()
            if len(clear) >= _SHORTEST:
                text = text.replace(clear, _HIDDEN)
        return text


def known_secrets(service: BackupService, *more: Secret, clients: Sequence[str] = ()) -> KnownSecrets:
    """Those that the environment holds for any configuration or client, those of ``clients`` wherever they are kept,
    and ``more``."""
    fields = {
        client.name: [getattr(client, field) for field in SECRETS] for client in service.webdav_service.all_stored()
    }
    keys = [one.encrypt_key for one in service.configurations.all_stored()]
    references = [source for source in (*keys, *chain.from_iterable(fields.values())) if isinstance(source, str)]
    variables = {KEY_VARIABLE, *(text.removeprefix(_VARIABLE) for text in references if text.startswith(_VARIABLE))}
    secrets = [*more, *(Secret(os.environ[name]) for name in variables if name in os.environ)]
    for source in chain.from_iterable(fields.get(client, ()) for client in clients):
        with suppress(ConfigError):  # one that cannot be had cannot be shown either
            secrets += [] if source is None else [resolve_secret(source, what="a secret of the client")]
    return KnownSecrets(frozenset(variables), tuple(secret for secret in dict.fromkeys(secrets) if secret))
