"""The backend contract on S3, against moto's server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from backup_core.errors import AccessDenied, NotFound
from backup_core.storage.backend import Backend
from backup_core.storage.options import BackendOptions
from backup_core.storage.registry import open_backend
from backup_core.storage.retry import RetryPolicy
from backup_core.testing.backend_contract import BackendContract
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


def open_s3(endpoint: str, url: str) -> Backend:
    options = BackendOptions(storage_options={"endpoint_url": endpoint}, retry=RetryPolicy(deadline=2.0))
    return open_backend(url, username="me", password=Secret("secret"), options=options)


class TestS3(BackendContract):
    @pytest.fixture
    def backend(self, endpoint: str) -> Backend:
        bucket = f"bucket-{next(_numbers)}"
        s3fs.S3FileSystem(key="me", secret="secret", endpoint_url=endpoint, skip_instance_cache=True).mkdir(bucket)
        return open_s3(endpoint, f"s3://{bucket}/folder")


def test_a_bucket_that_is_not_there(endpoint: str) -> None:
    with pytest.raises((NotFound, AccessDenied)):
        open_s3(endpoint, "s3://nowhere-to-be-found/x").put("config", b"c")
