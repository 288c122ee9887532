"""Key files: the master key in a box that a password opens. Plain JSON, so that the key derivation can be read."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime

from backup_core.deferred import dataclass
from backup_core.errors import UnsupportedVersion
from backup_core.format.cipher import MasterKey, Sealer
from backup_core.format.go_text import json_text
from backup_core.format.go_time import format_datetime, parse_datetime
from backup_core.format.json_fields import UINT32, base64_of, integer_of, parse_object, text_of
from backup_core.format.kdf import ScryptParameters, derive
from backup_core.types import Buffer, Secret


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One password of a repository. All key files of a repository hold the same master key."""

    created: datetime
    username: str
    hostname: str
    parameters: ScryptParameters
    data: bytes
    """Sealed box around ``MasterKey.to_json()``."""

    @classmethod
    def make(
        cls,
        password: Secret,
        master: MasterKey,
        *,
        created: datetime,
        username: str,
        hostname: str,
        salt: bytes,
        cost: ScryptParameters | None = None,
    ) -> KeyFile:
        """Lock ``master`` up with ``password``. ``salt`` is 64 fresh random bytes, used with ``cost``."""
        parameters = ScryptParameters(salt=salt) if cost is None else replace(cost, salt=salt)
        box = Sealer(derive(password, parameters)).seal(master.to_json())
        return cls(created, username, hostname, parameters, box)

    def unlock(self, password: Secret) -> MasterKey:
        """The master key. Raises ``AuthenticationFailed`` when the password is wrong; takes a good part of a second."""
        return MasterKey.from_json(Sealer(derive(password, self.parameters)).open(self.data))

    def encode(self) -> bytes:
        """The file's bytes."""
        parameters = self.parameters
        return (
            f'{{"created":"{format_datetime(self.created)}",'
            f'"username":{json_text(self.username)},"hostname":{json_text(self.hostname)},'
            f'"kdf":"scrypt","N":{parameters.n},"r":{parameters.r},"p":{parameters.p},'
            f'"salt":"{base64.b64encode(parameters.salt).decode("ascii")}",'
            f'"data":"{base64.b64encode(self.data).decode("ascii")}"}}'
        ).encode()

    @classmethod
    def decode(cls, data: Buffer) -> KeyFile:
        """Read a file's bytes. Raises ``Corrupt``; ``UnsupportedVersion`` for a derivation not known or too costly."""
        record = parse_object(data, "key file")
        kdf = text_of(record, "kdf", "key file", required=True)
        if kdf != "scrypt":
            raise UnsupportedVersion(f'a key file derives its key by "{kdf:.40}"; only scrypt is known')
        n, r, p = (integer_of(record, name, "key file", required=True, limit=UINT32) for name in ("N", "r", "p"))
        return cls(
            created=parse_datetime(text_of(record, "created", "key file", required=True)),
            username=text_of(record, "username", "key file"),
            hostname=text_of(record, "hostname", "key file"),
            parameters=ScryptParameters(n, r, p, base64_of(record, "salt", "key file")),
            data=base64_of(record, "data", "key file"),
        )
