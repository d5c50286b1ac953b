"""When a person is told, and what they are told: the table of alerts.

What all alerts have in common (the prefix of the name, labels, the address of the runbook) is added when
they are rendered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from exporter.facts import versions
from rules.known import known
from rules.recordings import record_name
from rules.thresholds import MINUTE

Severity: TypeAlias = Literal["info", "warning", "critical"]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert, or one step of a ladder of alerts that share their name."""

    name: str
    """Without the prefix."""
    severity: Severity
    expression: str
    """PromQL. `@NAME@` stands for a threshold, `@FOR@` for this alert's own `for_` in seconds."""
    for_: int
    """Seconds. At most an hour: a longer wait compares a time that the exporter remembers, because
    Prometheus forgets what it has waited when its own node is drained."""
    keep_firing_for: int | None = None
    """Seconds."""
    summary: str
    """One line, in the manner of a commit's subject."""
    description: str
    """One paragraph, a template: what is the case, and what to do."""
    threshold_reason: str
    """Why it fires at this point and not sooner or later."""
    statement_of_the_documentation: str
    """What OpenShift's documentation says that makes this worth an alert."""


_SKEW: Final = known(versions.SUBJECT, "virt_upgrade_version_skew")
_SKEW_SINCE: Final = known(
    versions.SUBJECT, "virt_upgrade_condition_since_timestamp_seconds", where='condition="version_skew"'
)

_FOR_CLUSTER: Final = "{{ with $labels.cluster }}Cluster {{ . }}: {{ end }}"
"""Begins a text; empty where series carry no cluster label."""


def _version(family: str) -> str:
    """Template for the version that an info family names, looked up when the alert is shown.

    As labels of the expression the versions would make a new alert of every update.
    """
    lookup = f'{{{{ with printf "{record_name(family)}{{cluster=%q}}" $labels.cluster | query }}}}'
    return lookup + '{{ . | first | label "version" }}{{ else }}(version unknown){{ end }}'


ALERTS: Final = (
    Alert(
        name="VersionSkew",
        severity="warning",
        # What was waited as `for` counts towards the time of being one behind.
        expression=f"""\
{_SKEW} > 0
or
{_SKEW} < -1
or
(
  {_SKEW} == -1
  and on (cluster)
  time() - {_SKEW_SINCE} >= @VERSION_SKEW_ONE_BEHIND_SECONDS@ - @FOR@
)""",
        for_=15 * MINUTE,
        summary="OpenShift Virtualization and OpenShift are of different minor versions.",
        description=(
            f"{_FOR_CLUSTER}OpenShift Virtualization {_version('virt_upgrade_operator_info')} runs on "
            f"OpenShift {_version('virt_upgrade_openshift_info')}. That is a skew of "
            '{{ $value | printf "%+.0f" }} in minor versions, and only 0 is supported. '
            "{{ if gt $value 0.0 }}"
            "OpenShift Virtualization is ahead and cannot be taken back: update OpenShift to the same minor "
            "version, or let its running update finish."
            "{{ else }}"
            "OpenShift Virtualization is behind: let its update run. Approve its InstallPlan if one waits "
            "for approval; otherwise see in the Subscription and the catalog what holds it."
            "{{ end }}"
        ),
        threshold_reason=(
            "OpenShift is updated first, so one minor version behind is normal until OLM has found and "
            "rolled out the matching operator, which a day is ample for. Ahead, or two behind, is on no "
            "supported path; a quarter of an hour covers the moments in which one version has been read "
            "anew and the other has not."
        ),
        statement_of_the_documentation=(
            "A minor version of OpenShift Virtualization is supported on the same minor version of OpenShift "
            "only, and OpenShift is to be updated before it."
        ),
    ),
)
