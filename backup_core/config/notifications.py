"""How people are told: through a mail server, and through channels that Apprise knows (chat, push, webhooks)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from backup_core.config.checked import Checked, Size
from backup_core.config.recovery_checks import DAY, Reference, Seconds
from backup_core.config.rules import is_loopback

_PORTS = {"tls": 465, "starttls": 587, "none": 25}


class NotificationSettings(Checked):
    """The mail server and the channels of one home, and when people are alerted."""

    smtp_host: str = ""
    """"": no mail is sent."""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """None: 465 with tls, 587 with starttls, 25 without."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str = ""
    """"": the server is not logged in to."""
    smtp_password: Reference | None = None
    sender: str = ""
    """Address that mail comes from; "": the user name, if that is an address."""
    recipients: list[str] = Field(default_factory=list)
    """Addresses told of everything; a plan's own are told as well."""
    channels: list[Reference] = Field(default_factory=list)
    """References to Apprise URLs, which hold passwords and are therefore never kept here."""
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds."""
    storage_budget: Annotated[Size, Field(ge=1)] | None = None
    """Stored bytes that all backups together may take; None: as many as they like."""
    no_backup_for: Seconds = 2 * DAY
    """Seconds without a backup after which people are told, for configurations that no recovery plan says more of."""
    drill_due: Seconds = 40 * DAY
    """Seconds after which a recovery plan must have been drilled again."""
    remind_after: Seconds = DAY
    """Seconds after which people are told again of what is still wrong."""

    @classmethod
    def _noun(cls) -> str:
        return "the notification settings"

    @property
    def anybody(self) -> bool:
        """Whether there is anybody to be told."""
        return bool(self.recipients or self.channels)

    @field_validator("sender", "smtp_host", "smtp_username")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(ord(c) < 32 for c in value):
            raise ValueError("control characters are not allowed")
        return value

    @field_validator("recipients")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        if any(a.count("@") != 1 or not a.isprintable() or " " in a for a in value):
            raise ValueError("write addresses such as me@example.com")
        return value

    @property
    def port(self) -> int:
        """The mail server's port."""
        return self.smtp_port or _PORTS[self.smtp_security]

    @property
    def from_address(self) -> str:
        """What mail says it comes from."""
        return self.sender or (self.smtp_username if "@" in self.smtp_username else f"davault@{self.smtp_host}")

    def record(self) -> dict[str, Any]:
        """As plain JSON values, without any secret."""
        return self.model_dump(mode="json")

    def _contradictions(self) -> list[str]:
        problems = []
        if self.smtp_username and self.smtp_password is None:
            problems.append("smtp_password: a user name needs a password")
        if self.smtp_username and self.smtp_security == "none" and not is_loopback(self.smtp_host):
            problems.append("smtp_security: without encryption the password could be read on the way")
        if self.recipients and not self.smtp_host:
            problems.append("smtp_host: recipients need a mail server")
        return problems
