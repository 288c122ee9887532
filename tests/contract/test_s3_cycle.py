"""Backups on S3, as an application makes them: all the way from the first one to pruning, a mirror and back."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.errors import ConfigError
from backup_core.results import Outcome
from backup_core.services.application import Application, open_application
from backup_core.testing.trees import describe, make_tree
from backup_core.types import Secret

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> str:
    name = f"cycle-{next(_numbers)}"
    s3fs.S3FileSystem(key="me", secret="secret", endpoint_url=endpoint, skip_instance_cache=True).mkdir(name)
    return name


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("S3_SECRET", "secret")
    monkeypatch.setenv("KEY", "the key")
    with open_application(tmp_path / "home") as application:
        yield application


def test_a_whole_life_on_s3(app: Application, endpoint: str, bucket: str, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=30)
    (source / "stays").write_bytes(random.Random(2).randbytes(2_500_000))
    options = {"endpoint_url": endpoint}
    app.add_client(
        ClientConfig(
            name="s3", url=f"s3://{bucket}/backups of mine", username="me", password="env:S3_SECRET",
            storage_options=options,
        )
    )  # fmt: skip
    app.add_config(
        BackupConfig(
            name="docs", source_paths=[str(source)], target_client_id="s3", target_path="/重要 100%",
            encrypt_key="env:KEY", max_versions=1,
        )
    )  # fmt: skip
    assert app.init_repository("docs").location.startswith(f"s3://{bucket}/")
    first = app.backup("docs", kind="full")
    assert first.outcome is Outcome.COMPLETED
    (source / "big").write_bytes(random.Random(3).randbytes(900_000))
    app.backup("docs")
    (source / "big").unlink()
    last = app.backup("docs")
    assert last.files_unchanged > 0
    assert [b.backup_id for b in app.backups("docs", refresh=True)] == [last.backup_id]
    pruned = app.prune("docs")
    assert pruned.freed_bytes > 800_000
    (result,) = app.validate(config_name="docs", depth="data")
    assert result.is_valid
    app.add_client(ClientConfig(name="disk", url=str(tmp_path / "disk")))
    (copied,) = app.mirroring.run("docs", to="disk")
    assert len(copied.copied) == 1
    restored = app.restore("docs", target=tmp_path / "out", verify=True)
    assert restored.outcome is Outcome.COMPLETED
    assert describe(tmp_path / "out" / "docs") == describe(source)
    assert app.health.check().healthy
    assert app.probe_client("s3").reachable
    # What lies in the bucket is under the folder and nowhere else.
    files = s3fs.S3FileSystem(key="me", secret="secret", endpoint_url=endpoint, skip_instance_cache=True)
    assert {name.split("/")[2] for name in files.find(bucket)} == {"重要 100%"}


def test_a_bucket_that_is_not_there_is_told(app: Application, endpoint: str) -> None:
    client = ClientConfig(
        name="s3", url="s3://nowhere-to-be-found", username="me", password="env:S3_SECRET",
        storage_options={"endpoint_url": endpoint},
    )  # fmt: skip
    app.add_client(client)
    result = app.probe_client("s3")
    assert not result.reachable or "no such folder" in result.checks["folder"]


def test_an_endpoint_without_tls_on_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="plain http"):
        ClientConfig(name="s3", url="s3://bucket", storage_options={"endpoint_url": "http://s3.invalid:9000"})
    assert ClientConfig(name="s3", url="s3://bucket", password=Secret("x")).url == "s3://bucket"
