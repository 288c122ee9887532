"""docs/tutorial.md is what the commands print today."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_tutorial_is_true() -> None:
    # A process of its own: it sets the time zone and the clock for everything in it.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DAVAULT")}
    environment["TMPDIR"] = "/tmp"
    words = [sys.executable, str(PROJECT / "tools" / "tutorial.py")]
    done = subprocess.run(words, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    advice = "if this is as it should be: python tools/tutorial.py --write"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{advice}"
