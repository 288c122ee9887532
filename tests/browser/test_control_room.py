"""A new user in the control room: every flow started from its run form in Chromium, watched, cancelled, approved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from backup_core.services.application import open_application
from tests.browser.conftest import SLOW
from tests.browser.pages import ControlRoomPages

REPORTS = {
    "full-backup/quickstart": ("backup-quickstart", "stored: completed"),
    "incremental-backup/quickstart": ("backup-quickstart", "stored: completed"),
    "validate-backups/quickstart": ("validation-quickstart", "backups are whole"),
    "mirror/quickstart": ("mirror-quickstart", "copied to 1 of 1 mirrors"),
    "cleanup-backups/quickstart": ("cleanup-quickstart", "backups were forgotten"),
    "disaster-recovery-drill/quickstart": ("drill-quickstart", "everything came back"),
    "alerts/hourly": ("alerts", r"\d+ alerts|alarmed"),
}
"""Key and words (a pattern) of the report that each flow leaves when it is started as its form stands."""


def test_the_deployments(pages: ControlRoomPages) -> None:
    pages.go("/deployments")
    assert set(REPORTS) <= set(pages.deployments())
    pages.page.get_by_placeholder("Search deployments").fill("quickstart")
    expect(pages.page.get_by_role("row").filter(has_text="execute-disaster-recovery")).to_be_visible()
    pages.picture("deployments")


@pytest.mark.parametrize("deployment", sorted(REPORTS))
def test_each_flow_runs_from_its_form_as_it_stands(pages: ControlRoomPages, deployment: str) -> None:
    form = pages.open_form(deployment)
    if deployment.endswith("/quickstart"):
        expect(form.locator(".schema-form-property").first).to_contain_text("quickstart")
    run = pages.submit()
    pages.open_run(run)
    assert pages.expect_state("Completed") == "Completed"
    pages.tab("Artifacts")
    key, words = REPORTS[deployment]
    pages.page.get_by_text(key, exact=True).last.click()
    expect(pages.page.get_by_role("heading").filter(has_text=re.compile(words)).first).to_be_visible()


def test_names_are_chosen_from_what_there_is(pages: ControlRoomPages) -> None:
    form = pages.open_form("health-check/daily")
    choice = form.locator(".schema-form-property").filter(has_text="configuration")
    choice.get_by_text("str", exact=True).click()
    choice.locator(".p-select-button__icon").click(force=True)
    options = pages.page.locator(".p-select-option")
    expect(options.filter(has_text=SLOW).first).to_be_visible()
    options.filter(has_text="quickstart").first.click()
    pages.open_run(pages.submit())
    pages.expect_state("Completed")


def test_a_restore_asks_where_to(pages: ControlRoomPages, home: Path) -> None:
    form = pages.open_form("restore/quickstart")
    target = home / "from the browser"
    form.locator(".schema-form-property").filter(has_text="Directory of this machine").locator("textarea").fill(
        str(target)
    )
    pages.picture("run-form", height=1180)
    pages.open_run(pages.submit())
    pages.expect_state("Completed")
    assert len(list(target.rglob("*.py"))) > 500


def test_what_makes_no_sense_is_refused_in_the_form(pages: ControlRoomPages) -> None:
    form = pages.open_form("restore/quickstart")
    form.locator(".schema-form-property").filter(has_text="Directory of this machine").locator("textarea").fill("here")
    with pages.page.expect_response(re.compile("create_flow_run|validate")):
        pages.page.get_by_role("button", name="Submit").click()
    expect(pages.page.get_by_text("does not match").first).to_be_visible()


def test_a_backup_is_watched_and_cancelled_and_goes_on(pages: ControlRoomPages, home: Path) -> None:
    pages.open_form(f"full-backup/{SLOW}")
    run = pages.submit()
    pages.open_run(run)
    pages.expect_state("Running")
    pages.tab("Artifacts")
    expect(pages.page.get_by_text(re.compile(r"\d+ of \d+ files")).first).to_be_visible(timeout=60_000)
    pages.picture("progress", height=1000)
    pages.page.get_by_role("button", name="Cancel").click()
    pages.page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    pages.expect_state("Cancelled")
    with open_application(home) as application:
        (newest,) = application.runs(SLOW, limit=1)
    assert newest.outcome == "cancelled"
    served = home / "webdav" / "photos"
    assert list((served / "locks").iterdir()) == []
    stored = sum(1 for path in (served / "data").rglob("*") if path.is_file())
    assert stored > 0, "what was uploaded stays"


def test_a_recovery_is_shown_to_a_person_and_approved(pages: ControlRoomPages, home: Path) -> None:
    target = home / "quickstart" / "recovered"
    pages.open_form("execute-disaster-recovery/quickstart")
    run = pages.submit()
    pages.open_run(run)
    pages.expect_state("Paused")
    assert not target.exists()
    pages.page.get_by_role("button", name="Resume").click()
    dialog = pages.page.get_by_role("dialog")
    expect(dialog).to_contain_text("Execute quickstart?")
    expect(dialog).to_contain_text("quickstart/recovered")
    expect(dialog).to_contain_text("Carry out the plan shown above.")
    dialog.locator(".p-toggle__control").click()
    dialog.locator("textarea").fill("checked with the owner")
    pages.picture("approval", height=760)
    dialog.get_by_role("button", name="Submit").click()
    pages.expect_state("Completed")
    assert len(list(target.rglob("*.py"))) > 500


def test_the_storage_report_draws_its_charts(pages: ControlRoomPages) -> None:
    form = pages.open_form("storage-report/daily")
    form.locator(".schema-form-property").filter(has_text="Ask every server").locator(".p-toggle__control").click()
    pages.open_run(pages.submit())
    pages.expect_state("Completed")
    pages.tab("Artifacts")
    pages.page.get_by_text("storage-trend", exact=True).first.click()
    expect(pages.page.get_by_text("By month")).to_be_visible()
    assert pages.drawn_images(6) == [True] * 6
    pages.picture("storage-trend", height=1500)


def test_the_other_pages_of_prefect_draw_them_too(pages: ControlRoomPages) -> None:
    """The second version of Prefect's pages is not shown by itself, because it calls a host of its maker's."""
    pages.go("/v2/artifacts/key/storage-trend")
    pages.page.locator('a[href*="/artifacts/artifact/"]').first.click()
    expect(pages.page.get_by_text("By month").first).to_be_visible()
    assert pages.drawn_images(6) == [True] * 6
    assert all("amplitude.com" in address for address in pages.outside)
    pages.outside.clear()
