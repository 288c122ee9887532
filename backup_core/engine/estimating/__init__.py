"""What a backup will store, found out by reading a small and fair part of the source."""
