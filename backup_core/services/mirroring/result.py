"""What mirror runs hand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from backup_core.deferred import dataclass
from backup_core.results import Outcome, Problem


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """What copying to one mirror did, or for a dry run would do. Sizes are stored bytes."""

    config_name: str
    client: str
    path: str
    """Folder below the client's URL."""
    location: str
    """The mirror's full address, "" when it could not be opened."""
    dry_run: bool
    outcome: Outcome
    created: bool = False
    """True when the mirror's repository was made by this run (or would be)."""
    copied: tuple[str, ...] = ()
    """Ids of the backups copied, oldest first."""
    already_there: int = 0
    """Backups that the mirror had before."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Backup id -> why it could not be copied whole."""
    blobs: int = 0
    bytes_read: int = 0
    """Fetched from the first repository."""
    bytes_written: int = 0
    """Sent to the mirror."""
    packs: int = 0
    planned_requests: int = 0
    """Requests to both servers, estimated when it was planned."""
    requests_source: Mapping[str, int] = field(default_factory=dict)
    """Requests to the first server by method."""
    requests_target: Mapping[str, int] = field(default_factory=dict)
    """Requests to the mirror's server by method."""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    error: str = ""
    """Why nothing more could be done with this mirror."""
    transient: bool = False
    """Whether trying again later may help."""

    @property
    def figures(self) -> dict[str, Any]:
        """What the catalogue keeps of a run."""
        return {
            "mirror": f"{self.client}:{self.path}",
            "location": self.location,
            "snapshots_copied": len(self.copied),
            "snapshots_present": self.already_there,
            "snapshots_left_out": len(self.left_out),
            "blobs": self.blobs,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "packs": self.packs,
            "seconds": self.seconds,
            "problems": len(self.problems),
        }

    @property
    def requests(self) -> dict[str, int]:
        """Requests to both servers by method."""
        methods = {*self.requests_source, *self.requests_target}
        return {m: self.requests_source.get(m, 0) + self.requests_target.get(m, 0) for m in sorted(methods)}
