"""Prefect flows: backups, validation and restore as runs that can be scheduled, watched, cancelled and retried.

All work is done by ``backup_core``; a flow gives it a name, retries, one writer per repository, progress and a report.
Nothing here imports Prefect at import time of the package, so that settings may still be chosen by whoever starts.
"""

import logging

# Prefect attaches its handler to this logger (PREFECT_LOGGING_EXTRA_LOGGERS) but sets no level, and INFO would vanish.
logging.getLogger("backup_core").setLevel(logging.INFO)
