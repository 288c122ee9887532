"""Clients and configurations: checked when made, every problem at once, nothing secret shown."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError
from backup_core.types import Secret


def config(**changes: object) -> BackupConfig:
    fields = {"name": "重要文档", "source_paths": ["/data"], "target_client_id": "cloud", "target_path": "/backups"}
    return BackupConfig(**{**fields, **changes})


def client(**changes: object) -> ClientConfig:
    return ClientConfig(**{"name": "cloud", "url": "https://dav.example.org/dav/", **changes})


def test_defaults_are_the_safe_ones() -> None:
    made = config()
    assert made.encrypt and made.compression and made.incremental
    assert made.max_versions is None, "nothing is deleted unless somebody says so"
    assert made.exclude_if_present == [".nobackup"]
    assert made.default_type == "incremental"
    assert config(incremental=False).default_type == "full"


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config(
            name="a/b",
            source_paths=[],
            target_path="/a/../b",
            schedule_time="25:00",
            max_versions=0,
            pack_size="1K",
            include_patterns=[""],
            encrypt_key=5,
            colour="red",
        )
    fields = {problem.split(":")[0].split(".")[0] for problem in caught.value.problems}
    assert fields == {
        "name", "source_paths", "target_path", "schedule_time", "max_versions", "pack_size", "include_patterns",
        "encrypt_key", "colour",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "  ", "a/b", ".", "..", "a\nb", "a\x7f", " a", "a ", "字" * 67, "a\ud800"])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        config(name=name)


@pytest.mark.parametrize("name", ["重要文档", "día", "backup 2", "a,b", "-x", "字" * 66, "😀", "con", "%"])
def test_names_that_can(name: str) -> None:
    assert config(name=name).name == name


def test_the_two_spellings_of_an_accent_are_one_name() -> None:
    assert config(name="día").name == config(name="di\u0301a").name


@pytest.mark.parametrize(("given", "kept"), [("2:05", "02:05"), ("00:00", "00:00"), ("23:59", "23:59")])
def test_schedule_times(given: str, kept: str) -> None:
    assert config(schedule_time=given).schedule_time == kept


@pytest.mark.parametrize("given", ["24:00", "12:60", "noon", "1200", "12:5", "12:00:00"])
def test_schedule_times_that_are_none(given: str) -> None:
    with pytest.raises(ConfigError, match="schedule_time"):
        config(schedule_time=given)


@pytest.mark.parametrize(
    ("given", "kept"), [("backups", "/backups"), ("/a//b/", "/a/b"), ("/", "/"), ("", "/"), ("/备份", "/备份")]
)
def test_target_paths_have_one_spelling(given: str, kept: str) -> None:
    assert config(target_path=given).target_path == kept


def test_sources_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert config(source_paths=["docs", Path("/x/../y"), "~/z"]).source_paths == [
        str(tmp_path / "docs"),
        "/y",
        "/home/me/z",
    ]


def test_a_source_is_a_list_not_a_text() -> None:
    with pytest.raises(ConfigError, match="source_paths"):
        config(source_paths="/data")


def test_sizes_may_be_written_with_units() -> None:
    made = config(max_file_size="1.5G", pack_size="16MiB")
    assert (made.max_file_size, made.pack_size) == (3 << 29, 16 << 20)


def test_assignments_are_checked_too() -> None:
    made = config()
    with pytest.raises(ConfigError, match="max_versions"):
        made.max_versions = -1
    made.max_versions = 3
    assert made.max_versions == 3


def test_a_literal_key_is_never_shown_nor_stored() -> None:
    made = config(encrypt_key="hunter2")
    assert made.encrypt_key == Secret("hunter2")
    for text in (
        repr(made),
        str(made),
        str(made.record()),
        repr(copy.copy(made)),
        made.model_dump_json(exclude={"encrypt_key"}),
    ):
        assert "hunter2" not in text
    assert made.record()["encrypt_key"] == "memory:"


def test_a_wrong_field_does_not_tell_the_secret_beside_it() -> None:
    with pytest.raises(ConfigError) as caught:
        config(encrypt_key="hunter2", max_versions=0)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None, "pydantic's own error repeats what was given"


@pytest.mark.parametrize("reference", ["env:KEY", "file:/k", "keyring:davault/me", "prefect:key"])
def test_a_reference_is_kept_as_it_is(reference: str) -> None:
    made = config(encrypt_key=reference)
    assert made.encrypt_key == reference
    assert BackupConfig(**made.record()) == made


def test_what_looks_like_a_reference_can_be_a_key() -> None:
    assert config(encrypt_key="literal:env:KEY").encrypt_key == Secret("env:KEY")


@pytest.mark.parametrize(
    "url", ["ftp://x/", "https://", "x", "https://me:pw@x/", "https://x/?a=1", "https://x/#a", "http://[::1/"]
)
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://nas.lan/dav", "dav://192.168.1.2/"])
def test_plain_http_to_another_machine_must_be_allowed(url: str) -> None:
    with pytest.raises(ConfigError, match="plain http"):
        client(url=url)
    assert client(url=url, allow_insecure=True).url == url


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:80/", "file:///a", "memory://x"]
)
def test_plain_http_on_this_machine_is_fine(url: str) -> None:
    assert client(url=url).url == url


def test_an_absolute_path_is_a_place_too() -> None:
    assert client(url="/mnt/备份 1").url == "file:///mnt/%E5%A4%87%E4%BB%BD%201"


def test_an_unchecked_certificate_must_be_allowed() -> None:
    with pytest.raises(ConfigError, match="certificate"):
        client(verify=False)
    assert client(verify=False, allow_insecure=True).verify is False


def test_a_client_record_holds_no_secret() -> None:
    made = client(password="hunter2")
    assert "hunter2" not in str(made.record()) + repr(made)
    assert client(password="env:PW").record()["password"] == "env:PW"
    assert client(password="").password is None


def test_providers_are_known_by_their_profiles() -> None:
    assert client(service_type="坚果云").service_type == "nutstore"
    with pytest.raises(ConfigError, match=r"nutstor.*known are"):
        client(service_type="nutstor")


@pytest.mark.parametrize(
    "field",
    [{"upload_limit": "2M"}, {"download_limit": "2M"}, {"monthly_upload": "1G"}, {"monthly_download": "1G"},
     {"window_requests": 600}],
)  # fmt: skip
def test_limits_that_nothing_would_keep_are_refused(field: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="only WebDAV servers can be held to it"):
        client(url="file:///srv/backups", **field)
    client(**field)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"upload_limit": "fast"}, "upload_limit"),
        ({"proxy": "ftp://proxy"}, "proxy"),
        ({"token": "env:T", "password": "env:P"}, "token and password"),
        ({"client_key_password": "env:K"}, "client_cert"),
        ({"proxy_password": "env:P"}, "no proxy"),
        ({"auth": "ntlm"}, "auth"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"max_object_size": "none"}, "max_object_size"),
    ],
)
def test_options_of_a_client_that_make_no_sense(field: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(**field)
    assert any(said in problem for problem in caught.value.problems)
