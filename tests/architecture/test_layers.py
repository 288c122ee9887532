"""The direction of imports, and which storey may use which foreign package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

# Every foreign package that the product imports, and where. A package that is not here may not be imported at all.
HOMES = {
    "apprise": ("backup_core.services.notices",),
    "alembic": ("backup_core.catalogue",),
    "sqlalchemy": ("backup_core.catalogue",),
    "sqlmodel": ("backup_core.catalogue",),
    "cryptography": ("backup_core.format",),
    "orjson": ("backup_core.format",),
    "pyfastcdc": ("backup_core.format",),
    "pyeclib": ("backup_core.format",),
    "zstandard": ("backup_core.format",),
    "httpcore": ("backup_core.storage.webdav",),
    "httpx": ("backup_core.storage.webdav", "backup_core.testing"),
    "webdav4": ("backup_core.storage.webdav",),
    "fsspec": ("backup_core.storage.fsspec",),
    "keyring": ("backup_core.config",),
    "platformdirs": ("backup_core.config",),
    "pydantic": ("backup_core.config", "flows", "deployments"),
    "pydantic_core": ("backup_core.config",),
    "matplotlib": ("backup_core.reports",),
    "numpy": ("backup_core.reports",),
    "pandas": ("backup_core.reports",),
    "prometheus_client": ("backup_core.reports",),
    "cheroot": ("backup_core.services.embedded",),
    "wsgidav": ("backup_core.services.embedded", "backup_core.services.restoring.browsing"),
    "typer": ("backup_core.cli",),
    "click": ("backup_core.cli",),
    "rich": ("backup_core.cli", "flows.quickstart", "deployments.serve"),
    "tzlocal": ("deployments",),
    "prefect": ("flows", "deployments"),
    "hypothesis": ("backup_core.testing",),
    "pytest": ("backup_core.testing",),
}
OWN = {"backup_core", "flows", "deployments"}


def test_imports_point_downwards(project: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[done.stdout.find("Contracts") :]


def test_foreign_packages_are_used_where_they_belong(sources) -> None:
    wrong = [
        f"{source.path}:{line} imports {package}"
        for source in sources
        for package, line in _imported(source.tree)
        if package not in OWN and not source.below(*HOMES.get(package, ()))
    ]
    assert wrong == []


def test_every_foreign_package_is_declared(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    extras = declared["optional-dependencies"]
    wanted = [*declared["dependencies"], *extras["dev"], *extras["keyring"]]
    plain = {re.split(r"[^a-z0-9_-]", name, maxsplit=1)[0] for name in wanted}
    # These come with another one that is declared, and belong to its interface.
    brought = {"sqlalchemy": "sqlmodel", "numpy": "pandas", "click": "typer", "pydantic_core": "pydantic",
               "prometheus_client": "prometheus-client"}  # fmt: skip
    assert {brought.get(p, p) for p in HOMES} <= plain


def _imported(tree: ast.Module) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name.split(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module.split(".")[0], node.lineno))
    return [(name, line) for name, line in found if name not in sys.stdlib_module_names]
