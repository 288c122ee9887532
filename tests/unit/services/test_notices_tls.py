"""Mail goes over TLS to servers that can show a certificate, and to no other: STARTTLS and TLS from the first byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backup_core.catalogue import open_catalogue
from backup_core.config.notifications import NotificationSettings
from backup_core.services.notices import Notice, Notices
from backup_core.testing.clocks import ManualClock

NOTICE = Notice("Drill of 主站: 1 step failed", "what to do")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that it has signed itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


class MailServer(threading.Thread):
    """Takes one message, and remembers which commands came before and after encryption began."""

    def __init__(self, certificate: Path, *, at_once: bool, offers_tls: bool = True) -> None:
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._at_once = at_once
        self._offers_tls = offers_tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.clear: list[str] = []
        self.sealed: list[str] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            connection, _ = self._socket.accept()
            if self._at_once:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._talk(connection)
        except (OSError, ssl.SSLError) as error:
            self.failure = error
        finally:
            self._socket.close()

    def _talk(self, connection: socket.socket) -> None:
        encrypted, data = self._at_once, False
        lines = connection.makefile("rb")
        self._say(connection, "220 test")
        while line := lines.readline():
            text = line.decode().rstrip("\r\n")
            (self.sealed if encrypted else self.clear).append(text)
            word = text.split(" ")[0].upper()
            if data:
                data = text != "."
                if not data:
                    self._say(connection, "250 kept")
            elif word == "EHLO":
                offer = ["250-STARTTLS"] if self._offers_tls and not encrypted else []
                self._say(connection, "250-test", *offer, "250-AUTH PLAIN", "250 SMTPUTF8")
            elif word == "STARTTLS":
                self._say(connection, "220 go on")
                connection = self._context.wrap_socket(connection, server_side=True)
                encrypted, lines = True, connection.makefile("rb")
            elif word == "DATA":
                self._say(connection, "354 go on")
                data = True
            else:
                self._say(connection, {"AUTH": "235 ok", "QUIT": "221 bye"}.get(word, "250 ok"))
                if word == "QUIT":
                    connection.close()
                    return

    @staticmethod
    def _say(connection: socket.socket, *lines: str) -> None:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())


@pytest.fixture
def notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notices]:
    monkeypatch.setenv("MAIL_PASSWORD", "geheim")
    catalogue = open_catalogue(tmp_path / "catalogue.db")
    yield Notices(catalogue, ManualClock())
    catalogue.close()


def send(notices: Notices, server: MailServer, security: str) -> list[str]:
    notices.keep(
        NotificationSettings.model_validate(
            {
                "smtp_host": "127.0.0.1",
                "smtp_port": server.port,
                "smtp_security": security,
                "smtp_username": "me@example.com",
                "smtp_password": "env:MAIL_PASSWORD",
                "recipients": ["ops@example.com"],
            }
        )
    )
    server.start()
    told = notices.send(NOTICE)
    server.join(60)
    return told


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls(
    notices: Notices, certificate: Path, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the system trusts, as OpenSSL finds it.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = MailServer(certificate, at_once=security == "tls")
    assert send(notices, server, security) == []
    assert server.failure is None
    assert [line.split(" ")[0] for line in server.clear] == ([] if security == "tls" else ["ehlo", "STARTTLS"])
    words = [line.split(" ")[0].upper() for line in server.sealed]
    assert words.index("AUTH") < words.index("RCPT") < words.index("DATA")
    assert "what to do" in server.sealed and "To: ops@example.com" in server.sealed


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_trusts_is_refused(notices: Notices, certificate: Path, security: str) -> None:
    server = MailServer(certificate, at_once=security == "tls")
    (sentence,) = send(notices, server, security)
    assert sentence.startswith("no mail was sent to ops@example.com through 127.0.0.1")
    assert "certificate verify failed" in sentence
    assert not any("AUTH" in line for line in server.clear + server.sealed), "no password was shown"
    assert "geheim" not in sentence


def test_a_server_without_tls_gets_no_password(notices: Notices, certificate: Path) -> None:
    server = MailServer(certificate, at_once=False, offers_tls=False)
    (sentence,) = send(notices, server, "starttls")
    assert "STARTTLS" in sentence
    assert [line.split(" ")[0].upper() for line in server.clear][:1] == ["EHLO"]
    assert not any(line.upper().startswith(("AUTH", "MAIL", "DATA")) for line in server.clear)
