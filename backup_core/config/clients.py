"""Clients: accounts on servers, or directories of this machine, with all that is needed to reach them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backup_core.config import rules
from backup_core.config.checked import Checked, Name, SecretSource, Size, checked
from backup_core.config.secrets import stored_form
from backup_core.config.stored import SECRETS
from backup_core.storage.registry import WEBDAV_SCHEMES, scheme_of

_Seconds = Annotated[float, Field(gt=0, le=86400)]
_Count = Annotated[int, Field(ge=1)]
_Bytes = Annotated[Size, Field(ge=1)]
_Limit = Annotated[str, checked(rules.bandwidth)]
_OptionalFile = str | None

_WEBDAV_ONLY = ("upload_limit", "download_limit", "monthly_upload", "monthly_download", "window_requests")


class ClientConfig(Checked):
    """An account on a server, or a directory of this machine. Numbers that are None are left to the profile of the
    ``service_type``, or to what a probe of the server found."""

    name: Name
    url: Annotated[str, checked(rules.url)]
    """Where backups may be stored: http(s) or dav(s) URL of a WebDAV collection, file:///path (or a path), s3://bucket
    and other stores that fsspec reaches, or memory://name (as long as this process lives)."""
    username: str = ""
    password: SecretSource = None
    """A reference, or a literal kept in memory only."""
    service_type: Annotated[str, checked(rules.service_type)] = "generic"
    """Which provider's habits to expect: generic, nutstore, nutstore-paid, nextcloud, owncloud, synology."""

    auth: Literal["auto", "basic", "digest"] = "auto"
    """How the password is shown: "auto" is Basic over TLS and on loopback, else as the server asks."""
    token: SecretSource = None
    """A bearer token, sent instead of name and password."""
    verify: bool = True
    """Check the server's certificate."""
    ca_bundle: _OptionalFile = None
    """File of certificate authorities to trust instead of the system's."""
    client_cert: _OptionalFile = None
    """File with this client's certificate, and its key unless ``client_key`` names another."""
    client_key: _OptionalFile = None
    client_key_password: SecretSource = None
    proxy: Annotated[str, checked(rules.proxy)] = ""
    """URL of an HTTP or SOCKS proxy; "" is what the environment says."""
    proxy_username: str = ""
    proxy_password: SecretSource = None
    allow_insecure: bool = False
    """Allow a password over plain http to another machine, and verify=False."""

    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Seconds without a byte after which a request is given up."""
    connect_timeout: _Seconds = 30.0
    """Seconds to wait for a connection."""
    reply_timeout: _Seconds = 300.0
    """Seconds to wait for an answer: some servers hash or copy a whole object before they say yes."""
    retry_seconds: Annotated[float, Field(ge=0, le=86400)] = 2700.0
    """How long a request that fails is tried again."""

    window_requests: _Count | None = None
    """Requests that the account may send in one window."""
    window_seconds: _Seconds | None = None
    page_size: _Count | None = None
    """Entries that the server lists at most in one answer."""
    max_object_size: _Bytes | None = None
    """Bytes."""
    parallel_requests: Annotated[int, Field(ge=1, le=64)] | None = None
    """Requests that may be under way at once."""
    preferred_pack_size: _Bytes | None = None
    """Bytes at which packs are closed, unless a configuration says otherwise."""
    atomic_put: bool | None = None
    """Whether an object under its final name is always whole."""
    storage_options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the fsspec file system (s3:// and others). Never for secrets, which would be stored here."""

    upload_limit: _Limit = ""
    """Bandwidth, such as "2M" or "08:00-18:00=2M,else=unlimited"; "" is unlimited."""
    download_limit: _Limit = ""
    monthly_upload: _Bytes | None = None
    """Bytes that the account may send in a calendar month."""
    monthly_download: _Bytes | None = None

    @classmethod
    def _noun(cls) -> str:
        return "client"

    def _contradictions(self) -> list[str]:
        problems = []
        if not self.allow_insecure:
            reasons = rules.insecure(self.url, verify=self.verify)
            reasons += rules.insecure(str(self.storage_options.get("endpoint_url", "")), verify=True)
            problems += [f"{reason} (allow_insecure permits it)" for reason in reasons]
        problems += [
            f"{field}: only WebDAV servers can be held to it" for field in _WEBDAV_ONLY if self._asks_in_vain(field)
        ]
        if self.token is not None and self.password is not None:
            problems.append("token and password: give one of them")
        if self.client_cert is None and (self.client_key is not None or self.client_key_password is not None):
            problems.append("client_key: there is no client_cert that it belongs to")
        if not self.proxy and (self.proxy_username or self.proxy_password is not None):
            problems.append("proxy_username: there is no proxy that it belongs to")
        return problems

    def _asks_in_vain(self, field: str) -> bool:
        return bool(getattr(self, field)) and scheme_of(self.url) not in WEBDAV_SCHEMES

    def record(self) -> dict[str, Any]:
        """The client as plain values without any secret, ready to be stored; constructing from it reads it."""
        secrets = {field: stored_form(getattr(self, field)) for field in SECRETS}
        return {**self.model_dump(exclude=set(SECRETS)), **secrets}

    def secrets(self) -> dict[str, SecretSource]:
        """The secrets that are set, by field."""
        return {field: source for field in SECRETS if (source := getattr(self, field)) is not None}
