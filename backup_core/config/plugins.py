"""Plugins of the package that checks configurations."""

from __future__ import annotations


def pass_over_plugins() -> None:
    """Keep pydantic from searching the metadata of all installed packages for plugins, a twentieth of a start.

    Only this process is to do without them, not the programs it starts: so its variable is not set.
    """
    from pydantic.plugin import _loader

    if _loader._plugins is None:
        _loader._plugins = {}
