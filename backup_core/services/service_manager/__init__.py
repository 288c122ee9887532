"""The control room as a service of systemd, which starts it with the machine and again when it breaks."""
