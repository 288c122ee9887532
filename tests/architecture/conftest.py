"""The product's source files, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("backup_core", "flows", "deployments")


@dataclass(frozen=True)
class Source:
    """One module."""

    name: str
    """Dotted."""
    path: str
    """Relative to the project."""
    text: str
    tree: ast.Module

    def below(self, *packages: str) -> bool:
        """True when the module is one of these, or lies in one of them."""
        return any(self.name == p or self.name.startswith(p + ".") for p in packages)


def _load(path: Path) -> Source:
    relative = path.relative_to(PROJECT)
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Source(name, str(relative), text, ast.parse(text, filename=str(relative)))


@pytest.fixture(scope="session")
def sources() -> Sequence[Source]:
    """Every module of the product."""
    return [_load(p) for package in PACKAGES for p in sorted((PROJECT / package).rglob("*.py"))]


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the project."""
    return PROJECT
