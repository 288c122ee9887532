"""Logging in: the password goes where it belongs, in the way the server wants, and nowhere else."""

from __future__ import annotations

import logging
import re

import httpx
import pytest

from backup_core.clock import SystemClock
from backup_core.errors import AccessDenied, ConfigError, Unsupported
from backup_core.storage.options import BackendOptions
from backup_core.storage.registry import open_backend
from backup_core.types import Secret

CHALLENGE = 'Digest realm="dav", nonce="n{}", qop="auth", algorithm={}'
BASIC = "Basic bWU6c2VjcmV0"


def digest_only(bench, *, algorithm: str = "MD5") -> list[str]:
    """Want Digest; each nonce is good for three requests. Returns the methods that were refused."""
    refused: list[str] = []
    uses: dict[str, int] = {}

    def check(request: httpx.Request) -> httpx.Response | None:
        nonce = re.search(r'^Digest .*nonce="(n\d+)".*response="[0-9a-f]+"', request.headers.get("authorization", ""))
        if nonce and uses.get(nonce.group(1), 9) < 3:
            uses[nonce.group(1)] += 1
            return None
        refused.append(request.method)
        uses[f"n{len(refused)}"] = 0
        return httpx.Response(401, headers={"WWW-Authenticate": CHALLENGE.format(len(refused), algorithm)})

    bench.server.behave(check)
    return refused


def test_basic_goes_with_the_first_request_over_tls(bench) -> None:
    bench.backend.put("config", b"c")
    assert bench.server.requests[0].headers["authorization"] == BASIC
    assert bench.server.log == ["PUT config"]


def test_digest_by_choice_asks_before_the_first_body_is_sent(bench) -> None:
    refused = digest_only(bench)
    bench.open(auth="digest").put("config", b"c" * 1000)
    assert refused == ["PROPFIND"]
    assert bench.server.log == ["PROPFIND ", "PROPFIND ", "PUT config"]
    assert bench.server.objects["/dav/backups/config"] == b"c" * 1000
    assert not any(r.headers.get("authorization", "").startswith("Basic") for r in bench.server.requests)


def test_digest_is_found_out(bench) -> None:
    refused = digest_only(bench, algorithm="SHA-256")
    bench.backend.put("config", b"c" * 1000)
    assert bench.server.objects["/dav/backups/config"] == b"c" * 1000
    assert len(refused) == 2, "one for Basic, one to get the challenge"


def test_a_nonce_that_expires_in_the_middle_is_renewed(bench) -> None:
    digest_only(bench)
    bench.open(auth="digest")
    for number in range(10):
        bench.backend.put(str(number), b"x" * number * 1000)
    assert {name: len(c) for name, c in bench.server.objects.items()} == {
        f"/dav/backups/{n}": n * 1000 for n in range(10)
    }
    assert bench.backend.requests.total == len(bench.server.log)


def test_an_unknown_kind_of_digest_is_a_clear_error(bench) -> None:
    digest_only(bench, algorithm="ROT13")
    with pytest.raises(Unsupported, match="ROT13"):
        bench.open(auth="digest").get("config")


def test_without_tls_the_server_is_asked_before_it_gets_the_password(bench) -> None:
    digest_only(bench)
    bench.open("http://dav.example.com/dav/backups/", allow_insecure=True).put("config", b"c")
    assert "authorization" not in bench.server.requests[0].headers
    assert not any(r.headers.get("authorization", "").startswith("Basic") for r in bench.server.requests)


def test_without_tls_a_basic_server_gets_basic_when_it_asks(bench) -> None:
    def check(request):
        refused = httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return None if request.headers.get("authorization") == BASIC else refused

    bench.server.behave(check)
    bench.open("http://dav.example.com/dav/backups/", allow_insecure=True).put("config", b"c" * 1000)
    assert bench.server.log == ["PROPFIND ", "PROPFIND ", "PUT config"]


def test_a_token_is_sent_as_it_is(bench) -> None:
    bench.open(token=Secret("t0ken")).put("config", b"c")
    assert bench.server.requests[0].headers["authorization"] == "Bearer t0ken"


def test_no_cookie_is_ever_sent_back(bench) -> None:
    bench.server.objects["/dav/backups/config"] = b"c"
    bench.server.once("GET", httpx.Response(200, content=b"c", headers={"Set-Cookie": "session=1; Path=/"}))
    bench.backend.get("config")
    bench.backend.get("config")
    assert "cookie" not in bench.server.requests[1].headers


def test_a_revoked_password_in_the_middle_of_a_run(bench) -> None:
    bench.backend.put("one", b"1")
    bench.server.behave(lambda _: httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(AccessDenied, match="password"):
        bench.backend.put("two", b"2")
    assert bench.slept == 0


def test_the_password_is_nowhere_to_be_read(bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench.server.once("PUT", httpx.ReadError("reset"))
    bench.backend.put("config", b"c")
    bench.server.behave(lambda _: httpx.Response(401))
    with pytest.raises(AccessDenied) as caught:
        bench.backend.get("config")
    shown = caplog.text + str(caught.value) + repr(vars(bench.backend)) + bench.backend.location
    assert "secret" not in shown
    assert "bWU6c2VjcmV0" not in shown


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://dav.example.com/x", {}),
        ("dav://192.168.1.9/x", {}),
        ("https://dav.example.com/x", {"verify": False}),
        ("http://127.0.0.1.example.com/x", {}),
    ],
)
def test_what_others_could_read_must_be_allowed(url: str, options: dict[str, bool]) -> None:
    with pytest.raises(ConfigError, match="allow_insecure"):
        open_backend(url, username="u", password=Secret("p"), options=BackendOptions(**options))
    open_backend(url, options=BackendOptions(**options, allow_insecure=True)).close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/x", "dav://127.9.9.9/"])
def test_loopback_needs_no_permission(url: str) -> None:
    open_backend(url, username="u", password=Secret("p"), clock=SystemClock()).close()


@pytest.mark.parametrize(
    "url",
    ["https://u:p@dav.example.com/", "https://dav.example.com/?q=1", "https://dav.example.com/#f", "https:///x",
     "https://dav.example.com/a/../b", "https://dav.example.com:port/", "s3x://bucket", "", "gopher://x"],
)  # fmt: skip
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_backend(url)
    assert "p@" not in str(caught.value)


@pytest.mark.parametrize("option", ["ca_bundle", "client_cert"])
def test_certificate_files_that_cannot_be_used(tmp_path, option: str) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing")
    for path in (missing, empty):
        with pytest.raises(ConfigError, match=path.name):
            open_backend("https://dav.example.com/x", options=BackendOptions(**{option: path}))


def test_a_proxy_address_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="proxy"):
        open_backend("https://dav.example.com/x", options=BackendOptions(proxy="gopher://x"))
