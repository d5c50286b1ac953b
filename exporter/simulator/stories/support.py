"""Stories about supported pairs, channels and approval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from exporter.facts.versions import REPORTED_OPERATORS
from exporter.simulator import objects
from exporter.simulator.script import Story, World

INSTALLED: Final = "4.18.8"


def installed(world: World, *, openshift: str = "4.18.14", operator: str = INSTALLED) -> None:
    """A cluster of some age, on which nothing is wrong and nothing is going on."""
    birth = world.ago(days=200)
    world.apply(
        objects.cluster_version(
            [objects.release(openshift, world.ago(days=20), world.ago(days=20, minutes=-52))],
            channel=f"stable-{openshift.rpartition('.')[0]}",
            created=birth,
        ),
        objects.infrastructure(created=birth),
        *(objects.cluster_operator(name, since=birth) for name in REPORTED_OPERATORS),
        objects.catalog_source(created=birth, polled=world.ago(minutes=35)),
        objects.cluster_service_version(
            operator, created=world.ago(days=15), succeeded=world.ago(days=15, minutes=-4)
        ),
        objects.operator_condition(operator, since=world.ago(days=15, minutes=-9)),
        objects.hyperconverged(operator, created=birth, since=world.ago(days=15, minutes=-9)),
        objects.kubevirt("v1.4.1", created=birth),
        objects.subscription(created=birth, installed=objects.csv_name(operator)),
        objects.package_manifest(operator, created=birth),
    )


def healthy(world: World) -> Iterator[float]:
    """A supported pair on the recommended channel; now and then the catalog is looked for."""
    installed(world)
    yield 5
    world.apply(objects.catalog_source(created=world.ago(days=200), polled=world.now))


def channel_candidate(world: World) -> Iterator[float]:
    """Somebody moves the Subscription to the channel `candidate`."""
    installed(world)
    yield 5
    world.apply(
        objects.subscription(
            created=world.ago(days=200), installed=objects.csv_name(INSTALLED), channel="candidate"
        )
    )


def operator_one_minor_behind(world: World) -> Iterator[float]:
    """OpenShift went to 4.19 thirty hours ago and now takes a patch; the operator is still at 4.18."""
    installed(world)
    before = [
        objects.release("4.19.3", world.ago(hours=31), world.ago(hours=30)),
        objects.release("4.18.14", world.ago(days=20), world.ago(days=20, minutes=-52)),
    ]
    birth, channel = world.ago(days=200), "stable-4.19"
    world.apply(objects.cluster_version(before, channel=channel, created=birth))
    yield 5
    started = world.now
    patch = [objects.release("4.19.4", started, None), *before]
    world.apply(objects.cluster_version(patch, channel=channel, created=birth))
    yield 20
    patch = [objects.release("4.19.4", started, world.now), *before]
    world.apply(objects.cluster_version(patch, channel=channel, created=birth))


def operator_two_minors_behind(world: World) -> Iterator[float]:
    """OpenShift went on to 4.20 with the operator left at 4.18."""
    yield from operator_one_minor_behind(world)
    world.apply(
        objects.cluster_version(
            [
                objects.release("4.20.1", world.ago(minutes=70), world.ago(minutes=5)),
                objects.release("4.19.4", world.ago(minutes=90), world.ago(minutes=75)),
                objects.release("4.18.14", world.ago(days=20), world.ago(days=20, minutes=-52)),
            ],
            channel="stable-4.20",
            created=world.ago(days=200),
        )
    )


STORIES: Final = (
    Story(
        "healthy",
        "A supported pair on the recommended channel",
        ("virt_upgrade_version_skew 0", 'virt_upgrade_support_violation{violation="version_skew"} 0'),
        healthy,
    ),
    Story(
        "channel-candidate",
        "Somebody moves the Subscription to the channel candidate after 5 s",
        ("virt_upgrade_channel_recommended 0", 'virt_upgrade_support_violation{violation="channel"} 1'),
        channel_candidate,
    ),
    Story(
        "operator-one-minor-behind",
        "OpenShift went to 4.19 thirty hours ago, the operator is still at 4.18",
        (
            "virt_upgrade_version_skew -1",
            'virt_upgrade_support_violation{violation="version_skew"} 1',
            'virt_upgrade_condition_since_timestamp_seconds{condition="version_skew"}',
        ),
        operator_one_minor_behind,
    ),
    Story(
        "operator-two-minors-behind",
        "OpenShift went on to 4.20 after 25 s with the operator left at 4.18",
        ("virt_upgrade_version_skew -2",),
        operator_two_minors_behind,
    ),
)
