from __future__ import annotations

from typing import Final

from tests.unit.rules.story import Firing, Moment, Recorded, Story, merged, series

RESOURCES: Final = ("clusterserviceversions", "clusterversions", "hyperconvergeds", "subscriptions")
"""What the skew rests on."""

ALWAYS: Final = "x600"
"""Longer than any story: ten hours of minutes, fifty of long steps."""

LONG_STEPS: Final = "5m"
"""Between samples and evaluations of a story that takes a day: in minutes it would run for seconds."""

A: Final = {"job": "virt-upgrade-exporter", "instance": "10.128.0.7:8443"}
B: Final = {"job": "virt-upgrade-exporter", "instance": "10.129.0.9:8443"}

FIX_BEHIND: Final = (
    "OpenShift Virtualization is behind: let its update run. Approve its InstallPlan if one waits for "
    "approval; otherwise see in the Subscription and the catalog what holds it."
)
FIX_AHEAD: Final = (
    "OpenShift Virtualization is ahead and cannot be taken back: update OpenShift to the same minor "
    "version, or let its running update finish."
)


def exporter(
    skew: str,
    target: dict[str, str] = A,
    *,
    since: str | None = None,
    not_fresh: dict[str, str] | None = None,
    openshift: str = "4.18.9",
    operator: str = "4.16.4",
    cluster: str = "",
) -> dict[str, str]:
    """What one replica shows; `not_fresh` has the freshness of the resources that are not always fresh."""
    hub = {"cluster": cluster} if cluster else {}
    fresh = dict.fromkeys(RESOURCES, f"1+0{ALWAYS}") | (not_fresh or {})
    since_series = series(
        "virt_upgrade_condition_since_timestamp_seconds",
        since or f"_{ALWAYS}",
        target,
        hub,
        condition="version_skew",
    )
    return merged(
        [
            series("virt_upgrade_version_skew", skew, target, hub),
            since_series,
            # Another condition has held since the epoch: it must not count for this one.
            series(
                "virt_upgrade_condition_since_timestamp_seconds",
                f"0+0{ALWAYS}",
                target,
                hub,
                condition="outdated_vms",
            ),
            series(
                "virt_upgrade_openshift_info",
                f"1+0{ALWAYS}",
                target,
                hub,
                version=openshift,
                minor=openshift.rpartition(".")[0],
                channel="stable-4.18",
            ),
            series(
                "virt_upgrade_operator_info",
                f"1+0{ALWAYS}",
                target,
                hub,
                version=operator,
                minor=operator.rpartition(".")[0],
                operator_namespace="openshift-cnv",
                package="kubevirt-hyperconverged",
                csv=f"kubevirt-hyperconverged-operator.v{operator}",
            ),
            *(
                series("virt_upgrade_exporter_resource_fresh", values, target, hub, resource=resource)
                for resource, values in fresh.items()
            ),
            # A resource that has nothing to do with the skew, and is forbidden.
            series("virt_upgrade_exporter_resource_fresh", f"0+0{ALWAYS}", target, hub, resource="kubevirts"),
        ]
    )


def firing(
    skew: str,
    fix: str = FIX_BEHIND,
    *,
    openshift: str = "4.18.9",
    operator: str = "4.16.4",
    cluster: str = "",
) -> Firing:
    where = f"Cluster {cluster}: " if cluster else ""
    return Firing(
        severity="warning",
        summary="OpenShift Virtualization and OpenShift are of different minor versions.",
        description=(
            f"{where}OpenShift Virtualization {operator} runs on OpenShift {openshift}. That is a skew of "
            f"{skew} in minor versions, and only 0 is supported. {fix}"
        ),
        labels={"cluster": cluster} if cluster else {},
    )


def skew_recorded(at: str, samples: dict[str, float]) -> tuple[Recorded, ...]:
    return (Recorded(at, "cluster:virt_upgrade_version_skew:max", samples),)


def tell(
    name: str,
    shown: dict[str, str],
    *moments: Moment,
    recorded: tuple[Recorded, ...] = (),
    interval: str = "1m",
) -> Story:
    return Story(name, "VersionSkew", shown, moments, recorded, interval)


TWO_BEHIND: Final = f"-2+0{ALWAYS}"
ONE_BEHIND: Final = f"-1+0{ALWAYS}"

STORIES: Final = (
    tell("same minor", exporter(f"0+0{ALWAYS}"), Moment("30m"), Moment("3h")),
    tell(
        "two behind",
        exporter(TWO_BEHIND),
        Moment("14m"),
        Moment("15m", (firing("-2"),)),
        Moment("3h", (firing("-2"),)),
        recorded=(
            *skew_recorded("1m", {"{}": -2}),
            Recorded(
                "1m",
                "cluster:virt_upgrade_openshift_info:max",
                {'{version="4.18.9",minor="4.18",channel="stable-4.18"}': 1},
            ),
            Recorded(
                "1m",
                "cluster:virt_upgrade_operator_info:max",
                {
                    '{operator_namespace="openshift-cnv",package="kubevirt-hyperconverged",'
                    'csv="kubevirt-hyperconverged-operator.v4.16.4",version="4.16.4",minor="4.16"}': 1
                },
            ),
        ),
    ),
    tell(
        "ahead",
        exporter(f"1+0{ALWAYS}", operator="4.19.0"),
        Moment("14m"),
        Moment("15m", (firing("+1", FIX_AHEAD, operator="4.19.0"),)),
    ),
    tell(
        "one behind for a day",
        exporter(ONE_BEHIND, since=f"0+0{ALWAYS}", operator="4.17.5"),
        Moment("15m"),
        Moment("23h55m"),
        Moment("24h", (firing("-1", operator="4.17.5"),)),
        interval=LONG_STEPS,
    ),
    tell(
        "one behind for 23 hours",
        exporter("-1+0x276 0+0x300", since="0+0x276 _x300"),
        Moment("23h"),
        Moment("24h"),
        Moment("30h"),
        interval=LONG_STEPS,
    ),
    tell(
        "one behind, and counted from the second update of OpenShift",
        exporter("0+0x119 -1+0x400", since="_x120 36000+0x400", operator="4.17.5"),
        Moment("33h55m"),
        Moment("34h", (firing("-1", operator="4.17.5"),)),
        interval=LONG_STEPS,
    ),
    tell("one behind, since when is unknown", exporter(ONE_BEHIND), Moment("30h"), interval=LONG_STEPS),
    tell(
        "one behind, then two",
        exporter("-1+0x300 -2+0x100", since="0+0x300 90300+0x100"),
        Moment("25h", (firing("-1"),)),
        Moment("25h5m", (firing("-2"),)),
        interval=LONG_STEPS,
    ),
    tell(
        "resolved",
        exporter("-2+0x60 0+0x60"),
        Moment("1h", (firing("-2"),)),
        Moment("1h1m"),
    ),
    tell(
        "too short",
        exporter("0+0x10 -2+0x13 0+0x60"),
        Moment("23m"),
        Moment("25m"),
    ),
    tell(
        "two replicas count once",
        merged([exporter(TWO_BEHIND, A), exporter(TWO_BEHIND, B)]),
        Moment("15m", (firing("-2"),)),
        recorded=skew_recorded("15m", {"{}": -2}),
    ),
    tell(
        "one of two replicas goes and comes back",
        merged([exporter("-2+0x20 stale _x9 -2+0x60", A), exporter(TWO_BEHIND, B)]),
        Moment("20m", (firing("-2"),)),
        Moment("22m", (firing("-2"),)),
        Moment("40m", (firing("-2"),)),
    ),
    tell(
        "the only replica goes",
        exporter("-2+0x20 stale _x60"),
        Moment("20m", (firing("-2"),)),
        Moment("21m"),
    ),
    *(
        tell(
            f"{resource} not fresh",
            exporter(TWO_BEHIND, not_fresh={resource: f"0+0{ALWAYS}"}),
            Moment("15m"),
            Moment("3h"),
            recorded=skew_recorded("15m", {}),
        )
        for resource in RESOURCES
    ),
    tell(
        "data becomes stale, and fresh again",
        exporter(TWO_BEHIND, not_fresh={"clusterversions": "1+0x30 0+0x29 1+0x100"}),
        Moment("30m", (firing("-2"),)),
        Moment("31m"),
        Moment("1h15m"),
        Moment("1h16m", (firing("-2"),)),
    ),
    tell(
        "one behind with stale data",
        exporter(ONE_BEHIND, since=f"0+0{ALWAYS}", not_fresh={"hyperconvergeds": f"0+0{ALWAYS}"}),
        Moment("25h"),
        interval=LONG_STEPS,
    ),
    tell(
        "a stale replica remembers what is over",
        merged(
            [
                exporter(f"1+0{ALWAYS}", A, not_fresh={"clusterversions": f"0+0{ALWAYS}"}, operator="4.19.0"),
                exporter(f"0+0{ALWAYS}", B),
            ]
        ),
        Moment("1h"),
        recorded=skew_recorded("1h", {"{}": 0}),
    ),
    tell(
        "no HyperConverged in the cluster, which is known",
        # Absence that was confirmed is fresh.
        exporter(TWO_BEHIND, not_fresh={"hyperconvergeds": f"1+0{ALWAYS}"}),
        Moment("15m", (firing("-2"),)),
    ),
    tell(
        "HyperConverged becomes forbidden",
        # What was read before stays on the page, but it is not fresh any more.
        exporter(TWO_BEHIND, not_fresh={"hyperconvergeds": f"1+0x30 0+0{ALWAYS}"}),
        Moment("30m", (firing("-2"),)),
        Moment("31m"),
        Moment("3h"),
    ),
    tell(
        "no ClusterVersion: not OpenShift, so no skew",
        exporter(f"_{ALWAYS}"),
        Moment("1h"),
        recorded=skew_recorded("1h", {}),
    ),
    tell(
        "two clusters on a hub, one behind, scraped under one address",
        merged(
            [
                exporter(TWO_BEHIND, A, cluster="paris"),
                exporter(f"0+0{ALWAYS}", A, cluster="tokyo", operator="4.18.3"),
            ]
        ),
        Moment("15m", (firing("-2", cluster="paris"),)),
        recorded=skew_recorded("15m", {'{cluster="paris"}': -2, '{cluster="tokyo"}': 0}),
    ),
    tell(
        "two clusters on a hub, both unsupported, each with its own text",
        merged(
            [
                exporter(TWO_BEHIND, A, cluster="paris"),
                exporter(TWO_BEHIND, B, cluster="paris"),
                exporter(ONE_BEHIND, A, cluster="tokyo", operator="4.17.5", since=f"0+0{ALWAYS}"),
            ]
        ),
        Moment("23h", (firing("-2", cluster="paris"),)),
        Moment("24h", (firing("-2", cluster="paris"), firing("-1", cluster="tokyo", operator="4.17.5"))),
        interval=LONG_STEPS,
    ),
    tell(
        "two clusters on a hub, both one behind, one of them for 23 hours",
        merged(
            [
                exporter(ONE_BEHIND, A, cluster="paris", operator="4.17.5", since=f"0+0{ALWAYS}"),
                exporter(ONE_BEHIND, A, cluster="tokyo", operator="4.17.5", since=f"43200+0{ALWAYS}"),
            ]
        ),
        Moment("35h", (firing("-1", cluster="paris", operator="4.17.5"),)),
        interval=LONG_STEPS,
    ),
    tell(
        "two clusters on a hub, one of them stale",
        merged(
            [
                exporter(TWO_BEHIND, A, cluster="paris", not_fresh={"subscriptions": f"0+0{ALWAYS}"}),
                exporter(TWO_BEHIND, A, cluster="tokyo"),
            ]
        ),
        Moment("15m", (firing("-2", cluster="tokyo"),)),
    ),
    tell(
        "which version of OpenShift is not recorded: the alert fires all the same",
        {
            name: values
            for name, values in exporter(TWO_BEHIND).items()
            if not name.startswith("virt_upgrade_openshift_info")
        },
        Moment("15m", (firing("-2", openshift="(version unknown)"),)),
    ),
    Story(
        "a shortened story: minutes are seconds",
        "VersionSkew",
        exporter("-2+0x12 0+0x12 -1+0x400", since="_x26 130+0x400"),
        (
            Moment("10s"),
            Moment("15s", (firing("-2"),)),
            Moment("90s"),
            # A sixtieth of a day after second 130.
            Moment("1565s"),
            Moment("1570s", (firing("-1"),)),
        ),
        interval="5s",
        divisor=60,
    ),
)
