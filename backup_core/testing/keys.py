"""Deriving each key once in a test run: stretching passwords takes a fifth of a second every time, on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from backup_core.format import key_file
from backup_core.format.cipher import MasterKey
from backup_core.format.kdf import ScryptParameters, derive
from backup_core.types import Secret


@contextmanager
def keys_derived_once() -> Iterator[None]:
    """Within this, the same password with the same parameters is stretched only the first time."""
    known: dict[tuple[str, ScryptParameters], MasterKey] = {}

    def derive_once(password: Secret, parameters: ScryptParameters) -> MasterKey:
        wanted = (password.reveal(), parameters)
        if wanted not in known:
            known[wanted] = derive(password, parameters)
        return known[wanted]

    with mock.patch.object(key_file, "derive", derive_once):
        yield
