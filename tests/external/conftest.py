"""Tests on objects of real clusters, collected only where `OBJECTS_DIR` names the folder that holds them."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("OBJECTS_DIR") else ["test_*.py"]
