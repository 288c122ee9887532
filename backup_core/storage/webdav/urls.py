"""Addresses on a WebDAV server: from names to percent-encoded paths, and back from what servers write as ``href``.

Paths are held as tuples of decoded segments, so that encoding, trailing slashes and doubled slashes never matter when
two are compared.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import quote, unquote, urlsplit

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError

Segments = tuple[str, ...]

_SCHEMES = {
    "http": "http",
    "https": "https",
    "dav": "http",
    "webdav": "http",
    "davs": "https",
    "webdavs": "https",
}
_ABSOLUTE_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on a server: the root of a backend."""

    scheme: str
    host: str
    port: int
    segments: Segments

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def is_loopback(self) -> bool:
        """True when requests do not leave this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def below(self, name: str) -> Segments:
        """The segments of the object or directory ``name`` ("" is this folder itself)."""
        return self.segments + tuple(name.split("/")) if name else self.segments

    def __str__(self) -> str:
        return self.origin + encode(self.segments, directory=True)


def parse_place(url: str) -> Place:
    """The folder that ``url`` names; ``ConfigError`` says what is wrong with it."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
    except ValueError as error:
        raise ConfigError(f"not a usable address: {error}") from error
    scheme = _SCHEMES.get(parts.scheme.lower(), "")
    problems = []
    if not scheme:
        problems.append(f"it must begin with one of {', '.join(f'{s}://' for s in _SCHEMES)}")
    if not host:
        problems.append("it names no server")
    if parts.username is not None or parts.password is not None:
        problems.append("user name and password do not belong into the address; give them on their own")
    if parts.query or parts.fragment:
        problems.append("it has a '?' or '#'; write %3F or %23 if they belong to the folder's name")
    segments = split(parts.path)
    if any(segment in (".", "..") for segment in segments):
        problems.append("it contains '.' or '..' as a folder")
    if problems:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise ConfigError(f"the WebDAV address {shown!r} cannot be used", problems=problems)
    return Place(scheme, host, port or _DEFAULT_PORTS[scheme], segments)


def encode(segments: Segments, *, directory: bool = False) -> str:
    """The path as it goes over the wire; directories end in a slash, as most servers want them."""
    path = "/" + "/".join(quote(segment, safe="", errors="surrogateescape") for segment in segments)
    return path + "/" if directory and segments else path


def split(path: str) -> Segments:
    """The decoded segments of a percent-encoded path; empty ones vanish."""
    return tuple(unquote(segment, errors="surrogateescape") for segment in path.split("/") if segment)


def segments_of_href(href: str) -> Segments:
    """What an ``href`` points at, be it an absolute URL, an absolute path or (against the rules) a relative one.

    Scheme and host are ignored: behind a reverse proxy servers often write those of the inner machine.
    """
    path = href.strip()
    if _ABSOLUTE_URL.match(path):
        path = path.partition("://")[2].partition("/")[2]
    return split(path.partition("?")[0].partition("#")[0])


def is_relative(href: str) -> bool:
    """True for an ``href`` that only means something below the folder that was asked."""
    return not href.strip().startswith("/") and not _ABSOLUTE_URL.match(href.strip())


def same(one: Segments, other: Segments) -> bool:
    """Whether two paths are one, seen past the two ways in which Unicode writes accents."""
    return one == other or _normal(one) == _normal(other)


def _normal(segments: Segments) -> Segments:
    return tuple(unicodedata.normalize("NFC", segment) for segment in segments)
