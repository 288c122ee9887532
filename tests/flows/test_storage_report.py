"""The storage report against a real Prefect server: what is published is markdown that its pages can render."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from pydantic import TypeAdapter, ValidationError

from backup_core.services.application import Application, open_application
from backup_core.testing.clocks import ManualClock
from backup_core.testing.history import make_past
from flows import _trend
from flows._runtime import slug
from flows.storage_report import KEY, Budget, newest_page, storage_report

pytestmark = [pytest.mark.prefect]
BEGINNING = datetime(2026, 2, 1, 2, 0, tzinfo=UTC)


@pytest.fixture
def past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock(BEGINNING)
    home = tmp_path / "home"
    with open_application(home, clock=clock) as application:
        make_past(application.manager.backup_service.catalogue, clock, days=25)

    def opened() -> Application:
        return open_application(home, clock=clock)

    monkeypatch.setattr("flows._runtime.open_application", opened)
    return clock


@pytest.mark.usefixtures("prefect_server")
def test_the_flow_publishes_a_page_for_all_and_one_for_each(past: ManualClock) -> None:
    state = storage_report(ask_servers=False, budget="500G", return_state=True)
    assert state.is_completed() and state.result().made_at == past.now()
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        pages = {a.key: a.data for a in client.read_artifacts(artifact_filter=wanted) if a.type == "markdown"}
    assert run.name.startswith("storage report all configurations 20")
    assert set(pages) == {KEY, *(f"{KEY}-{slug(name)}" for name in ("重要文档", "photos", "database"))}
    for page in pages.values():
        assert "<svg" not in page and "style=" not in page
        drawings = re.findall(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([^)]+)\)", page)
        for drawing in drawings:
            root = ElementTree.fromstring(b64decode(drawing))
            assert root.attrib["width"] == str(_trend.WIDTH) and int(root.attrib["height"]) > 100
    assert pages[KEY].count("data:image") == 6
    assert "| 重要文档 |" in pages[KEY] and "| 2026-02 |" in pages[KEY]
    assert newest_page("http://ui").startswith("http://ui/artifacts/artifact/")
    assert pages[f"{KEY}-photos"].startswith("# photos: ")


def test_a_table_cell_cannot_be_broken_by_a_name() -> None:
    assert _trend.escaped("a|b\n# c") == "a\\|b\\\\n\\# c"


@pytest.mark.parametrize(
    ("text", "good"), [("500G", True), ("1.5TiB", True), ("10", True), ("much", False), ("", False)]
)
def test_a_budget_is_a_size(text: str, good: bool) -> None:
    adapter = TypeAdapter(Budget)
    if good:
        assert adapter.validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
