"""Making the HTTP session of one WebDAV account: certificates, proxy, login, limits."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version

import httpcore
import httpx
import webdav4.client
import webdav4.http

from backup_core.errors import ConfigError
from backup_core.storage.options import BackendOptions
from backup_core.storage.webdav.auth import BearerAuth, PasswordAuth
from backup_core.storage.webdav.interim import bound_interim_answers
from backup_core.storage.webdav.urls import Place
from backup_core.types import Secret

KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept; less than what servers and routers commonly allow."""


READ_AT_ONCE = 256 * 1024
"""Bytes read from a connection at a time at most: each piece passes through five layers, whatever its size."""


def make_auth(
    place: Place, username: str, password: Secret | None, options: BackendOptions
) -> BearerAuth | PasswordAuth | None:
    """How this account logs in; None for a server that wants no login."""
    if options.token is not None:
        return BearerAuth(options.token)
    if not username and not password:
        return None
    readable_on_the_way = place.scheme == "http" and not place.is_loopback
    return PasswordAuth(username, password or Secret(""), mode=options.auth, ask_first=readable_on_the_way)


def make_dav_client(
    place: Place,
    *,
    auth: httpx.Auth | None,
    options: BackendOptions,
    connections: int,
    on_request: Callable[[str], None],
    on_answer: Callable[[], None],
    transport: httpx.BaseTransport | None = None,
) -> webdav4.client.Client:
    """webdav4's client on a session of its own. ``on_request`` is told the method of everything that is sent,
    ``on_answer`` is called for everything that comes back.

    Raises ``ConfigError`` when the options are unsafe without saying so, or name files that cannot be used.
    """
    refuse_unsafe(place, options)
    _quieten_httpx()
    httpcore.HTTP11Connection.READ_NUM_BYTES = READ_AT_ONCE  # for all of the process; there is no other way to say it
    bound_interim_answers()
    session: httpx.Client = webdav4.http.Client(
        auth=auth,
        # "identity", because a compressed answer has another length than the object and cannot be cut into ranges.
        headers={"Accept-Encoding": "identity", "User-Agent": f"davault/{_own_version()}", "Accept": "*/*"},
        timeout=httpx.Timeout(options.reply_timeout, connect=options.connect_timeout, pool=None),
        limits=httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_SECONDS
        ),
        verify=_tls(options) if place.scheme == "https" else _no_tls(),
        proxy=_proxy(options),
        trust_env=not place.is_loopback,
        follow_redirects=False,
        event_hooks={
            "request": [lambda request: on_request(request.method)],
            "response": [lambda _: on_answer()],
        },
        transport=transport,
    )
    # Some servers treat a request with cookies as one from a browser and then want a form token, too.
    session.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    return webdav4.client.Client(str(place), http_client=session, retry=False)


def refuse_unsafe(place: Place, options: BackendOptions) -> None:
    """Raise ``ConfigError`` for what would let others read the password or the traffic, unless it is allowed."""
    if options.allow_insecure:
        return
    problems = []
    if place.scheme == "http" and not place.is_loopback:
        problems.append(f"http:// to {place.host} sends the password in clear: use https://")
    if not options.verify:
        problems.append("without certificate check anybody can pose as the server: name its authority as ca_bundle")
    if problems:
        raise ConfigError("not safe; allow_insecure=True permits it all the same", problems=problems)


def _tls(options: BackendOptions) -> ssl.SSLContext:
    try:
        if options.ca_bundle is not None:
            context = ssl.create_default_context(cafile=str(options.ca_bundle))
        else:
            context = httpx.create_ssl_context()
            context.load_default_certs()  # authorities that the machine's owner added
        if not options.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if options.client_cert is not None:
            key_password = options.client_key_password.reveal() if options.client_key_password else None
            key = str(options.client_key) if options.client_key else None
            # Without any password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(str(options.client_cert), key, key_password or "")
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(f) for f in (options.ca_bundle, options.client_cert, options.client_key) if f)
        raise ConfigError(f"a certificate file cannot be used ({files}): {error}") from error
    return context


def _no_tls() -> ssl.SSLContext:
    """For a session that only speaks plain HTTP: trusts nobody, and need not read a file of 150 authorities for it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _proxy(options: BackendOptions) -> httpx.Proxy | None:
    if not options.proxy:
        return None
    login = (options.proxy_username, options.proxy_password.reveal()) if options.proxy_password else None
    try:
        return httpx.Proxy(options.proxy, auth=login)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigError(f"the proxy address cannot be used: {error}") from error


def _quieten_httpx() -> None:
    """A line per request at level INFO is too much for the log of a program that asks for INFO of everything."""
    log = logging.getLogger("httpx")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)


def _own_version() -> str:
    try:
        return version("davault")
    except PackageNotFoundError:
        return "0"
