"""A backup in the file manager: seen whole, read by ranges, changed by nobody."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from webdav4.client import Client

from backup_core.services.application import Application
from backup_core.storage.local import LocalBackend

BIG = random.Random(11).randbytes(9_000_000)


@pytest.fixture
def source(source: Path) -> Path:
    (source / "大 文件.bin").write_bytes(BIG)
    (source / "empty").write_bytes(b"")
    (source / "a&b <c> #d%41").write_text("odd")
    (source / "link").symlink_to("子/二.pdf")
    (source / "outside").symlink_to("/etc/passwd")
    (source / "round").symlink_to(".")
    with open(os.fsencode(source) + b"/bad\xff", "wb") as file:
        file.write(b"bytes")
    return source


@pytest.fixture
def url(app: Application, configured: Callable[..., object], source: Path) -> Iterator[str]:
    configured()
    app.backup("文档")
    with app.recovery.browser.serving(config_name="文档") as serving:
        yield serving.url


def test_a_webdav_client_sees_everything(url: str, source: Path) -> None:
    client = Client(url)
    assert client.ls("/", detail=False) == ["源"]
    names = {Path(name).name for name in client.ls("/源", detail=False)}
    assert names == {"一.txt", "大 文件.bin", "empty", "a&b <c> #d%41", "link", "子", "bad\\xff"}
    info = client.info("/源/大 文件.bin")
    assert info["content_length"] == len(BIG) and info["type"] == "file"
    assert abs(info["modified"].timestamp() - (source / "大 文件.bin").stat().st_mtime) < 1
    assert client.ls("/源/子", detail=False) == ["源/子/二.pdf"]
    assert not client.exists("/源/nothing") and not client.exists("/源/empty/x")


def test_content_is_right_whole_and_in_ranges(url: str, source: Path) -> None:
    place = url + quote("源/大 文件.bin")
    whole = httpx.get(place)
    assert whole.content == BIG and whole.headers["accept-ranges"] == "bytes"
    for first, last in ((0, 0), (8_999_999, 8_999_999), (1_000_000, 4_200_000), (123, 4567)):
        part = httpx.get(place, headers={"Range": f"bytes={first}-{last}"})
        assert (part.status_code, part.content) == (206, BIG[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"
    assert httpx.get(place, headers={"Range": "bytes=-100"}).content == BIG[-100:]
    assert httpx.get(place, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert httpx.get(place, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert httpx.head(place).headers["content-length"] == str(len(BIG))
    assert httpx.get(url + quote("源/link")).content == (source / "子" / "二.pdf").read_bytes()
    assert httpx.get(url + quote("源/empty")).content == b""
    assert httpx.get(url + quote("源/a&b <c> #d%41")).text == "odd"


def test_only_what_is_asked_for_is_fetched(
    app: Application, configured: Callable[..., object], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured()
    app.backup("文档")
    fetched: list[int] = []
    honest = LocalBackend.get

    def get(self: LocalBackend, name: str, **how: int) -> bytes:
        data = honest(self, name, **how)
        if name.startswith("data/"):
            fetched.append(len(data))
        return data

    monkeypatch.setattr(LocalBackend, "get", get)
    with app.recovery.browser.serving(config_name="文档") as serving:
        Client(serving.url).ls("/源")
        assert fetched == []  # folders come from the local cache
        place = serving.url + quote("源/大 文件.bin")
        assert len(httpx.get(place, headers={"Range": "bytes=5000000-5000099"}).content) == 100
        assert 0 < sum(fetched) < len(BIG) // 2
        before = sum(fetched)
        httpx.get(place, headers={"Range": "bytes=5000000-5000099"})
        assert sum(fetched) == before  # kept in memory


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "UNLOCK", "POST", "PATCH"]
)
def test_nothing_can_be_changed(url: str, method: str) -> None:
    headers = {"Destination": url + "x"}
    for path in ("", quote("源/一.txt"), "new"):
        assert httpx.request(method, url + path, headers=headers, content=b"x").status_code == 405


def test_nobody_else_gets_in(url: str) -> None:
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1" and len(parts.path) == 34
    base = f"http://{parts.netloc}"
    for path in ("/", "/源", "/" + "0" * 32 + "/", parts.path[:-2], "/:dir_browser/x", parts.path + "../"):
        assert httpx.get(base + path).status_code == 404, path
    assert httpx.get(url, headers={"Host": "evil.example:80"}).status_code == 403
    assert httpx.request("PROPFIND", base + "/", headers={"Depth": "1"}).status_code == 404


def test_a_web_browser_sees_folders_as_pages(url: str) -> None:
    page = httpx.get(url + quote("源/"))
    assert page.headers["content-type"].startswith("text/html")
    assert "a&amp;b &lt;c&gt; #d%41" in page.text and "<c>" not in page.text
    assert quote("a&b <c> #d%41") in page.text
    assert httpx.get(url).text.count("<li>") == 1


def test_a_damaged_file_is_cut_and_never_wrong(
    app: Application, configured: Callable[..., object], source: Path, tmp_path: Path
) -> None:
    configured()
    app.backup("文档")
    for pack in (tmp_path / "store" / "备份" / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 5_000_000:
            damaged = bytearray(pack.read_bytes())
            damaged[-300_000] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(damaged)
    with app.recovery.browser.serving(config_name="文档") as serving:
        received = b""
        with (
            pytest.raises(httpx.RemoteProtocolError),
            httpx.stream("GET", serving.url + quote("源/大 文件.bin")) as answer,
        ):
            for chunk in answer.iter_raw():
                received += chunk
        assert BIG.startswith(received) and len(received) < len(BIG)
        assert httpx.get(serving.url + quote("源/一.txt")).status_code == 200


def test_it_ends_and_lets_go_of_the_lock(
    app: Application, configured: Callable[..., object], source: Path, tmp_path: Path
) -> None:
    configured()
    backup = app.backup("文档")
    with app.recovery.browser.serving(backup_id=backup.backup_id) as serving:
        assert list((tmp_path / "store" / "备份" / "locks").iterdir())
        assert serving.backup_id == backup.backup_id
    assert not list((tmp_path / "store" / "备份" / "locks").iterdir())
    with pytest.raises(httpx.ConnectError):
        httpx.get(serving.url)
    assert not [t for t in threading.enumerate() if t.name == "davault-browse"]


def test_sources_of_one_name_lie_in_folders(
    tmp_path: Path, configured: Callable[..., object], app: Application
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / f"of {name}").write_text(name)
    (tmp_path / "single.txt").write_text("one")
    paths = [str(tmp_path / p) for p in ("a/docs", "b/docs", "single.txt")]
    configured(source_paths=paths)
    app.backup("文档")
    with app.recovery.browser.serving(config_name="文档") as serving:
        client = Client(serving.url)
        assert sorted(client.ls("/", detail=False)) == ["a", "b", "single.txt"]
        assert client.ls("/b", detail=False) == ["b/docs"]
        assert httpx.get(serving.url + "b/docs/of%20b").text == "b"


@pytest.mark.server
def test_rclone_copies_it_back(url: str, source: Path, tmp_path: Path) -> None:
    if shutil.which("rclone") is None:
        pytest.skip("no rclone: tools/test-programs installs it")
    environment = {
        **os.environ,
        "RCLONE_CONFIG": str(tmp_path / "none"),
        "RCLONE_CONFIG_B_TYPE": "webdav",
        "RCLONE_CONFIG_B_URL": url,
    }
    subprocess.run(["rclone", "copy", "b:源", str(tmp_path / "out")], env=environment, check=True, capture_output=True)
    assert (tmp_path / "out" / "大 文件.bin").read_bytes() == BIG
    assert (tmp_path / "out" / "a&b <c> #d%41").read_text() == "odd"
    assert (tmp_path / "out" / "子" / "二.pdf").read_bytes() == (source / "子" / "二.pdf").read_bytes()
    refused = subprocess.run(
        ["rclone", "copy", str(source), "b:源/new", "--retries", "1", "--low-level-retries", "1"],
        env=environment, check=False, capture_output=True,
    )  # fmt: skip
    assert refused.returncode != 0


def test_an_unknown_backup(app: Application) -> None:
    from backup_core.errors import ConfigError

    with pytest.raises(ConfigError), app.recovery.browser.serving(backup_id="nothing_20200101_000000"):
        pass
