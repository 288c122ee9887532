"""Print what 3 GiB in 20,000 files cost on the double of Nutstore: ``python benchmarks/nutstore.py``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from backup_core.testing.nutstore_job import NutstoreJob

GIB = 1 << 30


def main() -> None:
    """Run the job and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=3.0)
    parser.add_argument("--files", type=int, default=20_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="davault-nutstore-") as folder:
        job = NutstoreJob(Path(folder), size=int(chosen.gib * GIB), files=chosen.files)
        job.make_source()
        for step in job.run():
            methods = " ".join(f"{method} {count}" for method, count in sorted(step.by_method.items()))
            sys.stdout.write(
                f"{step.name:24} {step.requests:5} requests ({methods}), {step.packs} packs, {step.refused} refused, "
                f"{step.waited / 60:.1f} min waited, {step.seconds:.1f} s\n"
            )


if __name__ == "__main__":
    main()
