"""Homes, file names made of names, sizes, and configuration files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.files import dump_configurations, load_configurations, parse_configurations
from backup_core.config.home import Home, file_stem
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.sizes import parse_size
from backup_core.errors import ConfigError

TEXT = """
[clients."cloud"]
url = "https://dav.example.org/dav/"
username = "me"
password = "env:CLOUD_PASSWORD"

[configs."重要文档"]
source_paths = ["/home/me/docs"]
target_client_id = "cloud"
target_path = "/backups"
encrypt_key = "file:/k"
max_versions = 30
max_file_size = "500M"
"""


def test_the_home_is_the_one_named(tmp_path: Path) -> None:
    assert Home.from_environment({"DAVAULT_HOME": str(tmp_path)}).root == tmp_path
    assert Home.from_environment({}).root.name == "davault"


def test_a_relative_home_does_not_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.from_environment({"DAVAULT_HOME": "here"})
    monkeypatch.chdir("/")
    assert home.root == tmp_path / "here"


def test_only_the_owner_can_look_into_a_home(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir(mode=0o755)
    home = Home(root).create()
    for room in (home.root, home.cache, home.keys, home.secrets, home.logs, home.locks):
        assert stat.S_IMODE(room.stat().st_mode) == 0o700
    assert all(path.is_relative_to(root) for path in (home.catalogue, home.webdav, home.prefect, home.key_file("a")))


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="DAVAULT_HOME"):
        Home(tmp_path / "file").create()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=120))
def test_any_name_makes_a_file_name(name: str) -> None:
    stem = file_stem(name)
    assert "/" not in stem and "\\" not in stem and not stem.startswith(".")
    assert len(f"{stem}.key".encode()) <= 255


@given(*[st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=150)] * 2)
def test_different_names_make_different_file_names(one: str, other: str) -> None:
    assert (file_stem(one) == file_stem(other)) == (one == other)


def test_chinese_names_stay_readable() -> None:
    assert file_stem("重要文档 2") == "重要文档 2"
    assert file_stem("..a:b") == "%2e.a%3ab"


@pytest.mark.parametrize(
    ("text", "size"), [("500M", 500 << 20), ("16 MiB", 16 << 20), ("1.5g", 3 << 29), ("7", 7), ("2KB", 2048), (9, 9)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 2", "1e3"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


def test_a_file_of_configurations() -> None:
    clients, configs = parse_configurations(TEXT)
    assert [c.name for c in clients] == ["cloud"]
    assert (configs[0].name, configs[0].max_file_size) == ("重要文档", 500 << 20)


def test_what_is_written_reads_the_same() -> None:
    clients, configs = parse_configurations(TEXT)
    text = dump_configurations(clients, configs)
    assert parse_configurations(text) == (clients, configs)
    assert "compression" not in text, "defaults are left out"


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: "\0" not in t))
def test_any_path_survives_the_file(path: str) -> None:
    config = BackupConfig(name="a", source_paths=["/" + path], target_client_id="c", target_path="/")
    assert parse_configurations(dump_configurations([], [config]))[1] == [config]


def test_secrets_are_not_written() -> None:
    client = ClientConfig(name="c", url="https://x/", password="hunter2")
    text = dump_configurations([client], [])
    assert "hunter2" not in text and 'password = "memory:"' in text


def test_a_path_that_is_not_text_cannot_be_written() -> None:
    config = BackupConfig(name="a", source_paths=["/\udcff"], target_client_id="c", target_path="/")
    with pytest.raises(ConfigError, match="UTF-8"):
        dump_configurations([], [config])


def test_all_faults_of_a_file_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_configurations('[wrong]\n[clients.a]\n[configs.b]\nschedule_time = "25"\n[configs.c]\nname = "d"\n')
    assert [p.split(":")[0] for p in caught.value.problems] == [
        "wrong", "clients.a.url", "configs.b.source_paths", "configs.b.target_client_id", "configs.b.target_path",
        "configs.b.schedule_time", "configs.c.name",
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"\xff", "UTF-8"), (b"=", "TOML")])
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        load_configurations(file)
