"""Families to which several subjects contribute samples."""

from __future__ import annotations

from typing import Final

from exporter.facts.family import Family

SUPPORT_VIOLATION: Final = Family(
    "virt_upgrade_support_violation",
    "1 for each reason why the cluster is out of support, 0 where that reason does not hold.",
    labels=("violation",),
)

CONDITION_SINCE: Final = Family(
    "virt_upgrade_condition_since_timestamp_seconds",
    "Since when a condition has held without interruption; absent while it does not hold.",
    labels=("condition",),
)
