"""How an expression reads a metric: only what is known now, once a cluster.

The exporter keeps its last facts on the page when it loses sight of the API server. So a sample counts
only while its own instance says that all resources behind it are fresh; a resource that is forbidden or
not yet synced is not fresh, one that the cluster does not have is. Which resources those are is taken
from the declaration of the family. The maximum makes one sample of those of two replicas.
"""

from __future__ import annotations

from typing import Any

from exporter.facts.family import Subject

_KNOWN = (
    "max by ({by}) ({selector} and on (cluster, instance) "
    '(min by (cluster, instance) (virt_upgrade_exporter_resource_fresh{{resource=~"{resources}"}}) == 1))'
)


def known(subject: Subject[Any], family: str, *by: str, where: str = "") -> str:
    """PromQL for the samples of a family that are known to be true now.

    Args:
        subject: who works the samples out. A family may be shared by several subjects, and those of one
            must not fall silent over the resources of another.
        family: name of the metric.
        by: labels to keep besides `cluster`, which is kept always and may be absent.
        where: label matchers, as they stand between the braces.

    Raises:
        ValueError: the subject declares no such family, or none that rests on the cluster's resources.
    """
    resources = sorted(
        {
            resource.plural
            for rule in subject.rules
            if rule.family.name == family
            for resource in rule.resources
        }
    )
    if not resources:
        raise ValueError(f"subject {subject.name} declares no {family} that rests on a resource")
    return _KNOWN.format(
        by=", ".join(("cluster", *by)),
        selector=f"{family}{{{where}}}" if where else family,
        resources="|".join(resources),
    )
