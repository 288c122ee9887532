"""What measuring finds out about the servers of other makers, as docs/accounts.md tells it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backup_core.config.models import ClientConfig
from backup_core.services.application import open_application
from backup_core.testing.server_programs import PASSWORD, RECIPES, USER, running
from backup_core.types import Secret

pytestmark = pytest.mark.server

DOCUMENT = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\w+) \| leaves (nothing|half of it) \| (kept|ignored) \| (\d+) \| (yes|no) \|$", re.MULTILINE)
TOLD = {found[1]: found.groups()[1:] for found in ROW.finditer(DOCUMENT)}


def test_every_server_is_told_of() -> None:
    assert set(TOLD) == {kind for kind in RECIPES if "-" not in kind}


@pytest.mark.parametrize("kind", sorted(TOLD))
def test_what_a_server_does_is_found_out(kind: str, tmp_path: Path) -> None:
    cut, conditional, no_parent, room = TOLD[kind]
    with running(kind) as server, open_application(tmp_path) as app:
        client = ClientConfig(name="measured", url=f"{server.url}new/folder", username=USER)
        app.add_client(client, password=Secret(PASSWORD))
        measured = app.measure_client("measured", size="2M")
        assert list(server.served.iterdir()) == [], "nothing is left behind"
    numbers = measured.numbers
    assert numbers["atomic_put"] == (cut == "nothing")
    assert numbers["conditional_put"] == (conditional == "kept")
    assert (numbers["available"] is not None) == (room == "yes")
    details = {check: detail for check, _, detail in measured.findings}
    assert f"PUT below a missing one {no_parent}" in details["folders"]
    verdicts = {check: verdict for check, verdict, _ in measured.findings}
    assert {verdicts[check] for check in ("round-trip", "ranges", "listing", "names")} == {"good"}
    assert numbers["requests"] < 80
    assert not numbers["left_behind"]
