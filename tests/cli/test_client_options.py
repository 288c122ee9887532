"""Everything that a connection can be told is stored with its client, changed, shown and exported."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_core.testing.webdav_server import WebDAVServer

URL = "https://dav.example.org/dav/"
ALL = {
    "--username": ("username", "me", "me"),
    "--password-from": ("password_source", "keyring:davault/me", "keyring:davault/me"),
    "--service-type": ("service_type", "nutstore-paid", "nutstore-paid"),
    "--auth": ("auth", "digest", "digest"),
    "--client-cert": ("client_cert", "/etc/me.pem", "/etc/me.pem"),
    "--client-key": ("client_key", "/etc/me.key", "/etc/me.key"),
    "--client-key-password-from": ("client_key_password_source", "env:KEY_PASSWORD", "env:KEY_PASSWORD"),
    "--ca-bundle": ("ca_bundle", "/etc/ca.pem", "/etc/ca.pem"),
    "--proxy": ("proxy", "http://proxy.example.org:3128", "http://proxy.example.org:3128"),
    "--proxy-username": ("proxy_username", "p", "p"),
    "--proxy-password-from": ("proxy_password_source", "env:PROXY_PASSWORD", "env:PROXY_PASSWORD"),
    "--window-requests": ("window_requests", "1200", 1200),
    "--window-seconds": ("window_seconds", "900", 900.0),
    "--page-size": ("page_size", "500", 500),
    "--max-object-size": ("max_object_size", "400M", 400 << 20),
    "--parallel-requests": ("parallel_requests", "2", 2),
    "--pack-size": ("preferred_pack_size", "96M", 96 << 20),
    "--limit-upload": ("upload_limit", "08:00-18:00=2M,else=unlimited", "08:00-18:00=2M,else=unlimited"),
    "--limit-download": ("download_limit", "4M", "4M"),
    "--monthly-upload": ("monthly_upload", "10G", 10 << 30),
    "--monthly-download": ("monthly_download", "30G", 30 << 30),
    "--timeout": ("timeout", "90", 90.0),
    "--connect-timeout": ("connect_timeout", "9", 9.0),
    "--reply-timeout": ("reply_timeout", "600", 600.0),
    "--retry-seconds": ("retry_seconds", "5400", 5400.0),
}


def test_every_option_is_kept_shown_and_exported(davault, tmp_path: Path) -> None:
    words = [word for option, (_, given, _) in ALL.items() for word in (option, given)]
    added = davault("client", "add", "cloud", "--url", URL, *words, "--no-atomic-put", "--json").document["client"]
    assert {key: added[key] for key, _, _ in ALL.values()} == {key: kept for key, _, kept in ALL.values()}
    assert added["atomic_put"] is False

    davault("config", "add", "docs", "--client", "cloud", "--path", "/b", "--source", "/data")
    toml = tmp_path / "setup.toml"
    toml.write_text(davault("config", "export").stdout)
    davault("config", "remove", "docs")
    davault("client", "remove", "cloud")
    davault("config", "import", toml)
    assert davault("client", "show", "cloud", "--json").document["client"] == added
    shown = davault("client", "show", "cloud").stdout
    assert "96.0 MiB" in shown and "08:00-18:00=2M" in shown and "env:PROXY_PASSWORD" in shown


def test_edit_changes_what_is_given_and_nothing_else(davault) -> None:
    before = davault("client", "add", "cloud", "--url", URL, "--window-requests", "100", "--limit-upload", "2M",
                     "--json").document["client"]  # fmt: skip
    after = davault("client", "edit", "cloud", "--page-size", "700", "--reset", "upload_limit", "--json").document
    assert after["client"] == {**before, "page_size": 700, "upload_limit": ""}
    assert davault("client", "list", "--json").document["clients"] == [after["client"]]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to change"),
        (("--page-size", "7", "--reset", "page_size"), 2, "either set or reset"),
        (("--reset", "colour"), 5, "cannot be reset"),
        (("--reset", "url"), 5, "cannot be reset"),
        (("--page-size", "0"), 5, "page_size"),
        (("--limit-upload", "25:00-26:00=2M"), 5, "upload_limit"),
        (("--proxy", "http://me:secret@proxy/"), 5, "proxy"),
        (("--client-key", "/etc/me.key"), 5, "client_cert"),
        (("--auth", "ntlm"), 5, "auth"),
        (("--token-from", "the-token-itself"), 2, "never the secret itself"),
        (("--password-from", "env:A", "--password-env", "B"), 2, "excludes"),
    ],
)
def test_edits_that_are_refused_change_nothing(davault, words: tuple[str, ...], code: int, said: str) -> None:
    before = davault("client", "add", "cloud", "--url", URL, "--json").document["client"]
    ended = davault("client", "edit", "cloud", *words, code=code)
    assert said in ended.stderr
    assert "the-token-itself" not in ended.stderr and "secret@" not in ended.stderr
    assert davault("client", "show", "cloud", "--json").document["client"] == before


def test_a_token_stands_in_for_a_password(davault) -> None:
    davault("client", "add", "cloud", "--url", URL, "--username", "me", "--token-from", "env:TOKEN")
    davault("client", "edit", "cloud", "--password-from", "env:PASSWORD", code=5)


def test_show_tells_what_the_account_has_left(davault) -> None:
    davault(
        "client", "add", "cloud", "--url", URL, "--username", "Me", "--password-env", "P", "--service-type", "nutstore"
    )
    account = davault("client", "show", "cloud", "--json").document["account"]
    assert account["account"] == "me at dav.example.org"
    assert (account["window_requests"], account["requests_in_use"], account["blocked_seconds"]) == (600, 0, 0)
    assert (account["upload_left"], account["download_left"]) == (10**9, 3 * 10**9)
    assert datetime.fromisoformat(account["traffic_resets_at"]).astimezone(UTC).day == 1
    assert "600 of 600" in davault("client", "show", "cloud").stdout


def test_a_directory_has_no_account(davault) -> None:
    davault("client", "add", "disk", "--url", "file:///srv/backups")
    account = davault("client", "show", "disk", "--json").document["account"]
    assert (account["account"], account["window_requests"], account["upload_left"]) == ("", None, None)


def test_probe_measures_and_show_remembers(davault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebDAVServer(tmp_path / "served") as server:
        monkeypatch.setenv("PASSWORD_HERE", server.password.reveal())
        davault("client", "add", "here", "--url", server.url, "--username", server.username,
                "--password-env", "PASSWORD_HERE")  # fmt: skip
        quick = davault("client", "probe", "here", "--quick", "--json").document
        assert quick["reachable"] and quick["measured"] is None
        assert "PUT" not in server.requests, "a quick look writes nothing"
        assert davault("client", "show", "here", "--json").document["measured"] is None

        measured = davault("client", "probe", "here", "--size", "1M", "--json").document["measured"]
        assert measured["atomic_put"] is False and 0 < measured["score"] < 100
        assert {f["check"] for f in measured["findings"]} >= {"ranges", "atomic-put", "listing", "speed"}
        assert davault("client", "show", "here", "--json").document["measured"] == measured
        assert "score" in davault("client", "show", "here").stdout
        shown = davault("client", "probe", "here", "--size", "1M").stdout
        assert "atomic-put" in shown and "of 100, by" in shown
    assert list((tmp_path / "served").iterdir()) == []
    gone = davault("client", "probe", "here", "--json", code=6).document
    assert not gone["reachable"] and gone["measured"] is None


def test_probe_of_a_directory_looks_only(davault, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri())
    assert davault("client", "probe", "disk", "--json").document["measured"] is None
