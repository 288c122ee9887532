"""What single values must look like. Each rule returns the normal form or raises ``ValueError`` with a sentence."""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import quote, urlsplit

from backup_core.config.spans import parse_span
from backup_core.config.timetables import parse_timetable
from backup_core.errors import ConfigError
from backup_core.storage.schemes import FSSPEC_SCHEMES
from backup_core.storage.webdav.profiles import profile_named

_LONGEST_NAME = 200
_LONGEST_FILE_NAME = 255
_SCHEMES = ("http", "https", "dav", "davs", "webdav", "webdavs", "file", "memory", *sorted(FSSPEC_SCHEMES))
_CLEAR_TEXT = ("http", "dav", "webdav")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_TIME = re.compile(r"(\d{1,2}):(\d{2})")


def _plain_text(text: str) -> None:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise ValueError("control characters are not allowed")


def name(text: str) -> str:
    """A name of a client or configuration, in Unicode's composed form (so that it is one name on every keyboard)."""
    _plain_text(text)
    text = unicodedata.normalize("NFC", text)
    if not text.strip():
        raise ValueError("a name is needed")
    if text != text.strip():
        raise ValueError("a name may not begin or end with a space")
    if "/" in text or text in (".", ".."):
        raise ValueError('a name may not hold "/" nor be "." or ".."')
    if len(text.encode()) > _LONGEST_NAME:
        raise ValueError(f"a name may be at most {_LONGEST_NAME} bytes long in UTF-8")
    return text


def host(text: str) -> str:
    """A machine's label, a name in lower case (machines' names are); "" is no machine in particular."""
    return name(text).lower() if text else ""


def url(text: str) -> str:
    """The address of a storage place. Accounts do not belong into it, since addresses are shown.

    An absolute path stands for its file:// URL.
    """
    _plain_text(text)
    if text.startswith("/"):
        text = "file://" + quote(text)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError("this is not a valid URL") from error
    if parts.scheme.lower() not in _SCHEMES:
        raise ValueError(f"the URL must begin with one of {', '.join(s + '://' for s in _SCHEMES)}")
    if parts.scheme.lower() not in ("file", "memory") and not parts.hostname:
        raise ValueError("the URL names no host")
    if "@" in parts.netloc:
        raise ValueError("leave the account out of the URL: give it as username and password")
    if parts.query or parts.fragment:
        raise ValueError('the URL may not have a "?" or "#" part')
    return text


def insecure(address: str, *, verify: bool) -> list[str]:
    """Why sending a password to this address would be unsafe; empty when it is not."""
    parts = urlsplit(address)
    reasons = []
    if parts.scheme.lower() in _CLEAR_TEXT and not is_loopback(parts.hostname or ""):
        reasons.append("plain http sends the password and file sizes unprotected; use https")
    if not verify:
        reasons.append("without checking the certificate anybody on the way can read the password")
    return reasons


def is_loopback(host: str) -> bool:
    """True for names and addresses of this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def service_type(text: str) -> str:
    """A provider's name, in the spelling of its profile."""
    try:
        return profile_named(text).name
    except ConfigError as error:
        raise ValueError(str(error)) from error


def bandwidth(text: str) -> str:
    """A limit of bandwidth, as it was written; "" is none."""
    text = text.strip()
    if text:
        parse_timetable(text)
    return text


def proxy(text: str) -> str:
    """The address of a proxy; "" is none."""
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme.lower() not in _PROXY_SCHEMES or not parts.hostname:
        raise ValueError(f"write it as one of {', '.join(s + '://HOST:PORT' for s in _PROXY_SCHEMES)}")
    if "@" in parts.netloc:
        raise ValueError("leave the account out of it: give proxy_username and proxy_password")
    return text


def target_path(text: str) -> str:
    """A folder below a client's URL: one leading slash, none at the end."""
    _plain_text(text)
    parts = [part for part in unicodedata.normalize("NFC", text).split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ValueError('a path on the server may not hold "." or ".."')
    return "/" + "/".join(parts)


def source_path(text: str) -> str:
    """An absolute path of this machine."""
    if not text or "\0" in text:
        raise ValueError("a source path is empty or holds a NUL character")
    # normpath and not resolve: a link that leads to the source today may lead elsewhere tomorrow.
    return os.path.normpath(Path(text).expanduser().absolute())


def stored_name(text: str) -> str:
    """The path from the root of a backup of a file that is on no disk."""
    _plain_text(text)
    parts = text.removeprefix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError('write a file\'s path without empty parts, "." and ".."')
    if any(len(part.encode()) > _LONGEST_FILE_NAME for part in parts):
        raise ValueError(f"a name may be at most {_LONGEST_FILE_NAME} bytes long in UTF-8")
    return "/".join(parts)


def pattern(text: str) -> str:
    """A file pattern."""
    if not text.strip() or "\0" in text or "\n" in text:
        raise ValueError("a pattern may not be empty nor hold a line break")
    return text


def time_of_day(text: str) -> str:
    """A time of day as HH:MM."""
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError("write a time of day as HH:MM, from 00:00 to 23:59")
    return f"{int(found[1]):02d}:{found[2]}"


def share(text: str) -> str:
    """A share such as "5%" or "0.05", as per cent."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise ValueError(f'{text!r} is not a share; write it like "5%"') from error
    if not 0 < value <= 1:
        raise ValueError("a share lies between 1% and 100%")
    return f"{value * 100:g}%"


def fraction(text: str) -> float:
    """A share as a number: 0.05 is 5 %. Raises ``ValueError`` as ``share`` does."""
    return float(share(text).removesuffix("%")) / 100


def span(text: str) -> str:
    """A span of time, such as 30d or 1y6m."""
    parse_span(text)
    return text.strip()
