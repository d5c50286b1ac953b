"""`python -m dashboards [--check]`: write `dashboards/rendered/`, or fail when it is not current."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards.grafana import rendered
from rules import files

FOLDER = Path(__file__).parent / "rendered"

if __name__ == "__main__":
    sys.exit(files.main("dashboards", FOLDER, rendered()))
