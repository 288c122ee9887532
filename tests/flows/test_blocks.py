"""Secrets that are blocks of a Prefect server."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import flow, get_client
from prefect.blocks.system import Secret as PrefectSecret
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.config.secrets import resolve_secret
from backup_core.errors import ConfigError
from backup_core.services.application import open_application
from backup_core.testing.webdav_server import WebDAVServer
from flows import _runtime
from flows.backup import full_backup
from flows.blocks import RepositoryKey, WebDAVCredentials, register_kinds

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def blocks():
    WebDAVCredentials(url="https://h/dav/", username="me", password="of-the-account").save("cloud", overwrite=True)
    RepositoryKey(key="of-the-repository").save("docs", overwrite=True)
    PrefectSecret(value="of-somebody").save("other", overwrite=True)
    RepositoryKey(key="first").save("twice", overwrite=True)
    PrefectSecret(value="second").save("twice", overwrite=True)
    PrefectSecret(value={"no": "text"}).save("structure", overwrite=True)


@pytest.mark.parametrize(
    ("reference", "secret"),
    [
        ("prefect:cloud", "of-the-account"),
        ("prefect:davault-webdav-credentials/cloud", "of-the-account"),
        ("prefect:docs", "of-the-repository"),
        ("prefect:other", "of-somebody"),
        ("prefect:secret/twice", "second"),
        ("prefect:davault-repository-key/twice", "first"),
    ],
)
def test_a_reference_leads_to_the_secret_field(blocks, reference: str, secret: str) -> None:
    assert resolve_secret(reference, what="the password").reveal() == secret


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("prefect:twice", "write prefect:davault-repository-key/twice or prefect:secret/twice"),
        ("prefect:nowhere", "no block 'nowhere'"),
        ("prefect:secret/docs", "no block 'docs' of the kinds secret"),
        ("prefect:colour/docs", "no kind of block 'colour'"),
        ("prefect:structure", "holds no text"),
    ],
)
def test_what_leads_nowhere_says_why(blocks, reference: str, said: str) -> None:
    with pytest.raises(ConfigError, match="the password cannot be had from") as caught:
        resolve_secret(reference, what="the password")
    assert said in str(caught.value)
    assert "first" not in str(caught.value) and "second" not in str(caught.value)


def test_a_server_that_is_not_there_is_told() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(ConfigError, match="cannot be asked"),
    ):
        resolve_secret("prefect:docs", what="the key")


def test_the_server_shows_no_secret(blocks) -> None:
    with get_client(sync_client=True) as client:
        shown = client.read_block_document_by_name("cloud", "davault-webdav-credentials", include_secrets=False)
        assert shown.data["username"] == "me"
        assert "of-the-account" not in str(shown.data)
    assert "of-the-account" not in repr(WebDAVCredentials.load("cloud"))


def test_a_block_makes_its_client(blocks) -> None:
    client = WebDAVCredentials.load("cloud").client("cloud-client")
    assert client.record()["password"] == "prefect:davault-webdav-credentials/cloud"
    assert resolve_secret(client.password or "", what="x").reveal() == "of-the-account"
    with pytest.raises(ConfigError, match="save the block first"):
        WebDAVCredentials(password="x").client("c")


def test_registering_makes_the_kinds_known_again_and_again() -> None:
    register_kinds()
    register_kinds()
    with get_client(sync_client=True) as client:
        for slug in ("davault-webdav-credentials", "davault-repository-key"):
            assert client.read_block_type_by_slug(slug).slug == slug
        with pytest.raises(ObjectNotFound):
            client.read_block_type_by_slug("davault-no-such-kind")


def test_a_flow_backs_up_with_nothing_but_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the flow, its worker thread and a real WebDAV server; no secret in the home."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("content")
    monkeypatch.setenv("DAVAULT_HOME", str(tmp_path / "home"))
    RepositoryKey(key="key-of-the-repository").save("here-key", overwrite=True)
    with WebDAVServer(tmp_path / "served") as server:
        password = server.password.reveal()
        WebDAVCredentials(url=server.url, username=server.username, password=password).save("here", overwrite=True)
        with open_application() as application:
            application.add_client(WebDAVCredentials.load("here").client("here"))
            application.add_config(
                BackupConfig(
                    name="docs", source_paths=[str(tmp_path / "source")], target_client_id="here",
                    target_path="/b", encrypt_key="prefect:here-key",
                )
            )  # fmt: skip
        summary = full_backup("docs")
    assert summary.files == 1 and summary.encrypted
    home = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert password.encode() not in home and b"key-of-the-repository" not in home


def test_every_stage_can_resolve(blocks) -> None:
    seen: list[str] = []

    @flow
    def uses_a_secret() -> None:
        _runtime.run_stage(
            lambda application, cancel, progress: seen.append(resolve_secret("prefect:docs", what="x").reveal()),
            title="resolving",
        )

    uses_a_secret()
    assert seen == ["of-the-repository"]
    assert ClientConfig(name="c", url="https://h/", password="prefect:docs").record()["password"] == "prefect:docs"
