"""How a repository looks as bytes (restic format, version 2). Pure: no I/O in here."""
