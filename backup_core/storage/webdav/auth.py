"""Showing a password or token to a WebDAV server: Basic, Digest, Bearer."""

from __future__ import annotations

import threading
from collections.abc import Generator

import httpx

from backup_core.errors import Unsupported
from backup_core.types import Secret

Flow = Generator[httpx.Request, httpx.Response, None]


class BearerAuth(httpx.Auth):
    """RFC 6750: a token in every request."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Flow:
        """Add the token."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        yield request


class PasswordAuth(httpx.Auth):
    """Basic or Digest, as told or as the server asks for.

    ``ask_first`` sends the first request without a password and lets the server choose, for connections that others
    can read. Digest state is kept by thread, because its counter must not be used twice.
    """

    def __init__(self, username: str, password: Secret, *, mode: str, ask_first: bool) -> None:
        self._username = username
        self._password = password
        self._mode = mode
        self._undecided = ask_first and mode == "auto"
        self._digest = mode == "digest"
        self._of_thread = threading.local()

    @property
    def needs_priming(self) -> bool:
        """True when the next request of this thread will be refused first, so it should be a small one."""
        return self._undecided or (self._digest and not getattr(self._of_thread, "challenged", False))

    def auth_flow(self, request: httpx.Request) -> Flow:
        """Send the request, a second time when the server asks for another way of showing the password."""
        if self._digest:
            yield from self._digest_flow(request)
            return
        if not self._undecided:
            self._add_basic(request)
        response = yield request
        if response.status_code != 401:
            return
        offered = {text.strip().partition(" ")[0].lower() for text in response.headers.get_list("www-authenticate")}
        if "digest" in offered and self._mode == "auto":
            self._digest, self._undecided = True, False
            request.headers.pop("Authorization", None)
            yield from self._digest_flow(request)
        elif self._undecided:
            self._undecided = False
            self._add_basic(request)
            yield request

    def _add_basic(self, request: httpx.Request) -> None:
        # httpx offers the header's text only through its own flow of one step.
        next(httpx.BasicAuth(self._username, self._password.reveal()).auth_flow(request))

    def _digest_flow(self, request: httpx.Request) -> Flow:
        auth = getattr(self._of_thread, "auth", None)
        if auth is None:
            auth = self._of_thread.auth = httpx.DigestAuth(self._username, self._password.reveal())
        try:
            yield from auth.auth_flow(request)
        except (KeyError, NotImplementedError) as error:
            raise Unsupported(f"the server asks for a kind of Digest login that is not known here: {error}") from error
        self._of_thread.challenged = True
