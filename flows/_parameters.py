"""What people may type into the run forms of the flows: types with bounds and choices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

BackupKind = Literal["full", "incremental"]
Depth = Literal["quick", "data", "restore"]
Overwrite = Literal["always", "if-changed", "if-newer", "never"]

ConfigurationName = Annotated[str, Field(min_length=1, max_length=200, examples=["重要文档"])]
HostLabel = Annotated[str, Field(min_length=1, max_length=200, examples=["web-1"])]
"""The label of a machine, as configurations name it."""
BackupId = Annotated[str, Field(min_length=8, max_length=300)]
Pattern = Annotated[str, Field(min_length=1, max_length=4096)]
Directory = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[/~]", examples=["/srv/restored"])]
"""An absolute directory of the machine that runs the flow."""
Subset = Annotated[
    str, Field(pattern=r"^(\d+/\d+|\d+(\.\d+)?%|\d+(\.\d+)?[KMGT]?i?B?)$", examples=["1/7", "5%", "500M"])
]
Unused = Annotated[
    str, Field(pattern=r"^(unlimited|\d+(\.\d+)?%|\d+(\.\d+)?[KMGT]?i?B?)$", examples=["5%", "500M", "0", "unlimited"])
]
"""How much unneeded data may stay."""
