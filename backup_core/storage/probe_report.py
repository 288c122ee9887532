"""What measuring a server found out, and how good that makes it as a place for backups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from backup_core.deferred import dataclass
from backup_core.progress import CancelToken


class Verdict(StrEnum):
    """How good one thing about a server is for backups."""

    GOOD = "good"
    FAIR = "fair"
    """Works, at the price of more requests or more care."""
    POOR = "poor"
    """Gets in the way."""
    UNKNOWN = "unknown"


_WORTH = {Verdict.GOOD: 1.0, Verdict.FAIR: 0.6, Verdict.POOR: 0.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing about a server."""

    check: str
    """A short stable word: "atomic-put", "ranges", ..."""
    verdict: Verdict
    detail: str
    """What was seen, for people."""
    weight: int = 1
    """How much it matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOptions:
    """How much to spend on measuring."""

    size: int = 8 * 1024 * 1024
    """Bytes of the largest object that is stored; the speed is measured with it."""
    entries: int = 10
    """Objects that are stored in one folder to see whether listings are whole."""
    folder: str = ""
    """Name of the folder to work in; it must not exist or be empty, and is gone afterwards."""


@dataclass(slots=True)
class ProbeReport:
    """All that was measured. Numbers that could not be measured are None."""

    measured: list[Measured] = field(default_factory=list)
    atomic_put: bool | None = None
    """An object under its final name is always whole."""
    max_object_size: int | None = None
    """Bytes; None when none of the objects that were tried was too large."""
    page_size: int | None = None
    """Entries in one page of a listing, where the server was seen to make pages."""
    conditional_put: bool | None = None
    """If-None-Match: * protects what exists."""
    clock_skew: float | None = None
    """Seconds that the server's clock is ahead of ours."""
    latency: float | None = None
    """Seconds from a small question to its answer; the median."""
    upload_rate: float | None = None
    """Bytes a second."""
    download_rate: float | None = None
    used: int | None = None
    """Bytes, as the server counts."""
    available: int | None = None
    requests: int = 0
    """Spent on measuring."""
    left_behind: str = ""
    """What could not be removed afterwards."""

    def add(self, check: str, verdict: Verdict, detail: str, *, weight: int = 1) -> None:
        """Note one finding."""
        self.measured.append(Measured(check, verdict, detail, weight))

    @property
    def score(self) -> int:
        """0 to 100: the weighted share of what is good."""
        known = [m for m in self.measured if m.verdict is not Verdict.UNKNOWN and m.weight]
        whole = sum(m.weight for m in known)
        return round(100 * sum(m.weight * _WORTH[m.verdict] for m in known) / whole) if whole else 0

    def record(self) -> dict[str, Any]:
        """All of it as plain values, to be stored."""
        numbers = {
            name: getattr(self, name)
            for name in (
                "atomic_put",
                "max_object_size",
                "page_size",
                "conditional_put",
                "clock_skew",
                "latency",
                "upload_rate",
                "download_rate",
                "used",
                "available",
                "requests",
                "left_behind",
            )
        }
        findings = [{"check": m.check, "verdict": m.verdict.value, "detail": m.detail} for m in self.measured]
        return {"score": self.score, **numbers, "findings": findings}


@runtime_checkable
class Measurable(Protocol):
    """An ability some backends have besides: finding out what their server does."""

    def measure(
        self,
        options: ProbeOptions,
        *,
        cancel: CancelToken | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> ProbeReport:
        """Try the server out in a folder of its own, and remove that. ``say`` is told what is being tried.

        Raises ``StorageError`` when the server cannot be reached, refuses the login, or wants no more requests.
        """
        ...
