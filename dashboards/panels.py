"""What is shown, and how to read it: the table of dashboards, panels and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from exporter.facts import versions
from rules.known import known

Colour: TypeAlias = Literal["green", "orange", "red"]

CLUSTER: Final = 'cluster=~"$cluster"'
"""Matcher for the clusters that the viewer chose; "all" also matches series without the label."""

_SKEW: Final = known(versions.SUBJECT, "virt_upgrade_version_skew", where=CLUSTER)


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    expression: str
    legend: str
    """Name of each line; `{{label}}` stands for the value of a label."""


@dataclass(frozen=True)
class Band:
    """A colour for the values from `start` up to the next band; the first begins at None."""

    start: float | None
    colour: Colour


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Whole numbers over time, as steps."""

    title: str
    question: str
    """The question that the panel answers."""
    reading: str
    """What its values mean."""
    queries: tuple[Query, ...]
    unit: str
    """As Grafana calls it."""
    bands: tuple[Band, ...]
    axis: tuple[int, int]
    """What the axis shows at least; a value outside makes it longer."""


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    name: str
    """File name, and with a prefix the stable identity that links point to."""
    title: str
    description: str
    panels: tuple[Panel, ...]


DASHBOARDS: Final = (
    Dashboard(
        name="upgrade-overview",
        title="OpenShift Virtualization upgrades",
        description="Whether OpenShift Virtualization is up to date and supported, and what its updates do.",
        panels=(
            Panel(
                title="Version skew",
                question="Do OpenShift Virtualization and OpenShift run the same minor version?",
                reading=(
                    "Minor version of OpenShift Virtualization minus that of OpenShift. 0 is supported. -1 "
                    "is normal for up to a day after an OpenShift update, until OpenShift Virtualization has "
                    "followed. Below that its update is overdue; above 0 it is too new for this OpenShift. "
                    "A gap means that the skew was not known."
                ),
                queries=(Query(_SKEW, "skew {{cluster}}"),),
                unit="none",
                # The values are whole; a band that began at one of them would split its line's colour.
                bands=(Band(None, "red"), Band(-1.5, "orange"), Band(-0.5, "green"), Band(0.5, "red")),
                axis=(-3, 2),
            ),
        ),
    ),
)
