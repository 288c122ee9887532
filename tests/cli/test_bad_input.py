"""What people get wrong and servers do wrong: a clear error, its exit code, earlier backups intact."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup_core.config.home import Home
from backup_core.services.private_files import exclusive
from backup_core.testing.clocks import ManualClock
from backup_core.testing.webdav_server import Answer, Request, WebDAVServer

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
ADD = ["config", "add", "x", "--path", "/b", "--source", "/s", "--client"]


@pytest.fixture
def on_server(davault, dav: WebDAVServer, source: Path, secrets, monkeypatch) -> WebDAVServer:
    """A configuration "docs" on a WebDAV server, with one backup."""
    monkeypatch.setenv("ACCOUNT_PASSWORD", dav.password.reveal())
    davault(
        "client", "add", "cloud", "--url", dav.url, "--username", dav.username, "--password-env", "ACCOUNT_PASSWORD"
    )
    davault("config", "add", "docs", "--client", "cloud", "--path", "/backups", "--source", source,
            "--key-env", "REPOSITORY_KEY")  # fmt: skip
    davault("init", "docs")
    davault("backup", "docs")
    return dav


def _refuse(status: str, *methods: str) -> Callable[[Request], Answer | None]:
    return lambda request: Answer(status) if request.method in methods else None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["backup", "nobody"], 5, "nobody"),
        (["config", "show", "nobody"], 5, "nobody"),
        (["config", "remove", "nobody"], 5, "nobody"),
        (["client", "probe", "nobody"], 5, "nobody"),
        (["files", "docs_20200101_000000"], 5, "docs_20200101_000000"),
        (["validate", "docs_20200101_000000"], 5, "docs_20200101_000000"),
        (["restore", "docs", "--target", "{tmp}/out"], 5, "no backup of 'docs'"),
        (["backup", "docs", "--home", "/proc/nowhere"], 5, "/proc/nowhere"),
        (["config", "import", "{tmp}/missing.toml"], 5, "missing.toml"),
        (["client", "add", "x", "--url", "ftp://h/"], 5, "https://"),
        (["client", "add", "x", "--url", "http://dav.example.org/"], 5, "https"),
        (["client", "add", "x", "--url", "https://me:hidden-word@h.example/"], 5, "username"),
        ([*ADD, "nobody"], 5, "nobody"),
        ([*ADD, "disk", "--exclude", ""], 5, "pattern"),
        ([*ADD, "disk", "--max-file-size", "big"], 5, "500M"),
        ([*ADD, "disk", "--exclude", "a\nb"], 5, "exclude_patterns"),
        ([*ADD, "disk", "--max-versions", "-1"], 5, "max_versions"),
        ([*ADD, "disk", "--keep-daily", "-1"], 5, "keep_daily"),
        ([*ADD, "disk", "--keep-at-least", "0"], 5, "keep_at_least"),
        ([*ADD, "disk", "--keep-within", "soon"], 5, "30d"),
        ([*ADD, "disk", "--schedule-time", "25:00"], 5, "HH:MM"),
        (["cleanup", "nobody", "--keep-last", "1", "--yes"], 5, "nobody"),
        (["forget", "docs_20200101_000000", "--yes"], 5, "docs_20200101_000000"),
        (["pin", "add", "docs_20200101_000000"], 5, "docs_20200101_000000"),
        (["pin", "remove", "docs_20200101_000000"], 5, "not pinned"),
        (["hold", "release", "nobody"], 5, "nobody"),
        (["hold", "list", "nobody"], 5, "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_names_and_values(davault, docs: str, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    words = [word.format(tmp=tmp_path) for word in words]
    ended = davault(*words, code=code)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hidden-word" not in ended.stderr
    assert davault(*words, "--json", code=code).document["error"]["exit_code"] == code


def test_a_source_that_is_not_there(davault, docs: str, source: Path) -> None:
    davault("init", docs)
    made = davault("backup", docs, "--json").document
    shutil.rmtree(source)
    ended = davault("backup", docs, code=9)
    assert str(source) in ended.stderr
    assert [b["backup_id"] for b in davault("list", docs, "--json").document["backups"]] == [made["backup_id"]]


def test_a_variable_that_is_not_set(davault, docs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPOSITORY_KEY")
    ended = davault("init", docs, code=5)
    assert "REPOSITORY_KEY" in ended.stderr


def test_a_wrong_key_is_refused_and_makes_no_second_repository(davault, on_server, monkeypatch) -> None:
    files = sorted(p for p in on_server.root.rglob("*") if p.is_file())
    monkeypatch.setenv("REPOSITORY_KEY", "another-key")
    for words in (["backup", "docs"], ["restore", "docs", "--target", "/nonexistent/x"], ["list", "docs", "--refresh"]):
        ended = davault(*words, code=7)
        assert "another-key" not in ended.stderr
    assert davault("init", "docs", "--json", code=7).document["error"]["kind"] in ("RepositoryExists", "WrongKey")
    assert sorted(p for p in on_server.root.rglob("*") if p.is_file()) == files


def test_a_wrong_password_of_the_account(davault, on_server, monkeypatch) -> None:
    monkeypatch.setenv("ACCOUNT_PASSWORD", "not-this-one")
    ended = davault("backup", "docs", code=6)
    assert "not-this-one" not in ended.stderr
    assert davault("client", "probe", "cloud", "--json", code=6).document["reachable"] is False


@pytest.mark.parametrize("status", ["507 Insufficient Storage", "403 Forbidden"])
def test_a_server_that_takes_nothing(davault, on_server, source: Path, status: str) -> None:
    before = davault("list", "docs", "--json").document["backups"]
    (source / "more.bin").write_bytes(bytes(range(256)) * 4096)
    on_server.fault = _refuse(status, "PUT", "MKCOL")
    ended = davault("backup", "docs", code=6)
    assert ended.stderr.count("error:") == 1
    on_server.fault = None
    assert davault("list", "docs", "--refresh", "--json").document["backups"] == before
    assert davault("validate", "--all", "--depth", "data", "--json").document["is_valid"] is True


def test_init_twice(davault, on_server) -> None:
    assert davault("init", "docs", "--json", code=7).document["error"]["kind"] == "RepositoryExists"


def test_damage_on_the_server(davault, on_server, tmp_path: Path) -> None:
    packs = [p for p in (on_server.root / "backups" / "data").rglob("*") if p.is_file()]
    for pack in packs:
        content = bytearray(pack.read_bytes())
        content[40] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    assert davault("validate", "--all", "--json").document["is_valid"] is True
    document = davault("validate", "--all", "--depth", "data", "--json", code=4).document
    assert document["results"][0]["damaged_files"]
    assert davault("restore", "docs", "--target", tmp_path / "out", code=None).code in (3, 4)


def test_a_missing_pack_is_found_without_reading_data(davault, on_server) -> None:
    for pack in (on_server.root / "backups" / "data").rglob("*"):
        if pack.is_file():
            pack.unlink()
    davault("validate", "--all", code=4)


@pytest.mark.parametrize("directory", ["index", "snapshots"])
def test_a_corrupt_index_or_snapshot_is_named(davault, on_server, tmp_path: Path, monkeypatch, directory: str) -> None:
    (broken,) = (on_server.root / "backups" / directory).iterdir()
    content = bytearray(broken.read_bytes())
    content[20] ^= 1
    broken.chmod(0o600)
    broken.write_bytes(content)
    toml = tmp_path / "all.toml"
    toml.write_text(davault("config", "export").stdout, encoding="utf-8")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "another-home"))  # the caches of the first one know better
    davault("config", "import", toml)
    ended = davault("validate", "--config", "docs", code=4)
    assert broken.name[:8] in ended.stdout + ended.stderr


def test_what_could_not_be_looked_at_is_not_called_good(davault, on_server, tmp_path: Path, monkeypatch) -> None:
    toml = tmp_path / "all.toml"
    toml.write_text(davault("config", "export").stdout, encoding="utf-8")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "another-home"))
    davault("config", "import", toml)
    monkeypatch.setenv("REPOSITORY_KEY", "another-key")
    document = davault("validate", "--all", "--json", code=4).document
    assert document["is_valid"] is False
    assert "'docs' could not be listed" in document["results"][0]["errors"][0]


def test_a_server_that_cannot_be_reached(davault, docs: str, monkeypatch) -> None:
    made: list[ManualClock] = []

    def clock() -> ManualClock:
        made.append(ManualClock())
        return made[-1]

    monkeypatch.setattr("backup_core.services.application.SystemClock", clock)
    davault("client", "add", "disk", "--url", "http://nobody.invalid/", "--allow-insecure", "--replace")
    ended = davault("backup", docs, code=6)
    assert "nobody.invalid" in ended.stderr
    assert "davault client probe" in ended.stderr
    assert sum(made[-1].slept) < 120
    assert davault("backup", docs, "--json", code=6).document["error"]["transient"] is True


def test_a_list_of_all_says_what_it_could_not_ask(davault, docs: str, source: Path, tmp_path: Path) -> None:
    davault("config", "add", "other", "--client", "disk", "--path", "/other", "--source", source,
            "--key-env", "REPOSITORY_KEY")  # fmt: skip
    davault("backup", docs)
    davault("backup", "other")
    assert len(davault("list", "--refresh", "--json").document["backups"]) == 2
    (tmp_path / "store" / "other" / "config").unlink()
    ended = davault("list", "--refresh", "--json", code=3)
    assert len(ended.document["backups"]) == 2, "nothing is taken off the list by it"
    assert "'other' could not be listed" in ended.document["problems"][0]["message"]
    assert "'other' could not be listed" in davault("list", "--refresh", code=3).stderr
    davault("list")


@pytest.mark.usefixtures("full_cost")
def test_two_backups_of_one_configuration_at_once(davault, docs: str) -> None:
    davault("init", docs)
    with exclusive(Home.from_environment().lock_file(docs), subject="'docs' is being backed up already"):
        ended = davault("backup", docs, code=8)
    assert "is being backed up already" in ended.stderr
    davault("backup", docs)


def test_a_clock_that_went_back(davault, docs: str, monkeypatch, tmp_path: Path) -> None:
    davault("init", docs)
    first = davault("backup", docs, "--json").document
    monkeypatch.setattr("backup_core.services.application.SystemClock", lambda: ManualClock(LONG_AGO))
    second = davault("backup", docs, "--json").document
    assert second["backup_id"].startswith("docs_2001")
    assert second["files_new"] == 0
    listed = davault("list", docs, "--json").document["backups"]
    assert {b["backup_id"] for b in listed} == {first["backup_id"], second["backup_id"]}
    assert davault("validate", "--all", "--json").document["is_valid"] is True


def test_an_unreadable_file_is_a_problem_and_not_the_end(davault, docs: str, source: Path, monkeypatch) -> None:
    davault("init", docs)
    import os

    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (source / "report.pdf").chmod(0)
    document = davault("backup", docs, "--json", code=3).document
    assert [p["kind"] for p in document["problems"]] == ["unreadable"]
