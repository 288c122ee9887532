"""From an HTTP status and a provider's error body to a typed error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from backup_core.deferred import dataclass
from backup_core.errors import (
    AccessDenied,
    AlreadyExists,
    AmbiguousReply,
    LockedByServer,
    NotFound,
    ObjectTooLarge,
    QuotaExceeded,
    RateLimited,
    ServerFailure,
    StorageError,
    Unsupported,
)
from backup_core.storage.webdav.profiles import Profile

SUCCESS = frozenset({200, 201, 204})
MISSING = frozenset({404, 410})
READS = frozenset({"GET", "PROPFIND"})
WRITES = frozenset({"PUT", "MKCOL", "DELETE"})

_LONGEST_RETRY_AFTER = 7 * 24 * 3600.0
_EXCEPTION = re.compile(rb"<(?:[\w.-]+:)?exception[^>]*>\s*([^<]{1,200}?)\s*</")
_MESSAGE = re.compile(rb"<(?:[\w.-]+:)?message[^>]*>\s*([^<]{1,500}?)\s*</")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the server, read to its end (error bodies and listings only)."""

    method: str
    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes = b""

    @property
    def is_web_page(self) -> bool:
        """True for HTML: on a WebDAV address that is a login page, a captive portal, or a wrong address.

        The type alone says nothing: PHP labels even answers without a body so.
        """
        return "html" in self.headers.get("content-type", "").lower() and self.body.lstrip().startswith(b"<")

    @property
    def exception(self) -> str:
        """The provider's own word for what went wrong (last part of a dotted class name), "" when there is none."""
        return re.split(r"[\\.]", _found(_EXCEPTION, self.body))[-1]

    @property
    def message(self) -> str:
        """The provider's own sentence."""
        return _found(_MESSAGE, self.body)


class _Meaning(NamedTuple):
    kind: type[StorageError]
    advice: str


_EXCEPTIONS = {
    "TrafficRateExhausted": _Meaning(
        QuotaExceeded, "This month's traffic of the account is used up: wait for the next month or upgrade the plan."
    ),
    "StorageQuotaExhausted": _Meaning(QuotaExceeded, "The account's space is used up: free some, or upgrade the plan."),
    "StorageSpaceExhausted": _Meaning(QuotaExceeded, "The account's space is used up: free some, or upgrade the plan."),
    "InsufficientStorage": _Meaning(QuotaExceeded, "The account's space is used up: free some."),
    "TooBigEntity": _Meaning(ObjectTooLarge, "Choose a smaller pack size."),
    "EntityTooLarge": _Meaning(ObjectTooLarge, "Choose a smaller pack size."),
    "AccountExpired": _Meaning(AccessDenied, "The account has expired: renew it with the provider."),
    "UnAuthorized": _Meaning(AccessDenied, "The application password is wrong or was revoked."),
    "SandboxAccessDenied": _Meaning(AccessDenied, "The application password does not open this folder."),
    "OperationNotAllowed": _Meaning(AccessDenied, "The server forbids this here: choose a folder below the top one."),
    "AncestorsNotFound": _Meaning(NotFound, "The folder that should hold it does not exist."),
    "ObjectNotFound": _Meaning(NotFound, ""),
    "DuplicateName": _Meaning(AlreadyExists, ""),
}
_STATUSES = {
    400: _Meaning(Unsupported, "The server does not understand the request: check the address."),
    401: _Meaning(AccessDenied, ""),
    402: _Meaning(QuotaExceeded, "The provider wants to be paid first."),
    403: _Meaning(AccessDenied, "The account may not do this here: check its rights, space and traffic."),
    404: _Meaning(NotFound, ""),
    405: _Meaning(Unsupported, "This address is no WebDAV folder, or it is read-only."),
    407: _Meaning(AccessDenied, "The proxy wants another user name or password."),
    408: _Meaning(ServerFailure, "The server waited too long for data."),
    409: _Meaning(StorageError, "The server sees a conflict: the folder may be missing."),
    410: _Meaning(NotFound, ""),
    411: _Meaning(Unsupported, "A proxy on the way takes the length off requests."),
    412: _Meaning(AlreadyExists, ""),
    413: _Meaning(ObjectTooLarge, "Choose a smaller pack size, or raise the server's limit for uploads."),
    423: _Meaning(LockedByServer, "The server still holds a lock on it."),
    425: _Meaning(ServerFailure, ""),
    429: _Meaning(RateLimited, ""),
    500: _Meaning(ServerFailure, ""),
    501: _Meaning(Unsupported, "This server does not know the verb."),
    502: _Meaning(ServerFailure, "A gateway could not reach the server behind it."),
    503: _Meaning(ServerFailure, "The server is out of order for the moment."),
    504: _Meaning(ServerFailure, "A gateway waited in vain for the server behind it."),
    505: _Meaning(Unsupported, ""),
    507: _Meaning(QuotaExceeded, "The server's space, or the account's part of it, is used up: free some."),
    509: _Meaning(RateLimited, "The provider limits the traffic."),
}


def error_from(reply: Reply, *, name: str, profile: Profile, now: datetime) -> StorageError:
    """The error that ``reply`` means for the object or directory ``name``."""
    if 300 <= reply.status < 400:
        target = reply.headers.get("location", "nowhere")
        return Unsupported(_text(reply, name, f"It sends to {target}; if that is right, use that address."), key=name)
    if reply.is_web_page and 200 <= reply.status < 300:
        return web_page(reply.method, name)
    kind, advice = _meaning(reply, profile)
    if kind is RateLimited:
        advice = advice or "Too many requests: the server asks to wait."
        return RateLimited(_text(reply, name, advice), key=name, until=retry_after(reply.headers, now))
    if reply.status == 401 or (kind is AccessDenied and reply.exception == "UnAuthorized"):
        advice = profile.advice_on_login
    if reply.method in READS and means_missing(reply):
        kind = NotFound
    if reply.status in (500, 502, 504) and reply.method in WRITES:
        return AmbiguousReply(_text(reply, name, advice), key=name)
    return kind(_text(reply, name, advice), key=name)


def web_page(method: str, name: str) -> StorageError:
    """The error for a web page where there should be none."""
    return Unsupported(
        f"{method} {name or '/'}: the server answers with a web page. Either the address is no WebDAV folder, "
        "or a login page of the network or the provider stands in between",
        key=name,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """When the server wants to be asked again (RFC 9110, 10.2.3: seconds or a date), None when it does not say.

    A date is read against the server's own ``Date``, so that a wrong clock on either side does no harm.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return now + timedelta(seconds=min(float(text[:9]), _LONGEST_RETRY_AFTER))
    moment = moment_of(text)
    if moment is None:
        return None
    seconds = (moment - (moment_of(headers.get("date", "")) or now)).total_seconds()
    return now + timedelta(seconds=min(max(seconds, 0.0), _LONGEST_RETRY_AFTER))


def means_missing(reply: Reply) -> bool:
    """True when the server says that the object, or a folder above it, does not exist."""
    return reply.status in MISSING or (reply.status == 409 and reply.exception != "DuplicateName")


def _meaning(reply: Reply, profile: Profile) -> _Meaning:
    if reply.exception == "BlockedTemporarily":
        return _Meaning(RateLimited, "The account has used up its requests for now.")
    if reply.status == 503 and ("retry-after" in reply.headers or profile.limits_with_503):
        return _Meaning(RateLimited, "")
    if reply.status < 500 and reply.exception in _EXCEPTIONS:
        return _EXCEPTIONS[reply.exception]
    if reply.status in _STATUSES:
        return _STATUSES[reply.status]
    return _Meaning(ServerFailure, "") if reply.status >= 500 else _Meaning(Unsupported, "That makes no sense here.")


def _text(reply: Reply, name: str, advice: str) -> str:
    said = ", ".join(filter(None, (reply.exception, reply.message if reply.message != reply.exception else "")))
    text = f"{reply.method} {name or '/'}: the server says {reply.status}{f' ({said})' if said else ''}"
    return f"{text}. {advice}".rstrip() if advice else text


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    hit = pattern.search(body)
    if hit is None:
        return ""
    text = hit.group(1).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def moment_of(text: str) -> datetime | None:
    """The moment that a header or property names (RFC 9110, 5.6.7), None when it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
