"""What the simulated API server does beyond the reflector's contract."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from exporter.simulator import objects
from exporter.simulator.kinds import KINDS
from exporter.simulator.selectors import BadSelector, matcher
from exporter.simulator.server import ApiServer, ServerSettings
from exporter.simulator.storage import Storage, Stored
from tests.contract.watched import catalog

BORN = datetime(2026, 1, 1, tzinfo=UTC)
CATALOGS = "/apis/operators.coreos.com/v1alpha1/catalogsources"


class Cluster:
    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.storage = server.storage
        self.session = session

    async def get(self, path: str, *, accept: str = "*/*", **params: str) -> tuple[int, Any]:
        async with self.session.get(
            self.server.url + path, params=params, headers={"Accept": accept}
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text

    async def watch(self, path: str, count: int, **params: str) -> list[Any]:
        """The first lines of a watch."""
        params |= {"watch": "true"}
        async with self.session.get(self.server.url + path, params=params) as answer:
            return [json.loads(await answer.content.readline()) for _ in range(count)]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    storage = Storage(clock=lambda: BORN)
    settings = ServerSettings(page_token_lifetime=50, bookmark_interval=0.05)
    async with ApiServer(storage, settings) as server, aiohttp.ClientSession() as session:
        yield Cluster(server, session)


async def test_discovery_names_every_kind(cluster: Cluster) -> None:
    _, groups = await cluster.get("/apis")
    found = {
        (group["name"], resource["name"])
        for group in groups["groups"]
        for version in group["versions"]
        for resource in (await cluster.get(f"/apis/{version['groupVersion']}"))[1]["resources"]
    }
    found |= {("", resource["name"]) for resource in (await cluster.get("/api/v1"))[1]["resources"]}
    assert found == {(kind.group, kind.plural) for kind in KINDS}
    assert (await cluster.get("/api"))[1]["versions"] == ["v1"]
    _, group = await cluster.get("/apis/hco.kubevirt.io")
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    assert (await cluster.get("/version"))[1]["major"] == "1"
    assert await cluster.get("/readyz") == (200, "ok")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/apis/nobody.example",
        "/apis/nobody.example/v1/things",
        "/apis/operators.coreos.com/v9/catalogsources",
        "/apis/operators.coreos.com/v1alpha1/things",
        f"{CATALOGS}/a/b/c/d",
    ],
)
async def test_unknown_paths_are_no_pages(cluster: Cluster, path: str) -> None:
    assert await cluster.get(path) == (404, "404 page not found\n")


async def test_pages_are_of_one_snapshot_until_their_token_expires(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        cluster.storage.apply(catalog(name))
    _, first = await cluster.get(CATALOGS, limit="2")
    assert [each["metadata"]["name"] for each in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 1
    cluster.storage.delete("CatalogSource", objects.CATALOG_NAMESPACE, "c")
    token = first["metadata"]["continue"]
    _, second = await cluster.get(CATALOGS, **{"limit": "2", "continue": token})
    assert [each["metadata"]["name"] for each in second["items"]] == ["c"]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    cluster.storage.compact()
    status, expired = await cluster.get(CATALOGS, **{"limit": "2", "continue": token})
    assert (status, expired["reason"], expired["metadata"]) == (410, "Expired", {"continue": token})
    status, _ = await cluster.get(CATALOGS, **{"continue": token, "resourceVersion": "1"})
    assert status == 400
    assert (await cluster.get(CATALOGS, **{"continue": "?"}))[0] == 400


async def test_page_tokens_expire_with_time() -> None:
    now = 0.0
    storage = Storage(clock=lambda: BORN)
    for name in ("a", "b"):
        storage.apply(catalog(name))
    async with (
        ApiServer(storage, monotonic=lambda: now) as server,
        aiohttp.ClientSession() as session,
    ):
        cluster = Cluster(server, session)
        token = (await cluster.get(CATALOGS, limit="1"))[1]["metadata"]["continue"]
        assert (await cluster.get(CATALOGS, **{"continue": token}))[0] == 200
        now = 300.0
        assert (await cluster.get(CATALOGS, **{"continue": token}))[0] == 410


@pytest.mark.parametrize(
    ("params", "status", "reason"),
    [
        ({"resourceVersion": "0"}, 200, None),
        ({"resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"}, 200, None),
        ({"resourceVersion": "1", "resourceVersionMatch": "Exact"}, 410, "Expired"),
        ({"resourceVersion": "99"}, 504, "Timeout"),
        ({"resourceVersion": "x"}, 400, "BadRequest"),
        ({"resourceVersionMatch": "NotOlderThan"}, 422, "Invalid"),
        ({"labelSelector": "a b"}, 400, "BadRequest"),
        ({"fieldSelector": "spec.x=1"}, 400, "BadRequest"),
        ({"watch": "1", "resourceVersionMatch": "NotOlderThan"}, 422, "Invalid"),
        ({"watch": "1", "sendInitialEvents": "true"}, 422, "Invalid"),
    ],
)
async def test_what_a_list_or_watch_may_ask(
    cluster: Cluster, params: dict[str, str], status: int, reason: str | None
) -> None:
    cluster.storage.apply(catalog("a"))
    answered, body = await cluster.get(CATALOGS, **params)
    assert (answered, body.get("reason")) == (status, reason)


async def test_an_expired_watch_is_an_event_or_a_status(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        cluster.storage.apply(catalog(name))
    cluster.storage.compact()
    [event] = await cluster.watch(CATALOGS, 1, resourceVersion="2")
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    cluster.server.settings.expired_watch_as_status = True
    status, body = await cluster.get(CATALOGS, watch="1", resourceVersion="2")
    assert (status, body["reason"]) == (410, "Expired")


async def test_a_watcher_that_missed_compacted_events_is_told(cluster: Cluster) -> None:
    cluster.storage.apply(catalog("a"))
    url, params = (
        cluster.server.url + CATALOGS,
        {"watch": "1", "resourceVersion": str(cluster.storage.revision)},
    )
    async with cluster.session.get(url, params=params) as answer:
        # Both happen before the watch gets its turn.
        cluster.storage.apply(catalog("b"))
        cluster.storage.compact()
        assert json.loads(await answer.content.readline())["object"]["reason"] == "Expired"


async def test_a_watch_sees_selections_begin_and_end(cluster: Cluster) -> None:
    watching = asyncio.create_task(cluster.watch(CATALOGS, 4, labelSelector="team=a", resourceVersion="1"))
    for labels in ({"team": "b"}, {"team": "a"}, {"team": "a", "x": "y"}, {"team": "c"}, {"team": "a"}):
        cluster.storage.apply(catalog("a", labels=labels))
    assert [event["type"] for event in await watching] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]


async def test_metadata_alone_on_demand(cluster: Cluster) -> None:
    cluster.storage.apply(catalog("a"))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    _, listed = await cluster.get(CATALOGS, accept=accept)
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert listed["items"][0].keys() == {"kind", "apiVersion", "metadata"}
    path = f"/apis/operators.coreos.com/v1alpha1/namespaces/{objects.CATALOG_NAMESPACE}/catalogsources/a"
    _, one = await cluster.get(path, accept=accept.replace("MetadataList", "Metadata"))
    assert one["kind"] == "PartialObjectMetadata"
    _, whole = await cluster.get(path)
    assert whole["spec"]
    assert (await cluster.get(path.removesuffix("a") + "b"))[0] == 404


async def test_other_served_versions_are_the_same_objects(cluster: Cluster) -> None:
    cluster.storage.apply(objects.hyperconverged("4.18.3", created=BORN, since=BORN))
    for version in ("v1", "v1beta1"):
        _, listed = await cluster.get(f"/apis/hco.kubevirt.io/{version}/hyperconvergeds")
        assert listed["items"][0]["apiVersion"] == f"hco.kubevirt.io/{version}"


async def test_what_cannot_be_watched_and_what_cannot_be_written(cluster: Cluster) -> None:
    status, _ = await cluster.get("/apis/packages.operators.coreos.com/v1/packagemanifests", watch="1")
    assert status == 405
    async with cluster.session.delete(cluster.server.url + CATALOGS) as answer:
        assert answer.status == 405


async def test_large_lists_are_compressed_for_those_who_take_it(cluster: Cluster) -> None:
    for number in range(300):
        cluster.storage.apply(catalog(f"catalog-{number}"))
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(cluster.server.url + CATALOGS, headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(await answer.read()))["items"]) == 300


def test_writing_what_is_there_is_no_event() -> None:
    storage = Storage(clock=lambda: BORN)
    first = storage.apply(catalog("a"))
    revision = storage.revision
    assert storage.apply(catalog("a")) == first
    assert storage.revision == revision
    changed = catalog("a")
    changed["spec"]["priority"] = 1
    assert storage.apply(changed)["metadata"]["generation"] == 2
    assert storage.apply(catalog("b"))["metadata"]["generation"] == 1


THING = Stored("ns", "thing", 1, b"", {"app": "x", "tier": "front"})


@pytest.mark.parametrize(
    ("labels", "fields", "matches"),
    [
        ("", "", True),
        ("app=x", "", True),
        ("app==x,tier=front", "", True),
        ("app!=x", "", False),
        ("other!=x", "", True),
        ("app", "", True),
        ("!app", "", False),
        ("!olm.copiedFrom", "", True),
        ("app in (x, y)", "", True),
        ("app in (y),tier", "", False),
        ("app notin (y)", "", True),
        ("", "metadata.name=thing", True),
        ("", "metadata.name!=thing", False),
        ("", "metadata.namespace=other", False),
        ("app=x", "metadata.namespace==ns,metadata.name=thing", True),
    ],
)
def test_selectors(labels: str, fields: str, matches: bool) -> None:
    assert matcher(labels, fields)(THING) is matches


@pytest.mark.parametrize(
    ("labels", "fields"), [("a b", ""), ("a in x", ""), ("", "spec.a=1"), ("", "metadata.name")]
)
def test_bad_selectors(labels: str, fields: str) -> None:
    with pytest.raises(BadSelector):
        matcher(labels, fields)
