"""The numbers in the rules that an administrator may want to change.

An expression names one as `@NAME@`. All are times in seconds, and their names say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE


@dataclass(frozen=True)
class Threshold:
    """One number, and what changing it changes."""

    name: str
    seconds: int
    meaning: str


THRESHOLDS: Final = (
    Threshold(
        "VERSION_SKEW_ONE_BEHIND_SECONDS",
        24 * HOUR,
        "How long OpenShift Virtualization may be one minor version behind after an OpenShift update.",
    ),
)
