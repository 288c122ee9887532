"""The WebDAV backend: the only place that speaks HTTP to a storage server."""
