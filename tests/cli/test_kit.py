"""``davault kit``: what is on the page, what is not, and that its commands work."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import Restic

DOCUMENTATION = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


class _Checker(HTMLParser):
    """Finds tags that are not closed and whatever would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_without_secrets(davault, docs, secrets, tmp_path: Path) -> None:
    davault("backup", docs)
    out = tmp_path / "kit.html"
    document = davault("kit", "--out", out, "--json").document
    for key in {*document, *document["repositories"][0]}:
        assert f"`{key}`" in DOCUMENTATION
    assert document["secrets_included"] is False and out.stat().st_mode & 0o777 == 0o600
    page = out.read_text()
    checker = _Checker()
    checker.feed(page)
    assert checker.open == [] and checker.loads == [] and "<script" not in page
    assert secrets.key not in page and secrets.password not in page
    (repository,) = document["repositories"]
    digits = repository["key_id"][:16]
    assert " ".join(digits[i : i + 4] for i in range(0, 16, 4)) in page
    assert (tmp_path / "store" / "backups" / "keys" / repository["key_id"]).exists()
    assert "davault recover --url" in page and "restic -r" in page
    davault("kit", "--out", out, code=2)
    davault("kit", "--out", out, "--replace")


def test_secrets_only_after_a_confirmation(davault, docs, secrets, tmp_path: Path, monkeypatch) -> None:
    davault("backup", docs)
    out = tmp_path / "kit.html"
    davault("kit", "--out", out, "--include-secrets", code=2)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    davault("kit", "--out", out, "--include-secrets", code=130)
    assert not out.exists()
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    assert davault("kit", "--out", out, "--include-secrets", "--json").document["secrets_included"] is True
    assert secrets.key in out.read_text()


def test_a_place_that_cannot_be_opened_is_told(davault, docs, tmp_path: Path) -> None:
    document = davault("kit", docs, "--out", tmp_path / "kit.html", "--json").document
    assert "no repository" in document["notes"][0] and document["repositories"][0]["repository_id"] == ""
    davault("kit", "nobody", "--out", tmp_path / "other.html", code=5)


def test_names_cannot_break_the_page_or_the_commands(davault, source: Path, secrets, tmp_path: Path) -> None:
    name = "a<b> & 'c' $(touch x) 重要"
    davault("client", "add", "disk", "--url", (tmp_path / "store").as_uri())
    davault(
        "config", "add", name, "--client", "disk", "--path", "/备 份", "--source", source, "--key-env", "REPOSITORY_KEY"
    )
    davault("backup", name)
    davault("kit", "--out", tmp_path / "kit.html")
    page = (tmp_path / "kit.html").read_text()
    checker = _Checker()
    checker.feed(page)
    assert checker.open == [] and "<b> &" not in page
    assert "$(touch x)" in page  # within quotes: the test of the commands below runs such lines


@pytest.mark.restic
@pytest.mark.server
@pytest.mark.parametrize("heading", ["With Davault", "With restic"])
def test_its_commands_bring_the_files_back(
    heading: str, davault, dav, source: Path, secrets, tmp_path: Path, restic_new: Restic, monkeypatch
) -> None:
    if heading == "With restic" and shutil.which("rclone") is None:
        pytest.skip("no rclone: tools/test-programs installs it")
    monkeypatch.setenv("ACCOUNT_PASSWORD", dav.password.reveal())
    davault("client", "add", "云", "--url", dav.url, "--username", dav.username, "--password-env", "ACCOUNT_PASSWORD")
    davault(
        "config",
        "add",
        "重要 文档",
        "--client",
        "云",
        "--path",
        "/备份",
        "--source",
        source,
        "--key-env",
        "REPOSITORY_KEY",
    )
    davault("backup", "重要 文档")
    davault("kit", "--out", tmp_path / "kit.html")
    commands = html.unescape(
        re.search(rf"<h3>{heading}.*?<pre>(.*?)</pre>", (tmp_path / "kit.html").read_text(), re.DOTALL)[1]
    )
    script = "\n".join(line for line in commands.splitlines() if "pip install" not in line)
    work = tmp_path / "elsewhere"
    work.mkdir()
    tools = [str(Path(sys.executable).parent), str(Path(restic_new.program).parent), os.environ["PATH"]]
    environment = {
        "PATH": os.pathsep.join(tools), "HOME": str(work), "DAVAULT_HOME": str(work / "home"), "LANG": "C.UTF-8",
        "DAV_PASSWORD": dav.password.reveal(), "DAVAULT_KEY": secrets.key, "RESTIC_CACHE_DIR": str(work / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euc", script], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (work / "restored").rglob("report.pdf")
    assert found.read_bytes() == (source / "report.pdf").read_bytes()
