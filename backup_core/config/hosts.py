"""Which machine this is: the label by which configurations say whose files they back up.

Machines that share a catalogue see each other's configurations. The label keeps one from backing up its own
``/srv/data`` under the name of another's.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from backup_core.config.rules import host
from backup_core.errors import ConfigError

HOST_VARIABLE = "DAVAULT_HOST"
"""Environment variable with this machine's label, where its own name will not do."""


def this_host(environment: Mapping[str, str] | None = None) -> str:
    """This machine's label: ``DAVAULT_HOST``, else its name. Raises ``ConfigError`` when the variable holds none."""
    named = (os.environ if environment is None else environment).get(HOST_VARIABLE, "")
    try:
        return host(named or platform.node() or "localhost")
    except ValueError as error:
        raise ConfigError(f"{HOST_VARIABLE} holds no label of a machine: {error}") from error
