"""A new user's machine: the quickstart was run, a year lies behind it, and the control room is open.

Takes minutes, so it is only run when DAVAULT_BROWSER=1 asks for it (``make browser``); DAVAULT_PICTURES names a
directory for pictures of the pages (``make screenshots``).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from backup_core.config.mirrors import MirrorConfig
from backup_core.config.models import BackupConfig, ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.clocks import ManualClock
from backup_core.testing.history import make_past
from backup_core.types import Secret

if TYPE_CHECKING:
    from tests.browser.pages import ControlRoomPages

PROJECT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WANTED = os.environ.get("DAVAULT_BROWSER") == "1"
SLOW = "照片"
"""A configuration whose backup takes as long as somebody needs to look at it and to cancel it."""
DAYS = 300

collect_ignore_glob = [] if WANTED else ["test_*.py"]


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A home after the quickstart. Its path is short, because pictures show it."""
    with tempfile.TemporaryDirectory(prefix="davault-", dir="/tmp") as place:
        yield _prepared(Path(place))


def _prepared(home: Path) -> Path:
    program = str(Path(sys.executable).with_name("davault"))
    done = subprocess.run(
        [program, "quickstart", "--keep", "--home", home],
        env=_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _add_mirror(home)
    _add_slow(home)
    _add_past(home)
    return home


def _add_mirror(home: Path) -> None:
    with open_application(home) as application:
        application.add_client(ClientConfig(name="usb", url=str(home / "usb")))
        mirrors = [MirrorConfig(client="usb", path="/copies")]
        config = application.get_config("quickstart").model_copy(update={"mirrors": mirrors})
        application.add_config(config, replace=True)


def _add_slow(home: Path) -> None:
    state = json.loads((home / "servers" / "webdav-state.json").read_text())
    source = home / "照片"
    source.mkdir()
    for number in range(30):
        (source / f"{number}.raw").write_bytes(Random(number).randbytes(8 << 20))
    with open_application(home) as application:
        client = ClientConfig(
            name="slow-line", url=f"http://127.0.0.1:{state['port']}/", username=state["username"],
            upload_limit="400K",
        )  # fmt: skip
        application.add_client(client, password=Secret(state["password"]))
        config = BackupConfig(
            name=SLOW, source_paths=[str(source)], target_client_id="slow-line", target_path="/photos"
        )
        application.add_config(config)
        application.init_repository(SLOW)


def _add_past(home: Path) -> None:
    clock = ManualClock(datetime.now(UTC) - timedelta(days=DAYS))
    with open_application(home, clock=clock) as application:
        make_past(application.manager.backup_service.catalogue, clock, days=DAYS)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHONDONT"))}
    return kept | {"DAVAULT_HOME": str(home)}


@pytest.fixture(scope="session")
def room(home: Path) -> Iterator[str]:
    """The address of the open control room."""
    program = str(Path(sys.executable).with_name("davault"))
    serve = subprocess.Popen(
        [program, "serve", "--json", "--patience", "20"], env=_environment(home), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield json.loads(serve.stdout.readline())["url"]
    finally:
        serve.send_signal(signal.SIGINT)
        _, said = serve.communicate(timeout=300)
    assert serve.returncode == 0, said


@pytest.fixture(scope="session")
def pages(room: str) -> Iterator[ControlRoomPages]:
    """A window on it."""
    from tests.browser.pages import browser  # needs Playwright, which only these tests have installed

    assert CHROMIUM, "install Chromium: apt-get install chromium fonts-noto-cjk"
    wanted = os.environ.get("DAVAULT_PICTURES")
    with browser(room, program=CHROMIUM, pictures=Path(wanted) if wanted else None) as window:
        yield window
        assert window.outside == [], "the pages call no other host"
