"""Backups of what lives: commands around a backup, commands whose output is backed up, room, several at once."""
