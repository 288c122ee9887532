"""Accounts on WebDAV servers. The same as ``backup_core.services.webdav_service``, under a shorter name."""

from __future__ import annotations

from backup_core.services.webdav_service import WebDAVCredentials, WebDAVService

__all__ = ["WebDAVCredentials", "WebDAVService"]
