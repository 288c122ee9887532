"""Objects by name on a server or a disk. Knows nothing of keys, packs or snapshots."""
