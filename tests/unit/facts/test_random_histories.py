"""Random lives of an operator, and an exporter that is killed, away or cut off at any moment of them."""

from __future__ import annotations

import pytest

from tests.contract.lives import DAYS, live
from tests.effort import tries

HISTORIES = tries(20, 1000)
"""`make soak` has twenty thousand."""
EACH = 10


@pytest.mark.searching
@pytest.mark.parametrize("first", range(0, HISTORIES, EACH))
def test_whatever_happens_updates_are_told_as_they_went(first: int) -> None:
    assert sum(live(seed) for seed in range(first, first + EACH)) > EACH * DAYS
