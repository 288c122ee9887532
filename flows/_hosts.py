"""How the deployments of one machine are told from those of others."""

from __future__ import annotations

_TAG = "davault-host:"


def host_tag(host: str) -> str:
    """The tag that all deployments of a machine carry."""
    return f"{_TAG}{host}"


def host_of_tags(tags: list[str]) -> str:
    """The machine that a deployment with these tags belongs to, "" for none in particular."""
    return next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), "")
