"""Versions as OpenShift and its operators write them, and the one line their minors lie on."""

from __future__ import annotations

import re
from typing import Final

_MINOR: Final = re.compile(r"v?(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})(?=[.+-]|$)")

LAST_MINOR_OF_4: Final = 23
"""OLM counts 4.23 and 5.0 as the same minor (operator-lifecycle-manager, `olm.maxOpenShiftVersion`)."""

_HYPERCONVERGED_OFFSET: Final = 4
"""The upstream HyperConverged operator 1.N is shipped as OpenShift Virtualization 4.(N+4)."""


def minor(version: str) -> str:
    """`4.18` of `4.18.3`, `4.18.0-rc.1` or `4.18.0+build`; empty for what is no version."""
    match = _MINOR.match(version)
    return f"{match[1]}.{match[2]}" if match else ""


def openshift_line(version: str) -> int | None:
    """Position of an OpenShift version's minor on the line of all minors; None when it has none."""
    match = _MINOR.match(version)
    if match is None:
        return None
    major, minor_ = int(match[1]), int(match[2])
    if major == 4:
        return minor_
    return LAST_MINOR_OF_4 + minor_ if major == 5 else None


def operator_line(version: str) -> int | None:
    """Position of OpenShift Virtualization's minor on the same line, upstream versions translated."""
    match = _MINOR.match(version)
    if match is not None and int(match[1]) == 1:
        return int(match[2]) + _HYPERCONVERGED_OFFSET
    return openshift_line(version)
