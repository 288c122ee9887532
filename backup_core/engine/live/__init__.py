"""Sources that live: commands whose output is backed up, and databases that are written while they are read."""
