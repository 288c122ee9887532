"""Notices reach a mail server and Apprise channels; what cannot be delivered is a sentence without a secret in it."""

from __future__ import annotations

import email
import socketserver
import threading
from collections.abc import Iterator
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from backup_core.catalogue import open_catalogue
from backup_core.config.notifications import NotificationSettings
from backup_core.errors import ConfigError
from backup_core.services.notices import Notice, Notices
from backup_core.testing.clocks import ManualClock

NOTICE = Notice("Recovery of 主站: everything came back", "# 主站\n\n- `a\udcff.txt` is **lost**\n")


class _MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to deliver one message."""

    messages: list[Message]
    logins: list[bytes]
    refused: str

    def handle(self) -> None:
        self._say("220 test")
        while line := self.rfile.readline().strip():
            word = line.upper().split(b" ")[0]
            if word == b"EHLO":
                self._say("250-test", "250-AUTH PLAIN", "250 SMTPUTF8")
            elif word == b"AUTH":
                self.logins.append(line)
                self._say("235 ok")
            elif word == b"RCPT" and self.refused and self.refused.encode() in line:
                self._say("550 no such person")
            elif word == b"DATA":
                self._say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.messages.append(email.message_from_bytes(b"".join(lines), policy=default))
                self._say("250 kept")
            elif word == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class _Hook(BaseHTTPRequestHandler):
    bodies: list[bytes]
    status: int

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _served(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def mail() -> Iterator[tuple[int, type[_MailServer]]]:
    handler = type("Handler", (_MailServer,), {"messages": [], "logins": [], "refused": ""})
    for port in _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)):
        yield port, handler


@pytest.fixture
def hook() -> Iterator[tuple[int, type[_Hook]]]:
    handler = type("Handler", (_Hook,), {"bodies": [], "status": 200})
    for port in _served(HTTPServer(("127.0.0.1", 0), handler)):
        yield port, handler


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[Notices]:
    catalogue = open_catalogue(tmp_path / "catalogue.db")
    yield Notices(catalogue, ManualClock())
    catalogue.close()


def local(port: int, **changes: object) -> NotificationSettings:
    facts = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none", "sender": "davault@example.com"}
    return NotificationSettings.model_validate({**facts, **changes})


def test_mail_arrives(notices: Notices, mail: tuple[int, type[_MailServer]], monkeypatch: pytest.MonkeyPatch) -> None:
    port, server = mail
    monkeypatch.setenv("MAIL_PASSWORD", "geheim")
    login = {"smtp_username": "me", "smtp_password": "env:MAIL_PASSWORD"}
    notices.keep(local(port, recipients=["ops@example.com"], **login))
    assert notices.send(NOTICE, addresses=["admin@example.com", "ops@example.com"]) == []
    (message,) = server.messages
    assert message["Subject"] == "Recovery of 主站: everything came back"
    assert message["To"] == "ops@example.com, admin@example.com"
    assert "**lost**" in message.get_content()
    assert len(server.logins) == 1
    assert "geheim" not in str(notices.settings.record())


def test_a_line_break_in_a_name_makes_no_header(notices: Notices, mail: tuple[int, type[_MailServer]]) -> None:
    port, server = mail
    notices.keep(local(port, recipients=["ops@example.com"]))
    assert notices.send(Notice("Drill of x\r\nBcc: thief@example.com", "text")) == []
    assert server.messages[0]["Bcc"] is None and "Bcc:" in server.messages[0]["Subject"]


def test_what_is_not_delivered_is_told(notices: Notices, mail: tuple[int, type[_MailServer]]) -> None:
    port, server = mail
    server.refused = "gone@"
    notices.keep(local(port, recipients=["ops@example.com", "gone@example.com"]))
    assert notices.send(NOTICE) == ["127.0.0.1 refused mail to gone@example.com"]
    assert len(server.messages) == 1
    notices.keep(local(1, recipients=["ops@example.com"]))
    (sentence,) = notices.send(NOTICE)
    assert sentence.startswith("no mail was sent to ops@example.com through 127.0.0.1")
    notices.keep(NotificationSettings())
    assert "no mail server is set" in notices.send(NOTICE, addresses=["a@example.com"])[0]
    assert notices.send(NOTICE) == []


def test_apprise_channels_are_told(
    notices: Notices, hook: tuple[int, type[_Hook]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, server = hook
    monkeypatch.setenv("OPS", f"json://user:geheim@127.0.0.1:{port}/hook")
    monkeypatch.setenv("BROKEN", "no-such-service://geheim")
    assert notices.send(NOTICE, channels=["env:OPS"]) == []
    assert "everything came back" in server.bodies[0].decode()
    server.status = 500
    told = notices.send(NOTICE, channels=["env:OPS", "env:BROKEN", "env:MISSING"])
    assert [sentence.split(" was not told")[0] for sentence in told] == [
        "the channel env:OPS", "the channel env:BROKEN", "the channel env:MISSING",
    ]  # fmt: skip
    assert "geheim" not in " ".join(told)


def test_what_would_fail_is_seen_before(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS", "json://127.0.0.1")
    assert notices.unresolved(channels=["env:OPS"]) == []
    problems = notices.unresolved(addresses=["a@example.com"], channels=["env:MISSING"])
    assert len(problems) == 2 and "smtp-host" in problems[0] and "MISSING" in problems[1]


def test_a_password_is_neither_kept_nor_sent_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="give a reference") as caught:
        NotificationSettings(smtp_host="mail.example.com", smtp_username="me", smtp_password="hunter2")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="could be read on the way"):
        NotificationSettings(
            smtp_host="mail.example.com", smtp_username="me", smtp_password="env:P", smtp_security="none"
        )
    assert NotificationSettings(smtp_host="mail.example.com").port == 587
