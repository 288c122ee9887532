"""Faults below HTTP, on real sockets: connections that end too soon, certificates, proxies."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from backup_core.clock import SystemClock
from backup_core.errors import AccessDenied, ConnectionLost, ObjectTooLarge
from backup_core.storage.options import BackendOptions
from backup_core.storage.retry import RetryPolicy
from backup_core.storage.webdav.backend import WebDAVBackend
from backup_core.testing.fake_webdav import entry, multistatus
from backup_core.types import Secret

QUICK = RetryPolicy(first_wait=0.01, longest_wait=0.05, deadline=10.0, deadline_before_first_answer=0.5)
CONTENT = bytes(range(256)) * 8192
"""2 MiB: more than socket buffers hold."""


class Connection:
    """One accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")

    def head(self) -> str:
        """The request line and headers, "" at the end."""
        lines = []
        while (line := self.file.readline().decode("latin-1").strip()) or not lines:
            if not line:
                return ""
            lines.append(line)
        return "\n".join(lines)

    def body(self, head: str) -> bytes:
        length = next(
            (int(h.partition(":")[2]) for h in head.lower().splitlines() if h.startswith("content-length:")), 0
        )
        return self.file.read(length)

    def send(self, status: str, body: bytes = b"", *headers: str, length: int | None = None) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode() + body)

    def reset(self) -> None:
        """Drop the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()


class SocketServer:
    """Hands each connection, with its number, to ``serve``."""

    def __init__(self, serve: Callable[[int, Connection], None], tls: ssl.SSLContext | None = None) -> None:
        self.serve, self.tls = serve, tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            number = self.connections
            self.connections += 1  # before the handler runs: a client may look as soon as it is answered
            threading.Thread(target=self._handle, args=(number, sock), daemon=True).start()

    def _handle(self, number: int, sock: socket.socket) -> None:
        try:
            connection = Connection(self.tls.wrap_socket(sock, server_side=True) if self.tls else sock)
            self.serve(number, connection)
            connection.close()
        except OSError:
            sock.close()

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[SocketServer, WebDAVBackend]]]:
    opened: list[SocketServer | WebDAVBackend] = []

    def start_one(serve, *, tls=None, host="127.0.0.1", **options):
        server = SocketServer(serve, tls)
        backend = WebDAVBackend(
            f"{'https' if tls else 'http'}://{host}:{server.port}/dav/",
            username="u",
            password=Secret("p"),
            options=BackendOptions(retry=QUICK, **options),
            clock=SystemClock(),
        )
        opened.extend((server, backend))
        return server, backend

    yield start_one
    for each in opened:
        each.close()


def test_a_download_cut_by_fin_and_by_rst_goes_on(start) -> None:
    asked = []

    def serve(number: int, connection: Connection) -> None:
        head = connection.head()
        wanted = [h for h in head.splitlines() if h.lower().startswith("range:")]
        start_at = int(wanted[0].partition("=")[2].rstrip("-").partition("-")[0]) if wanted else 0
        asked.append(start_at)
        rest = CONTENT[start_at:]
        status = "206 Partial Content" if wanted else "200 OK"
        told = f"Content-Range: bytes {start_at}-{len(CONTENT) - 1}/{len(CONTENT)}"
        connection.send(status, rest[:600_000], told, length=len(rest))
        if number == 1 and len(rest) > 600_000:
            connection.reset()

    _, backend = start(serve)
    assert backend.get("pack") == CONTENT
    assert asked == sorted(asked)
    assert 600_000 in asked


def test_a_refusal_sent_before_the_body_was_read_is_understood(start) -> None:
    def serve(_: int, connection: Connection) -> None:
        connection.head()
        connection.send("413 Request Entity Too Large", b"", "Connection: close")
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.file.read(65536):
            pass

    _, backend = start(serve)
    with pytest.raises(ObjectTooLarge):
        backend.put("pack", CONTENT[:200_000])


def test_an_upload_that_is_reset_is_settled_and_sent_again(start) -> None:
    stored: list[bytes] = []

    def serve(number: int, connection: Connection) -> None:
        while head := connection.head():
            if head.startswith("PROPFIND"):
                connection.body(head)
                connection.send("404 Not Found")
            elif number == 0:
                connection.file.read(100_000)
                connection.reset()
                return
            else:
                stored.append(connection.body(head))
                connection.send("201 Created")

    _, backend = start(serve)
    backend.put("pack", CONTENT[:200_000])
    assert stored == [CONTENT[:200_000]]


def test_idle_connections_that_the_server_closed_are_replaced(start) -> None:
    def serve(_: int, connection: Connection) -> None:
        connection.head()
        connection.send("200 OK", b"abc")  # and hangs up without having said so

    server, backend = start(serve)
    for _ in range(5):
        assert backend.get("config") == b"abc"
    assert server.connections >= 5


def test_silence_is_given_up_after_the_timeout(start) -> None:
    def serve(number: int, connection: Connection) -> None:
        head = connection.head()
        if number == 0:
            connection.file.read()  # never answers; ends when the client hangs up
        else:
            assert head.startswith("GET")
            connection.send("200 OK", b"abc")

    _, backend = start(serve, stall_timeout=0.2)
    assert backend.get("config") == b"abc"


def test_the_only_connection_is_never_waited_for(start) -> None:
    """A question about a size, asked while its own answer is still open, would wait for ever."""

    def serve(_: int, connection: Connection) -> None:
        head = connection.head()
        if head.startswith("GET"):
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        else:
            connection.body(head)
            connection.send("207 Multi-Status", multistatus(entry("/dav/config", 3)).content)

    _, backend = start(serve, parallel_requests=1)
    assert backend.get("config") == b"abc"


def test_nobody_listens(start) -> None:
    server, backend = start(lambda *_: None)
    server.close()
    with pytest.raises(ConnectionLost, match="cannot be reached"):
        WebDAVBackend(
            backend.location,
            options=BackendOptions(retry=RetryPolicy(first_wait=0.01, deadline_before_first_answer=0.05)),
            clock=SystemClock(),
        ).get("config")


def test_a_proxy_gets_the_requests_and_its_own_login(start) -> None:
    heads = []

    def serve(_: int, connection: Connection) -> None:
        heads.append(connection.head())
        connection.send("200 OK", b"abc")

    server, _ = start(serve)
    backend = WebDAVBackend(
        "http://dav.invalid/x/",
        options=BackendOptions(
            proxy=f"http://127.0.0.1:{server.port}",
            proxy_username="pu",
            proxy_password=Secret("pp"),
            allow_insecure=True,
        ),
        clock=SystemClock(),
    )
    assert backend.get("config") == b"abc"
    assert heads[0].startswith("GET http://dav.invalid/x/config HTTP/1.1")
    assert "proxy-authorization: basic chu6cha=" in heads[0].lower()
    backend.close()


def test_a_proxy_that_wants_another_login(start) -> None:
    def serve(_: int, connection: Connection) -> None:
        connection.head()
        connection.send("407 Proxy Authentication Required")

    server, _ = start(serve)
    backend = WebDAVBackend(
        "https://dav.invalid/x/",
        options=BackendOptions(proxy=f"http://127.0.0.1:{server.port}", retry=QUICK),
        clock=SystemClock(),
    )
    with pytest.raises(AccessDenied, match="proxy"):
        backend.get("config")
    backend.close()


class TestCertificates:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @staticmethod
    def serve(_: int, connection: Connection) -> None:
        while head := connection.head():
            connection.body(head)
            connection.send("200 OK", b"abc")

    def test_an_unknown_authority_is_refused_at_once(self, start, authority) -> None:
        _, backend = start(self.serve, tls=authority.server("127.0.0.1"))
        with pytest.raises(ConnectionLost, match=r"not trusted.*ca_bundle") as caught:
            backend.get("config")
        assert not caught.value.transient

    def test_the_users_own_authority_is_trusted(self, start, authority) -> None:
        _, backend = start(self.serve, tls=authority.server("127.0.0.1"), ca_bundle=authority.file)
        assert backend.get("config") == b"abc"

    def test_a_certificate_for_another_name_is_refused(self, start, authority) -> None:
        _, backend = start(self.serve, tls=authority.server("127.0.0.2"), ca_bundle=authority.file)
        with pytest.raises(ConnectionLost, match="not trusted"):
            backend.get("config")

    def test_an_expired_certificate_is_refused(self, start, authority) -> None:
        tls = authority.server("127.0.0.1", days=-1)
        _, backend = start(self.serve, tls=tls, ca_bundle=authority.file)
        with pytest.raises(ConnectionLost, match="expired"):
            backend.get("config")

    def test_the_check_can_be_switched_off_on_purpose(self, start, authority) -> None:
        _, backend = start(self.serve, tls=authority.server("127.0.0.2"), verify=False, allow_insecure=True)
        assert backend.get("config") == b"abc"

    def test_a_client_certificate_is_shown(self, start, authority) -> None:
        tls = authority.server("127.0.0.1", wants_client=True)
        certificate, key = authority.issue("client", "127.0.0.9")
        _, backend = start(self.serve, tls=tls, ca_bundle=authority.file, client_cert=certificate, client_key=key)
        assert backend.get("config") == b"abc"

    def test_a_server_that_wants_a_client_certificate_and_gets_none(self, start, authority) -> None:
        tls = authority.server("127.0.0.1", wants_client=True)
        _, backend = start(self.serve, tls=tls, ca_bundle=authority.file)
        with pytest.raises(ConnectionLost, match=r"client certificate|given up"):
            backend.get("config")


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        certificate = self._sign(self.name, self.key, 10, x509.BasicConstraints(ca=True, path_length=0))
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, label: str, address: str, *, days: int = 10) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, label)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = self._sign(subject, key, days, names)
        certificate_file, key_file = self.folder / f"{label}.pem", self.folder / f"{label}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_file, key_file

    def server(self, address: str, *, days: int = 10, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", address, days=days))
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context

    def _sign(self, subject, key, days: int, extension) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self.key, hashes.SHA256())
        )
