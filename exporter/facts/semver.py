"""Versions as OpenShift and its operators write them, and the one line their minors lie on."""

from __future__ import annotations

import re
from typing import Final

_MINOR: Final = re.compile(r"v?(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})(?=[.+-]|$)")

_FULL: Final = re.compile(
    r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,200}))?(?:\+([0-9A-Za-z.-]{1,200}))?"
)
_REBUILD: Final = re.compile(r"-(0\.\d{6,}\.p)$")
_CSV_NAME: Final = re.compile(r"[^.]*\.v?(\d+\.\d+\.\d+.*)")

Precedence = tuple[
    tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], tuple[tuple[bool, int, str], ...]
]
"""Compares as versions do."""

LAST_MINOR_OF_4: Final = 23
"""OLM counts 4.23 and 5.0 as the same minor (operator-lifecycle-manager, `olm.maxOpenShiftVersion`)."""

_HYPERCONVERGED_OFFSET: Final = 4
"""The upstream HyperConverged operator 1.N is shipped as OpenShift Virtualization 4.(N+4)."""


def minor(version: str) -> str:
    """`4.18` of `4.18.3`, `4.18.0-rc.1` or `4.18.0+build`; empty for what is no version."""
    match = _MINOR.match(version)
    return f"{match[1]}.{match[2]}" if match else ""


def precedence(version: str) -> Precedence | None:
    """How a version compares (semver.org section 11); None for what is no version.

    Versions that differ in their build alone are rebuilds of one version, a later one being newer: OLM's
    catalogs hold `4.11.1+0.1747215995.p` as an update of `4.11.1`.
    """
    match = _FULL.fullmatch(version)
    if match is None:
        return None
    numbers = (int(match[1]), int(match[2]), int(match[3]))
    return numbers, match[4] is None, _identifiers(match[4]), _identifiers(match[5])


def _identifiers(text: str | None) -> tuple[tuple[bool, int, str], ...]:
    """Numbers compare as numbers and before words."""
    return tuple(
        (False, int(each), "") if each.isdecimal() and len(each) < 100 else (True, 0, each)
        for each in (text.split(".") if text else ())
    )


def newer(version: str, than: str) -> bool:
    """One version comes after another; never so where either is no version."""
    ours, theirs = precedence(version), precedence(than)
    return ours is not None and theirs is not None and ours > theirs


def of_csv(name: str) -> str:
    """The version that a ClusterServiceVersion's name ends with; empty when it names none."""
    match = _CSV_NAME.fullmatch(name)
    # A name cannot hold the plus sign of a rebuild.
    return _REBUILD.sub(r"+\1", match[1]) if match else ""


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
