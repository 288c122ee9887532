"""Lock files: who works on the repository, and whether alone. JSON; the keys are restic's."""

from __future__ import annotations

from datetime import datetime, timedelta

from backup_core.deferred import dataclass
from backup_core.format.go_text import json_text
from backup_core.format.go_time import format_datetime, parse_datetime
from backup_core.format.json_fields import UINT32, flag_of, integer_of, parse_object, text_of
from backup_core.types import Buffer

STALE_AFTER = timedelta(minutes=30)
"""A lock that was not renewed for so long is nobody's: the rule of all programs that use such repositories."""

_KIND = "lock"


@dataclass(frozen=True, slots=True)
class LockFile:
    """One holder of a lock."""

    time: datetime
    """When it was written; renewing a lock writes a new one."""
    exclusive: bool
    hostname: str
    username: str
    pid: int
    uid: int = 0
    gid: int = 0

    def encode(self) -> bytes:
        """The JSON."""
        uid = f',"uid":{self.uid}' if self.uid else ""
        gid = f',"gid":{self.gid}' if self.gid else ""
        return (
            f'{{"time":"{format_datetime(self.time)}","exclusive":{"true" if self.exclusive else "false"},'
            f'"hostname":{json_text(self.hostname)},"username":{json_text(self.username)},"pid":{self.pid}{uid}{gid}}}'
        ).encode()

    @classmethod
    def decode(cls, data: Buffer) -> LockFile:
        """Read the JSON. Raises ``Corrupt``."""
        record = parse_object(data, _KIND)
        return cls(
            time=parse_datetime(text_of(record, "time", _KIND, required=True)),
            exclusive=flag_of(record, "exclusive", _KIND),
            hostname=text_of(record, "hostname", _KIND),
            username=text_of(record, "username", _KIND),
            pid=integer_of(record, "pid", _KIND),
            uid=integer_of(record, "uid", _KIND, limit=UINT32),
            gid=integer_of(record, "gid", _KIND, limit=UINT32),
        )
