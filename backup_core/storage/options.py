"""How to reach a storage place: what a user may set beside its address, name and password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from backup_core.deferred import dataclass
from backup_core.storage.retry import RetryPolicy
from backup_core.types import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """Everything has a cautious default; ``None`` in the numbers means "as the profile of the service says"."""

    service_type: str = "generic"
    """Which provider's habits to expect: see ``storage.webdav.profiles``."""
    auth: Literal["auto", "basic", "digest"] = "auto"
    """How the password is shown to the server. "auto" means Basic over TLS and on loopback, and Digest where the
    server asks for it; without TLS the server is asked first, so that a Digest server never sees the password."""
    token: Secret | None = None
    """Sent as ``Authorization: Bearer`` instead of name and password."""
    verify: bool = True
    """Whether the server's certificate is checked. Switching it off takes ``allow_insecure`` as well."""
    ca_bundle: Path | None = None
    """A PEM file of the authorities to trust instead of the machine's."""
    client_cert: Path | None = None
    """A PEM file with this client's certificate (and its key, unless ``client_key`` names another file)."""
    client_key: Path | None = None
    client_key_password: Secret | None = None
    proxy: str = ""
    """URL of an HTTP or SOCKS proxy; "" means what the environment says."""
    proxy_username: str = ""
    proxy_password: Secret | None = None
    allow_insecure: bool = False
    """Permit plain http to another machine, and ``verify=False``: passwords can then be read on the way."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    connect_timeout: float = 30.0
    """Seconds."""
    stall_timeout: float = 120.0
    """Seconds without a single byte moving in the middle of a transfer before the connection is given up."""
    reply_timeout: float = 300.0
    """Seconds to wait for an answer: some servers hash or copy a whole object before they say yes."""
    atomic_put: bool | None = None
    max_object_size: int | None = None
    """Bytes."""
    parallel_requests: int | None = None
    preferred_pack_size: int | None = None
    """Bytes."""
    page_size: int | None = None
    """Entries that the server lists at most in one answer."""
    window_requests: int | None = None
    """Requests that the account may send in one window."""
    window_seconds: float | None = None
    storage_options: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of the fsspec file system, for addresses that are opened through one."""
