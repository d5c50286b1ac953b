"""Fails when a part of the exporter that decides about facts is not covered by tests.

`python -m tests.coverage .coverage.json`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REQUIRED = 95.0
PARTS = (
    "exporter/facts/",
    "exporter/records/",
    "exporter/kube/",
    "exporter/history/",
    "exporter/recording/",
)


def main(report: Path) -> int:
    """Print the share of lines covered in each part; 1 when one is below what is required."""
    files = json.loads(report.read_text())["files"]
    low = False
    for part in PARTS:
        summaries = [each["summary"] for name, each in files.items() if name.startswith(part)]
        lines = sum(each["num_statements"] for each in summaries)
        covered = sum(each["covered_lines"] for each in summaries)
        share = 100 * covered / lines if lines else 0.0
        low |= share < REQUIRED
        print(f"{part:<20} {share:5.1f} % of {lines} lines covered, {REQUIRED:.0f} % required")
    return int(low)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
