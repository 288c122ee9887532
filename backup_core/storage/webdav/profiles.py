"""What is known of providers: their limits and habits, in numbers. A probe or the user may overrule any of them."""

from __future__ import annotations

from dataclasses import replace

from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.storage.backend import Promises
from backup_core.storage.options import BackendOptions

MIB = 1024 * 1024

SUSPICIOUS_PAGES = frozenset({750})
"""Numbers of entries at which some server is known to cut a listing, whatever its profile says."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of service. Unknown limits are None, unknown promises False."""

    name: str
    title: str
    """For people."""
    window_requests: int | None = None
    """Requests that one account may send within ``window_seconds``."""
    window_seconds: float = 30 * 60.0
    pause_between_requests: float = 0.0
    """Seconds from the start of one request to that of the next."""
    page_size: int | None = None
    """Entries in one answer to a listing; the rest comes in further pages."""
    max_object_size: int | None = None
    """Bytes."""
    parallel_requests: int = 4
    preferred_pack_size: int = 32 * MIB
    """Bytes: the dearer a request, the larger the packs."""
    packs_in_folder: int = 256
    """Packs gathered in one folder: far below any page, and quickly listed by every server."""
    atomic_put: bool = False
    """An object under its final name is always whole."""
    limits_with_503: bool = False
    """A plain 503 means "too many requests" here, not "out of order"."""
    monthly_upload: int | None = None
    """Bytes that one account may send in a calendar month."""
    monthly_download: int | None = None
    advice_on_login: str = "Check user name and password."

    @property
    def promises(self) -> Promises:
        """The part that callers of the backend see."""
        return Promises(
            atomic_put=self.atomic_put,
            max_object_size=self.max_object_size,
            parallel_requests=self.parallel_requests,
            preferred_pack_size=min(self.preferred_pack_size, self.max_object_size or self.preferred_pack_size),
            packs_in_folder=min(self.packs_in_folder, max(1, (self.page_size or MIB) // 2)),
        )


GENERIC = Profile("generic", "any WebDAV server")

NUTSTORE = Profile(
    "nutstore",
    "Nutstore (坚果云)",
    # The free plan; paying accounts have 1500 (help.jianguoyun.com, WebDAV).
    window_requests=600,
    # The provider's own client sends one request at a time, at least 0.2 s apart.
    pause_between_requests=0.2,
    page_size=750,
    max_object_size=500_000_000,
    parallel_requests=1,
    preferred_pack_size=64 * MIB,
    limits_with_503=True,
    # The free plan (help.jianguoyun.com); paying accounts have no such caps.
    monthly_upload=1_000_000_000,
    monthly_download=3_000_000_000,
    advice_on_login="Nutstore wants the account's e-mail address and an application password, "
    "made under Account → Security → Third-party applications.",
)

NUTSTORE_PAID = replace(
    NUTSTORE,
    name="nutstore-paid",
    title="Nutstore (坚果云), paid plan",
    window_requests=1500,
    monthly_upload=None,
    monthly_download=None,
)

NEXTCLOUD = Profile(
    "nextcloud",
    "Nextcloud",
    # Received under another name, its length checked, then renamed (apps/dav, Connector/Sabre/File.php).
    atomic_put=True,
    advice_on_login="With two-factor login an app password is needed (Settings → Security → Devices & sessions).",
)

OWNCLOUD = Profile(
    "owncloud",
    "ownCloud",
    advice_on_login="With two-factor login an app password is needed (Settings → Security).",
)

SYNOLOGY = Profile(
    "synology",
    "Synology WebDAV Server",
    parallel_requests=2,
    advice_on_login="Check user name and password, and that the user may use the WebDAV Server application.",
)

PROFILES = {profile.name: profile for profile in (NUTSTORE, NUTSTORE_PAID, NEXTCLOUD, OWNCLOUD, SYNOLOGY, GENERIC)}
_OTHER_NAMES = {"jianguoyun": "nutstore", "坚果云": "nutstore", "webdav": "generic", "custom": "generic", "": "generic"}


def profile_named(service_type: str) -> Profile:
    """The profile of a service; ``ConfigError`` names the known ones."""
    wanted = service_type.strip().lower()
    profile = PROFILES.get(_OTHER_NAMES.get(wanted, wanted))
    if profile is None:
        raise ConfigError(f"unknown service type {service_type!r}; known are {', '.join(sorted(PROFILES))}")
    return profile


def profile_for(options: BackendOptions) -> Profile:
    """The profile that ``options`` names, with the numbers that they set themselves.

    ``ConfigError`` when one of them lets nothing through.
    """
    own = {
        name: value
        for name in (
            "atomic_put",
            "max_object_size",
            "parallel_requests",
            "preferred_pack_size",
            "page_size",
            "window_requests",
            "window_seconds",
        )
        if (value := getattr(options, name)) is not None
    }
    useless = [
        f"{name} must be more than 0, not {own[name]}" for name in own if name != "atomic_put" and own[name] <= 0
    ]
    if useless:
        raise ConfigError("the limits of the server make no sense", problems=useless)
    return replace(profile_named(options.service_type), **own)
