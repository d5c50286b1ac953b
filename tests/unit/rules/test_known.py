"""How an expression reads a metric."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.facts import subscription, versions
from exporter.facts.shared import SUPPORT_VIOLATION
from exporter.metrics import selfmonitoring
from rules.known import known


def test_rests_on_what_the_family_declares() -> None:
    assert known(versions.SUBJECT, "virt_upgrade_version_skew") == (
        "max by (cluster) (virt_upgrade_version_skew and on (cluster, instance) "
        "(min by (cluster, instance) (virt_upgrade_exporter_resource_fresh{"
        'resource=~"clusterserviceversions|clusterversions|hyperconvergeds|operatorconditions|subscriptions"}'
        ") == 1))"
    )


def test_keeps_labels_and_selects() -> None:
    expression = known(versions.SUBJECT, "virt_upgrade_openshift_info", "version", where='minor="4.18"')
    assert expression.startswith(
        'max by (cluster, version) (virt_upgrade_openshift_info{minor="4.18"} and on '
    )


def test_one_subject_is_not_silenced_by_the_resources_of_another() -> None:
    name = SUPPORT_VIOLATION.name
    assert "clusterversions" in known(versions.SUBJECT, name, where='violation="version_skew"')
    assert "clusterversions" not in known(subscription.SUBJECT, name, where='violation="channel"')


@pytest.mark.parametrize(
    ("subject", "family"),
    [
        (versions.SUBJECT, "virt_upgrade_subscriptions"),
        (selfmonitoring.SUBJECT, "virt_upgrade_exporter_build_info"),
    ],
)
def test_refuses_what_no_resource_vouches_for(subject: Any, family: str) -> None:
    with pytest.raises(ValueError, match=family):
        known(subject, family)
