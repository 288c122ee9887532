"""Telling people: by mail, and through channels that Apprise knows.

A notice that cannot be delivered never stops the work it tells of: what went wrong is returned as a sentence. Nothing
secret is in it, and an Apprise URL, which holds passwords, is only ever named by its reference.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from backup_core.catalogue.catalogue import Catalogue
from backup_core.clock import Clock
from backup_core.config.notifications import NotificationSettings
from backup_core.config.secrets import resolve_secret
from backup_core.deferred import dataclass
from backup_core.errors import ConfigError
from backup_core.types import Secret

_LOG = logging.getLogger(__name__)
_SETTING = "notifications"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told."""

    subject: str
    text: str
    """Markdown."""


class Notices:
    """Sends notices by the settings of one home."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    @property
    def settings(self) -> NotificationSettings:
        """The settings; when none were kept, those by which nothing is sent."""
        return NotificationSettings.model_validate(self._catalogue.setups.setting(_SETTING) or {})

    def keep(self, settings: NotificationSettings) -> None:
        """Remember settings."""
        self._catalogue.setups.set(_SETTING, settings.record())

    def send(self, notice: Notice, *, addresses: Sequence[str] = (), channels: Sequence[str] = ()) -> list[str]:
        """Tell everybody of the settings, and besides ``addresses`` and ``channels`` (references to Apprise URLs).

        Returns a sentence for each part that could not be delivered; [] also when there is nobody to tell.
        """
        settings = self.settings
        failed = []
        people = list(dict.fromkeys([*settings.recipients, *addresses]))
        if people:
            failed += self._mail(settings, notice, people)
        for reference in dict.fromkeys([*settings.channels, *channels]):
            failed += _through_apprise(reference, notice)
        for sentence in failed:
            _LOG.warning("%s", sentence)
        return failed

    def unresolved(self, *, addresses: Iterable[str] = (), channels: Iterable[str] = ()) -> list[str]:
        """What would keep a notice from being sent, as far as that can be seen without sending one."""
        settings = self.settings
        problems = []
        if list(addresses) and not settings.smtp_host:
            problems.append("there are addresses to be told, but no mail server is set: davault notify set --smtp-host")
        references = [*settings.channels, *channels]
        if settings.smtp_password is not None:
            references.append(settings.smtp_password)
        for reference in references:
            try:
                resolve_secret(reference, what="a notification's secret")
            except ConfigError as error:
                problems.append(str(error))
        return problems

    def _mail(self, settings: NotificationSettings, notice: Notice, people: Sequence[str]) -> list[str]:
        if not settings.smtp_host:
            return [f"no mail was sent to {', '.join(people)}: no mail server is set (davault notify set --smtp-host)"]
        try:
            message = self._message(settings, notice, people)
            with _connected(settings) as server:
                if settings.smtp_username and settings.smtp_password is not None:
                    password = resolve_secret(settings.smtp_password, what="the mail server's password")
                    server.login(settings.smtp_username, password.reveal())
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException, ConfigError, ValueError) as error:
            return [f"no mail was sent to {', '.join(people)} through {settings.smtp_host}: {error}"]
        return [f"{settings.smtp_host} refused mail to {address}" for address in refused]

    def _message(self, settings: NotificationSettings, notice: Notice, people: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(notice.subject.split())
        message["From"] = settings.from_address
        message["To"] = ", ".join(people)
        message["Date"] = format_datetime(self._clock.now())
        message["Auto-Submitted"] = "auto-generated"
        # Names of files may hold bytes that are no text.
        message.set_content(notice.text.encode("utf-8", "backslashreplace").decode())
        return message


def understood(address: Secret) -> bool:
    """Whether Apprise knows what to do with an address."""
    import apprise

    return bool(apprise.Apprise().add(address.reveal()))


def _connected(settings: NotificationSettings) -> smtplib.SMTP:
    where = (settings.smtp_host, settings.port)
    if settings.smtp_security == "tls":
        return smtplib.SMTP_SSL(*where, timeout=settings.timeout, context=ssl.create_default_context())
    server = smtplib.SMTP(*where, timeout=settings.timeout)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _through_apprise(reference: str, notice: Notice) -> list[str]:
    # Imported late: it brings a hundred modules that hardly any command needs.
    import apprise

    shown = f"the channel {reference}"
    try:
        address = resolve_secret(reference, what="the notification channel").reveal()
    except ConfigError as error:
        return [f"{shown} was not told: {error}"]
    sender = apprise.Apprise()
    if not sender.add(address):
        return [f"{shown} was not told: what it refers to is no Apprise URL"]
    body = notice.text.encode("utf-8", "backslashreplace").decode()
    try:
        delivered = sender.notify(body=body, title=notice.subject, body_format=apprise.NotifyFormat.MARKDOWN)
    except (OSError, TypeError, ValueError) as error:
        return [f"{shown} was not told: {type(error).__name__}"]
    return [] if delivered else [f"{shown} was not told: it did not take the message"]
