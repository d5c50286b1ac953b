"""`python -m rules [--check]`: write `rules/rendered/`, or fail when it is not current."""

from __future__ import annotations

import sys
from pathlib import Path

from rules import files
from rules.render import rendered

FOLDER = Path(__file__).parent / "rendered"

if __name__ == "__main__":
    sys.exit(files.main("rules", FOLDER, rendered()))
