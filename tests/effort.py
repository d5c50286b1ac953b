"""How hard the tests look that search at random: little every day, much in `make test`."""

from __future__ import annotations

import os
from typing import Final

THOROUGH: Final = "VIRT_TEST_THOROUGH"


def tries(everyday: int, thorough: int) -> int:
    """How often to try."""
    return thorough if os.environ.get(THOROUGH) == "1" else everyday
