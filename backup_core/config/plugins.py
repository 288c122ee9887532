"""Plugins of the package that checks configurations."""

from __future__ import annotations

_passed_over = False


def pass_over_plugins() -> None:
    """Keep pydantic, when it is loaded, from searching the metadata of all installed packages for plugins, a twentieth
    of a start.

    Only this process is to do without them, not the programs it starts: so its variable is not set.
    """
    global _passed_over  # noqa: PLW0603  # one switch for the process, as pydantic's own
    _passed_over = True


def settle_plugins() -> None:
    """Do what ``pass_over_plugins`` asked for, before the first model is declared."""
    if not _passed_over:
        return
    from pydantic.plugin import _loader

    if _loader._plugins is None:
        _loader._plugins = {}
