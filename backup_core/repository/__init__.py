"""Encrypted, deduplicated, content-addressed meaning on top of a storage backend."""
