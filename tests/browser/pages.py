"""The pages of the control room as a person uses them, in a real browser."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Locator, Page, Request, expect, sync_playwright

WIDTH, HEIGHT = 1280, 860
PATIENCE = 180_000
"""Milliseconds that a run may take, and the worker until it begins it."""
_COLOURS = 128
"""Of a picture: enough for pages of few colours, at a third of the size."""
_DRAWN = """async image => {
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const dots = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set();
    for (let at = 0; at < dots.length; at += 4) colours.add(dots.slice(at, at + 4).join());
    return canvas.width > 400 && canvas.height > 100 && colours.size > 3;
}"""
_PATIENCE = 120
"""Seconds for whatever is waited for: the machine may be busy."""
expect.set_options(timeout=_PATIENCE * 1000)
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut")


class ControlRoomPages:
    """One browser window. Every request that leaves this machine is remembered, and not let through."""

    def __init__(self, page: Page, url: str, pictures: Path | None) -> None:
        self.page = page
        self._url = url
        self._pictures = pictures
        self.outside: list[str] = []
        page.route("**/*", lambda route: route.abort() if self._leaves(route.request) else route.continue_())

    def _leaves(self, request: Request) -> bool:
        parts = urlsplit(request.url)
        if parts.scheme in ("data", "blob") or parts.hostname in ("127.0.0.1", "localhost"):
            return False
        self.outside.append(request.url)
        return True

    # ---- places

    def deployments(self) -> dict[str, str]:
        """The identity of each deployment by ``flow/deployment``."""
        flows = {flow["id"]: flow["name"] for flow in self._ask("flows/filter")}
        return {f"{flows[one['flow_id']]}/{one['name']}": one["id"] for one in self._ask("deployments/filter")}

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(f"{self._url}/api/{path}", data=b"{}", method="POST")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            return json.load(answer)

    def go(self, path: str) -> None:
        """Open a page and wait until it is drawn."""
        self.page.goto(f"{self._url}{path}")
        self.page.wait_for_load_state("networkidle")

    def open_form(self, deployment: str) -> Locator:
        """The run form of ``flow/deployment``."""
        self.go(f"/deployments/deployment/{self.deployments()[deployment]}/run")
        expect(self.page.get_by_role("button", name="Submit")).to_be_visible()
        return self.page.locator("form")

    def submit(self) -> str:
        """Send the run form; the identity of the run."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as got:
            self.page.get_by_role("button", name="Submit").click()
        assert got.value.ok, f"{got.value.status}: {got.value.text()}"
        return str(got.value.json()["id"])

    def open_run(self, run: str) -> None:
        """The page of a run."""
        self.go(f"/runs/flow-run/{run}")

    def expect_state(self, *states: str) -> str:
        """Wait until the run that is shown is in one of these states; which."""
        badge = self.page.locator(".state-badge").first
        for _ in range(PATIENCE // 500):
            shown = badge.inner_text().strip() if badge.count() else ""
            if shown in states:
                return shown
            assert shown not in ENDS, f"the run is {shown}"
            self.page.wait_for_timeout(500)
        raise AssertionError(f"the run did not become {' or '.join(states)} in time")

    def tab(self, name: str) -> None:
        """Turn to a tab of the page that is shown."""
        self.page.locator(".p-tab").filter(has_text=re.compile(f"^{name}$")).click()
        self.page.wait_for_timeout(800)

    def drawn_images(self, count: int) -> list[bool]:
        """Of each of so many charts: whether the browser could draw it, with a size and more than one colour."""
        charts = self.page.locator('img[src^="data:image"]')
        expect(charts).to_have_count(count)  # a page may draw itself once more after it has shown some
        return [bool(charts.nth(number).evaluate(_DRAWN)) for number in range(count)]

    def picture(self, name: str, *, height: int = HEIGHT, clip: Locator | None = None) -> None:
        """Take a picture of what is shown, when pictures are wanted."""
        if self._pictures is None:
            return
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        self.page.wait_for_timeout(1200)
        path = self._pictures / f"{name}.png"
        (clip or self.page).screenshot(path=path)
        with Image.open(path) as taken:
            taken.convert("RGB").quantize(_COLOURS).save(path, optimize=True)
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


@contextmanager
def browser(url: str, *, program: str, pictures: Path | None) -> Iterator[ControlRoomPages]:
    """A window of the installed Chromium."""
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root, nor in most containers.
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB")
        try:
            yield ControlRoomPages(page, url, pictures)
        finally:
            chromium.close()
