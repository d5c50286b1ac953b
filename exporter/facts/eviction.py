"""What happens to a running VM when its node is drained?

The eviction webhook of KubeVirt decides (kubevirt `pkg/virt-api/webhooks/validating-webhook/admitters/
pod-eviction-admitter.go`), by the *effective* eviction strategy of the running instance and by whether it
can be migrated:

| strategy | migratable | drain |
|---|---|---|
| LiveMigrate | yes | the VM is migrated |
| LiveMigrate | no, or not yet evaluated | the drain is refused until somebody acts |
| LiveMigrateIfPossible | yes | the VM is migrated |
| LiveMigrateIfPossible | no | the VM is shut down |
| External | either | the drain waits until somebody else deletes the instance |
| None, or unset | either | the VM is shut down |

The strategy is the instance's own, else the cluster's (KubeVirt `spec.configuration.evictionStrategy`, from
release 0.51 on), else None. From 1.1 on a webhook writes the cluster's into every new instance, so a later
change of the cluster's strategy does not reach running VMs. A word that a release does not know means
nothing to it.

A VM that is shut down is started again elsewhere only with the run strategy Always. RerunOnFailure starts
what has failed, and a guest that is asked to shut down has not failed.

Where the cluster has a single node nothing is drained: VMs stop with the node.
"""

from __future__ import annotations

from typing import Final

from exporter.facts import semver

NONE: Final = "None"
LIVE_MIGRATE: Final = "LiveMigrate"
IF_POSSIBLE: Final = "LiveMigrateIfPossible"
EXTERNAL: Final = "External"

_SINCE: Final = {LIVE_MIGRATE: (0, 0), EXTERNAL: (0, 53), IF_POSSIBLE: (1, 0)}
"""KubeVirt release that learned a strategy."""
_CLUSTER_WIDE_SINCE: Final = (0, 51)

MIGRATES: Final = "migrates"
RESTARTS: Final = "restarts"
STAYS_DOWN: Final = "stays_down"
BLOCKS: Final = "blocks"
EXTERNALLY: Final = "external"
OUTCOMES: Final = (MIGRATES, RESTARTS, STAYS_DOWN, BLOCKS, EXTERNALLY)

ALWAYS: Final = "Always"

APPLIED: Final = "applied"
RESTART_REQUIRED: Final = "restart_required"
INCOMPLETE: Final = "incomplete"
MISSING: Final = "missing"
WORKAROUNDS: Final = (APPLIED, RESTART_REQUIRED, INCOMPLETE, MISSING)

Release = tuple[int, int] | None
"""Major and minor of KubeVirt; None where unknown, which counts as a present one."""


def release(version: str) -> Release:
    """`v1.6.0-3.g1a2b` as (1, 6); None for what is no version."""
    major, _, minor = semver.minor(version).partition(".")
    return (int(major), int(minor)) if minor else None


def cluster_strategy(configured: str, kubevirt: Release) -> str:
    """The strategy of VMs that name none."""
    honoured = kubevirt is None or kubevirt >= _CLUSTER_WIDE_SINCE
    return (configured if honoured else "") or NONE


def effective(own: str, cluster: str, kubevirt: Release) -> str:
    """The strategy that counts; a word that this release does not know is None."""
    strategy = own or cluster
    since = _SINCE.get(strategy)
    return strategy if since is not None and (kubevirt is None or kubevirt >= since) else NONE


def outcome(strategy: str, *, migratable: bool, comes_back: bool, single_node: bool) -> str:
    """What a drain does to a VM of this effective strategy."""
    after_shutdown = RESTARTS if comes_back else STAYS_DOWN
    if single_node:
        return after_shutdown
    if strategy == EXTERNAL:
        return EXTERNALLY
    if strategy in {LIVE_MIGRATE, IF_POSSIBLE} and migratable:
        return MIGRATES
    return BLOCKS if strategy == LIVE_MIGRATE else after_shutdown


def workaround(running: str, template: str, *, comes_back: bool) -> str:
    """How far the documented way out is taken for a VM that cannot be migrated.

    It is an eviction strategy that lets go, None or LiveMigrateIfPossible, and the run strategy Always.
    Before 4.14 the documentation said to remove the strategy, which came to the same where the cluster had
    none. The strategy of a running instance never changes: a changed template needs a restart.

    Args:
        running: effective strategy of the running instance.
        template: effective strategy that the next instance will have.
        comes_back: the VM is started again after a shutdown.
    """
    if running in {NONE, IF_POSSIBLE}:
        return APPLIED if comes_back else INCOMPLETE
    return RESTART_REQUIRED if template in {NONE, IF_POSSIBLE} else MISSING
