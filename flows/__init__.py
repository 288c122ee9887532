"""Prefect flows: backups, validation and restore as runs that can be scheduled, watched, cancelled and retried.

All work is done by ``backup_core``; a flow gives it a name, retries, one writer per repository, progress and a report.
Nothing here imports Prefect at import time of the package, so that settings may still be chosen by whoever starts.
"""

import atexit
import gc
import logging

# Prefect attaches its handler to this logger (PREFECT_LOGGING_EXTRA_LOGGERS) but sets no level, and INFO would vanish.
logging.getLogger("backup_core").setLevel(logging.INFO)

# As the command line does: each run is a process of its own, and the interpreter would look through all that Prefect
# has loaded once more before it ends.
atexit.register(gc.freeze)
