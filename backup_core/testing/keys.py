"""Deriving each key once in a test run: stretching passwords takes a fifth of a second every time, on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from backup_core.format import kdf, key_file
from backup_core.format.cipher import MasterKey
from backup_core.format.kdf import ScryptParameters, derive
from backup_core.types import Secret

_KNOWN: dict[tuple[str, ScryptParameters], MasterKey] = {}
"""For the whole process: what is stretched for a repository that many tests share serves them all."""


@contextmanager
def keys_derived_once() -> Iterator[None]:
    """Within this, the same password with the same parameters is stretched only the first time, and none ahead."""

    def derive_once(password: Secret, parameters: ScryptParameters) -> MasterKey:
        wanted = (password.reveal(), parameters)
        if wanted not in _KNOWN:
            _KNOWN[wanted] = derive(password, parameters)
        return _KNOWN[wanted]

    with mock.patch.object(key_file, "derive", derive_once), mock.patch.object(kdf, "begin"):
        yield
