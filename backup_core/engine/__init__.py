"""From a source tree into a repository and back: scan, back up, restore, verify."""
