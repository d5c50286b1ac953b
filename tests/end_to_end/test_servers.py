"""The real servers themselves: each starts, answers and stops, and does what stories rely on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import StartAlertmanager, StartPrometheus
from tests.servers import (
    ApiError,
    ErrorStatus,
    Etcd,
    KubeApiServer,
    RealCluster,
    ServerFailed,
    User,
    Webhook,
    clean_cluster,
    eventually,
    scrape_config,
)
from tests.servers.process import free_port, http_json, owns_listener

pytestmark = [pytest.mark.real, pytest.mark.long]

ROOT = Path(__file__).parents[2]
OLM = "operators.coreos.com/v1alpha1"
SUBSCRIPTIONS = f"/apis/{OLM}/subscriptions"
RESOURCE = "subscriptions.operators.coreos.com"
NAMESPACE = "openshift-cnv"

OLD: dict[str, Any] = {
    "creationTimestamp": "2025-01-01T00:00:00Z",
    "uid": "11111111-2222-3333-4444-555555555555",
    "managedFields": [
        {
            "manager": "olm",
            "operation": "Update",
            "apiVersion": OLM,
            "time": "2025-01-02T03:04:05Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {"f:state": {}}},
            "subresource": "status",
        }
    ],
}


def subscription(name: str = "hco", *, channel: str = "stable", **metadata: Any) -> dict[str, Any]:
    """A Subscription that the product's own schema accepts, too."""
    return {
        "apiVersion": OLM,
        "kind": "Subscription",
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "spec": {"name": "hco", "source": "catalog", "sourceNamespace": "market", "channel": channel},
        "status": {"state": "AtLatestKnown", "lastUpdated": "2025-01-02T03:04:05Z"},
    }


ODDITY = {"apiVersion": "example.org/v1", "kind": "Oddity"}


def oddity_crd(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD of a kind that the exporter does not read."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "oddities.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Cluster",
            "names": {"plural": "oddities", "singular": "oddity", "kind": "Oddity"},
            "versions": [version],
        },
    }


async def refusal(cluster: RealCluster, path: str, user: User | None = None, **params: str) -> int:
    """Status of a GET; 200 when it is not refused."""
    try:
        await cluster.client.request("GET", path, token=user.token if user else "", params=params)
    except ApiError as error:
        return error.status
    return 200


# Processes


async def test_etcd_starts_answers_and_stops() -> None:
    async with Etcd() as etcd:
        await etcd.put("/a", {"b": 1})
        found = await etcd.get("/a")
        assert found is not None
        assert found.object == {"b": 1}
        assert found.revision == await etcd.revision()
        await etcd.restart()
        assert await etcd.get("/a") == found
        assert await etcd.delete_prefix("/a") == 1
        directory, pid = etcd.directory, etcd.pid
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    program = tmp_path / "etcd"
    program.write_text("#!/bin/sh\necho cannot do that\nexit 3\n")
    program.chmod(0o755)
    etcd = Etcd(program)
    with pytest.raises(ServerFailed, match=r"code 3 while starting\ncannot do that"):
        await etcd.start()
    await etcd.close()


async def test_an_answer_of_another_server_is_none() -> None:
    # What was started must be what answers: a wipe of somebody else's etcd could not be taken back.
    async with Etcd() as first:
        second = Etcd()
        second._ports = {"main": first.port(), "peer": free_port()}
        with pytest.raises(ServerFailed, match="address already in use"):
            await second.start()
        assert not second.running
        await second.close()
        assert owns_listener(first.pid, first.port())
        assert not owns_listener(os.getpid(), first.port())
        await first.revision()


async def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from tests.servers.etcd import Etcd\n"
        "etcd = Etcd(); etcd.start_blocking()\n"
        "print(etcd.pid, etcd.directory, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, directory = done.stdout.split()

    async def gone() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 0)
            return False
        return not await asyncio.to_thread(Path(directory).exists)

    await eventually(gone, "etcd and its folder gone")


# The API server


async def test_certificate_and_tokens(kube_apiserver: KubeApiServer) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = kube_apiserver.mint()
    cafile = kube_apiserver.cafile
    seen = await asyncio.to_thread(
        http_json, kube_apiserver.url + path, review, token=user.token, cafile=cafile
    )
    assert seen["status"]["userInfo"]["username"] == user.name
    with pytest.raises(ErrorStatus, match="401"):
        await asyncio.to_thread(http_json, kube_apiserver.url + path, review, token="?", cafile=cafile)
    strict = kube_apiserver.ssl_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
    _, writer = await asyncio.open_connection("127.0.0.1", kube_apiserver.port(), ssl=strict)
    writer.close()
    with contextlib.suppress(ssl.SSLError):
        await writer.wait_closed()
    assert kube_apiserver.get("/version")["gitVersion"].startswith("v1.")


async def test_kubeconfig(real_cluster: RealCluster, tmp_path: Path) -> None:
    path = real_cluster.kubeconfig(tmp_path / "config", token="t", namespace="n")
    written = yaml.safe_load(path.read_text())
    assert written["users"] == [{"name": "test", "user": {"token": "t"}}]
    assert written["contexts"][0]["context"]["namespace"] == "n"
    assert written["clusters"][0]["cluster"]["server"] == real_cluster.url
    assert path.stat().st_mode & 0o077 == 0


async def test_an_object_with_its_status(real_cluster: RealCluster) -> None:
    async with real_cluster.client.watch(SUBSCRIPTIONS) as events:
        stored = await real_cluster.apply(subscription())
        assert stored["status"]["state"] == "AtLatestKnown"
        assert [(await anext(events))["type"] for _ in range(2)] == ["ADDED", "MODIFIED"]
        await real_cluster.apply(subscription(channel="candidate"))
        assert (await anext(events))["object"]["spec"]["channel"] == "candidate"
        assert (await real_cluster.apply(subscription(channel="candidate")))["metadata"]["generation"] == 2
        await real_cluster.delete(OLM, "Subscription", "hco", NAMESPACE)
        assert (await anext(events))["type"] == "DELETED"
    assert await real_cluster.get(OLM, "Subscription", "hco", NAMESPACE) is None
    await real_cluster.delete(OLM, "Subscription", "hco", NAMESPACE)


async def test_an_object_from_the_past_is_one_event(real_cluster: RealCluster) -> None:
    async with real_cluster.client.watch(SUBSCRIPTIONS) as events:
        await real_cluster.apply(subscription(**OLD))
        event = await anext(events)
        assert event["type"] == "ADDED"
        assert {key: event["object"]["metadata"][key] for key in OLD} == OLD
        assert event["object"]["status"]["state"] == "AtLatestKnown"
        # An ordinary write afterwards keeps when it was created, and counts on.
        await real_cluster.apply(subscription(channel="candidate"))
        event = await anext(events)
        assert event["type"] == "MODIFIED"
        assert event["object"]["metadata"]["creationTimestamp"] == OLD["creationTimestamp"]
        assert event["object"]["metadata"]["generation"] == 2
        # And one that rewrites history is a modification like any other.
        await real_cluster.apply(subscription(**{**OLD, "creationTimestamp": "2024-06-01T00:00:00Z"}))
        event = await anext(events)
        assert event["type"] == "MODIFIED"
        assert event["object"]["metadata"]["creationTimestamp"] == "2024-06-01T00:00:00Z"
    listed = await real_cluster.client.request("GET", SUBSCRIPTIONS, params={"resourceVersion": "0"})
    assert [each["metadata"]["creationTimestamp"] for each in listed["items"]] == ["2024-06-01T00:00:00Z"]


async def test_objects_from_the_past_are_checked(real_cluster: RealCluster) -> None:
    name = {"type": "string", "enum": ["Good"]}
    part = {"type": "object", "properties": {"name": name}}
    schema = {"type": "object", "properties": {"spec": part, "status": part}}
    await real_cluster.install_crds([oddity_crd(schema)])
    past = {"name": "o", "creationTimestamp": "2025-01-01T00:00:00Z"}
    good = {**ODDITY, "metadata": past, "spec": {"name": "Good"}, "status": {"name": "Good"}}
    bad_status = {**good, "status": {"name": "Bad"}}
    with pytest.raises(ApiError, match=r"spec\.name"):
        await real_cluster.apply({**good, "spec": {"name": "Bad"}})
    with pytest.raises(ApiError, match=r"status\.name"):
        await real_cluster.validate(bad_status)
    assert await real_cluster.get("example.org/v1", "Oddity", "o") is None
    await real_cluster.apply(good)
    with pytest.raises(ApiError, match=r"status\.name"):
        await real_cluster.apply(bad_status)
    left = await real_cluster.get("example.org/v1", "Oddity", "o")
    assert left is not None
    assert left["status"] == {"name": "Good"}


async def test_built_in_kinds_from_the_past(real_cluster: RealCluster) -> None:
    taint = {
        "key": "node.kubernetes.io/unschedulable",
        "effect": "NoSchedule",
        "timeAdded": "2025-03-01T00:00:00Z",
    }
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "worker-0", "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": {"unschedulable": True, "taints": [taint]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    stored = await real_cluster.apply(node)
    assert stored["metadata"]["creationTimestamp"] == "2025-01-01T00:00:00Z"
    assert stored["spec"]["taints"] == [taint]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "virt-launcher",
            "namespace": "vms",
            "creationTimestamp": "2025-02-01T00:00:00Z",
            "deletionTimestamp": "2025-03-01T00:00:00Z",
            "deletionGracePeriodSeconds": 30,
        },
        "spec": {"nodeName": "worker-0", "containers": [{"name": "compute", "image": "i"}]},
        "status": {"phase": "Running"},
    }
    stored = await real_cluster.apply(pod)
    assert stored["metadata"]["deletionTimestamp"] == "2025-03-01T00:00:00Z"
    assert stored["status"]["phase"] == "Running"


async def test_wipe(real_cluster: RealCluster) -> None:
    user = real_cluster.user()
    await real_cluster.apply(subscription(finalizers=["example.org/never"]))
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "state", "namespace": "x"}}
    await real_cluster.apply(configmap)
    await real_cluster.allow(user, RESOURCE)
    await real_cluster.allow(user, RESOURCE, namespace="x")
    async with real_cluster.client.watch(SUBSCRIPTIONS) as events:
        await real_cluster.wipe()
        assert (await anext(events))["type"] == "DELETED"
    assert await real_cluster.list(OLM, "Subscription") == []
    assert await real_cluster.get("v1", "ConfigMap", "state", "x") is None
    assert len(await real_cluster.list("v1", "Namespace")) == 4
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 403
    await real_cluster.apply(subscription())


async def test_permissions(real_cluster: RealCluster) -> None:
    user = real_cluster.user()
    one_namespace = SUBSCRIPTIONS.replace("subscriptions", f"namespaces/{NAMESPACE}/subscriptions")
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 403
    await real_cluster.allow(user, [RESOURCE, "nodes"])
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 200
    async with real_cluster.client.watch(SUBSCRIPTIONS, token=user.token) as events:
        await real_cluster.forbid(user, RESOURCE)
        assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 403
        assert await refusal(real_cluster, "/api/v1/nodes", user) == 200
        await real_cluster.apply(subscription())
        assert (await anext(events))["type"] == "ADDED"  # what was open stays open
    with pytest.raises(ApiError, match="403"):
        await real_cluster.client.watch(SUBSCRIPTIONS, "0", token=user.token).__aenter__()
    await real_cluster.allow(user, RESOURCE, namespace=NAMESPACE)
    assert await refusal(real_cluster, one_namespace, user) == 200
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 403
    await real_cluster.forbid(user, RESOURCE, ["list"], namespace=NAMESPACE)
    assert await refusal(real_cluster, one_namespace, user) == 403
    assert await refusal(real_cluster, f"{one_namespace}/hco", user) == 200


async def test_a_service_account_is_a_user(real_cluster: RealCluster) -> None:
    user = await real_cluster.service_account("monitoring", "exporter")
    assert user.name == "system:serviceaccount:monitoring:exporter"
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 403
    await real_cluster.allow(user, RESOURCE)
    assert await refusal(real_cluster, SUBSCRIPTIONS, user) == 200


async def test_old_pages_and_versions_expire(real_cluster: RealCluster) -> None:
    for number in range(3):
        await real_cluster.apply(subscription(f"s{number}"))
    page = await real_cluster.client.request("GET", SUBSCRIPTIONS, params={"limit": "1"})
    metadata = page["metadata"]
    assert await refusal(real_cluster, SUBSCRIPTIONS, limit="1", **{"continue": metadata["continue"]}) == 200
    await real_cluster.expire_pages()
    assert await refusal(real_cluster, SUBSCRIPTIONS, limit="1", **{"continue": metadata["continue"]}) == 410
    await real_cluster.expire_versions()
    async with real_cluster.client.watch(SUBSCRIPTIONS, metadata["resourceVersion"]) as events:
        event = await anext(events)
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410
    assert event["object"]["reason"] == "Expired"


async def test_restart_keeps_objects_and_ends_watches(real_cluster: RealCluster) -> None:
    stored = await real_cluster.apply(subscription(**OLD))
    port, pid = real_cluster.api.port(), real_cluster.api.pid
    async with real_cluster.client.watch(SUBSCRIPTIONS) as events:
        began = time.monotonic()
        await real_cluster.api.restart()
        assert time.monotonic() - began < 30
        assert [event async for event in events] == []
    assert real_cluster.api.port() == port
    assert real_cluster.api.pid != pid
    assert await real_cluster.get(OLM, "Subscription", "hco", NAMESPACE) == stored
    revoked = real_cluster.user()
    await real_cluster.allow(revoked, RESOURCE)
    await real_cluster.api.revoke(revoked)
    assert await refusal(real_cluster, SUBSCRIPTIONS, revoked) == 401


async def test_crds_come_and_go(real_cluster: RealCluster) -> None:
    before = await real_cluster.crd_names()
    await real_cluster.apply(subscription())
    await real_cluster.remove_crd(RESOURCE)
    assert await refusal(real_cluster, SUBSCRIPTIONS) == 404
    with pytest.raises(LookupError):
        await real_cluster.apply(subscription())
    await real_cluster.install_crds([oddity_crd({"type": "object"})])
    await real_cluster.apply({**ODDITY, "metadata": {"name": "o"}})
    await real_cluster.install_crds([oddity_crd({"type": "object", "description": "another"})])
    assert await real_cluster.list("example.org/v1", "Oddity") == []
    async with clean_cluster(real_cluster.api) as cleaned:
        assert await cleaned.crd_names() == before
        assert await cleaned.list(OLM, "Subscription") == []


# Prometheus and Alertmanager


async def test_an_alert_reaches_the_webhook(
    prometheus: StartPrometheus, alertmanager: StartAlertmanager, webhook: Webhook
) -> None:
    route = {"receiver": "webhook", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"}
    manager = await alertmanager({"route": route, "receivers": [webhook.receiver()]})
    rule = {"alert": "Always", "expr": "vector(1) == 1", "labels": {"severity": "info"}}
    rules = {"groups": [{"name": "g", "interval": "1s", "rules": [rule]}]}
    server = await prometheus(scrape_config("self", "127.0.0.1:1"), [rules], alertmanager=manager)

    notification = await webhook.wait_for(lambda each: each["status"] == "firing")
    assert notification["alerts"][0]["labels"] == {"alertname": "Always", "severity": "info"}
    assert [alert["labels"]["alertname"] for alert in await server.alerts()] == ["Always"]
    assert [alert["labels"]["alertname"] for alert in await manager.alerts('severity="info"')] == ["Always"]
    assert await manager.alerts('severity="critical"') == []
    assert (await server.rule_groups())[0]["name"] == "g"

    await server.wait_for('up{job="self"} == 0')
    assert [target["health"] for target in await server.targets()] == ["down"]
    assert await server.value("vector(2)") == 2.0
    assert await server.value("nothing") is None

    await server.reload(scrape_config("itself", f"127.0.0.1:{server.port()}"), [])
    await server.wait_for('up{job="itself"} == 1')
    assert await server.alerts() == []
    with pytest.raises(ErrorStatus):
        await server.reload(rules=["groups: nonsense"])


async def test_a_webhook_that_hears_nothing_says_what_it_heard(
    alertmanager: StartAlertmanager, webhook: Webhook
) -> None:
    route = {"receiver": "webhook", "group_wait": "0s"}
    manager = await alertmanager({"route": route, "receivers": [webhook.receiver()]})
    await manager.post({"labels": {"alertname": "Posted"}})
    await webhook.wait_for(lambda each: each["alerts"][0]["labels"]["alertname"] == "Posted")
    with pytest.raises(TimeoutError, match="Posted firing"):
        await webhook.wait_for(lambda _: False, timeout=0.1)


def test_promtool_and_amtool(promtool: Path, amtool: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: []\n")
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}))
    commands = [str(promtool), "check", "rules", str(rules)], [str(amtool), "check-config", str(config)]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
