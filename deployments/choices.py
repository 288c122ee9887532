"""What run forms offer to choose from: the names that the catalogue holds at the time of registering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backup_core.config.models import BackupConfig


@dataclass(frozen=True, slots=True)
class Choices:
    """Names by the parameter that takes them. A parameter without any stays a field for text."""

    by_parameter: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, configs: Iterable[BackupConfig], plans: Iterable[str]) -> Choices:
        """Those of a catalogue."""
        listed = list(configs)
        mirrors = [place.shown for config in listed for place in config.mirrors]
        return cls(
            {
                "configuration": sorted(config.name for config in listed),
                "mirror": sorted(set(mirrors)),
                "plan": sorted(plans),
            }
        )

    def offer(self, properties: dict[str, Any]) -> None:
        """Put the choices into the properties of a parameter schema."""
        for parameter, names in self.by_parameter.items():
            if names and parameter in properties:
                _text_of(properties[parameter])["enum"] = list(names)


def _text_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a parameter's schema that describes text: itself, or one of its alternatives."""
    kinds: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return next(kind for kind in kinds if kind.get("type") == "string")
