"""Which addresses are handed to fsspec. Apart from what opens them, so that checking an address imports nothing."""

from __future__ import annotations

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})
"""Schemes of stores that show an object only when it is whole, and need no directories."""

FSSPEC_SCHEMES = OBJECT_STORES | {"sftp", "ssh", "smb", "hdfs", "webhdfs"}
"""Schemes that are handed to fsspec."""
