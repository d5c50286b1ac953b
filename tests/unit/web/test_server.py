"""The pages, the probes and the end, on a simulated cluster in this process."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import logs
from exporter.facts.cluster import Availability
from exporter.kube.credentials import Connection, StaticCredentials
from exporter.metrics.exposition import Format
from exporter.pipeline import LivePipeline, Pipeline
from exporter.service import ServiceError, running
from exporter.simulator.audience import SimulatedCluster
from exporter.simulator.faults import Spoiled, Verb, html, refusal
from exporter.simulator.script import tell
from exporter.simulator.server import ApiServer, ServerSettings
from exporter.simulator.storage import Storage
from exporter.simulator.stories import STORIES
from exporter.web.status_page import status_page
from tests.contract.watched import QUICK, until


@dataclass
class Served:
    api: ApiServer
    pipeline: Pipeline
    base: str
    session: aiohttp.ClientSession

    async def get(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        # Without automatic decompression, to see what was really sent.
        given = {"Accept-Encoding": "identity"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        async with self.session.get(self.base + path, headers=given) as response:
            return response.status, response.headers.get("Content-Type", ""), await response.read()

    async def ready(self) -> None:
        await until(lambda: not self.pipeline.missing(), "ready")

    async def tell(self, story: str) -> None:
        await tell(STORIES[story], SimulatedCluster(self.api.storage), skip=STORIES[story].length)


@asynccontextmanager
async def served(story: str = "healthy") -> AsyncIterator[Served]:
    storage = Storage(clock=lambda: datetime.now(UTC))
    async with ApiServer(storage, ServerSettings(bookmark_interval=0.2)) as api:
        pipeline = LivePipeline(
            StaticCredentials(Connection(api.url)), settings=QUICK, source="simulator", wall_clock=lambda: 1e9
        )
        async with (
            running(pipeline, ("127.0.0.1", 0)) as (_web, port),
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            each = Served(api, pipeline, f"http://127.0.0.1:{port}", session)
            await each.tell(story)
            yield each


async def test_metrics_in_both_formats_and_compressed() -> None:
    async with served() as each:
        await each.ready()
        await until(lambda: b"virt_upgrade_version_skew 0\n" in each.pipeline.scrape(Format.TEXT))
        status, type_, text = await each.get("/metrics")
        assert (status, type_) == (200, "text/plain; version=0.0.4; charset=utf-8")
        accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        status, type_, openmetrics = await each.get("/metrics", Accept=accept)
        assert (status, type_) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        assert openmetrics.endswith(b"# EOF\n")
        assert openmetrics.count(b"# EOF") == 1
        _, _, compressed = await each.get("/metrics", Accept_Encoding="gzip")
        assert gzip.decompress(compressed).startswith(b"# HELP virt_upgrade_ready ")
        _, _, plain = await each.get("/metrics", Accept_Encoding="gzip;q=0")
        assert plain.startswith(b"# HELP")
        one = {metric.name for metric in parse_text(text.decode())}
        other = {metric.name for metric in parse_openmetrics(openmetrics.decode())}  # type: ignore[no-untyped-call]
        assert {name.removesuffix("_total") for name in one} == {
            name.removesuffix("_total") for name in other
        }
        assert {"process_cpu_seconds", "python_info", "virt_upgrade_exporter_event_latency_seconds"} <= other


async def test_not_ready_names_what_is_missing_and_ready_says_ok() -> None:
    storage = Storage(clock=lambda: datetime.now(UTC))
    api = ApiServer(storage)
    api.faults.add(refusal(503, "ServiceUnavailable", "starting"), resource="subscriptions")
    async with api:
        pipeline = LivePipeline(StaticCredentials(Connection(api.url)), settings=QUICK)
        async with running(pipeline, ("127.0.0.1", 0)) as (_web, port), aiohttp.ClientSession() as session:
            each = Served(api, pipeline, f"http://127.0.0.1:{port}", session)
            wanted = {"events", "jobs", "packagemanifests", "pods", "subscriptions"}
            await until(lambda: set(pipeline.missing()) == wanted, f"{wanted} are missing")
            assert await each.get("/readyz") == (
                503,
                "text/plain; charset=utf-8",
                f"not yet synced: {', '.join(pipeline.missing())}\n".encode(),
            )
            assert (await each.get("/healthz"))[0] == (await each.get("/livez"))[0] == 200
            api.faults.clear()
            await each.ready()
            assert (await each.get("/readyz"))[::2] == (200, b"ok\n")


async def test_forbidden_and_absent_resources_do_not_hold_readiness_up() -> None:
    async with served() as each:
        each.api.faults.add(refusal(403, "Forbidden", "no"), resource="installplans")
        each.api.storage.remove_kind("kubevirts")
        await each.ready()
        page = each.pipeline.scrape(Format.TEXT).decode()
        assert (await each.get("/readyz"))[0] == 200
    assert "virt_upgrade_version_skew 0" in page


async def test_an_outage_is_no_reason_to_restart_us_and_freezes_nothing_silently() -> None:
    async with served() as each:
        await each.ready()
        each.api.faults.add(html(502))
        await each.api.stop()
        states = [reflector.status for reflector in each.pipeline.followers]
        await until(lambda: {str(status.state) for status in states} == {"failing"}, "all are failing")
        assert (await each.get("/livez"))[0] == 200
        _, _, page = await each.get("/metrics")
        assert b"virt_upgrade_version_skew 0" in page
        assert b'virt_upgrade_exporter_resource_fresh{resource="clusterversions"} 0\n' in page
        await each.api.start()
        each.api.faults.clear()
        await until(lambda: {str(status.state) for status in states} == {"synced"}, "all are synced")


async def test_one_resource_in_trouble_stops_no_other() -> None:
    async with served() as each:
        await each.ready()
        each.api.faults.add(refusal(500, "InternalError", "oops"), resource="subscriptions")
        each.api.faults.add(Spoiled(then="silence"), resource="catalogsources", verbs=(Verb.WATCH,))
        await each.tell("operator-two-minors-behind")
        await until(lambda: b"virt_upgrade_version_skew -2\n" in each.pipeline.scrape(Format.TEXT))


async def test_alive_until_a_watch_ends_that_never_should() -> None:
    async with served() as each:
        await each.ready()
        assert each.pipeline.alive
        next(task for task in asyncio.all_tasks() if task.get_name() == "follow kubevirts").cancel()
        await until(lambda: not each.pipeline.alive)
        assert (await each.get("/livez"))[0] == 503


@pytest.mark.parametrize(
    ("story", "sentences"),
    [
        ("healthy", ["Yes: 4.18 is made for OpenShift 4.18.", "stable, as recommended.", "Automatic: "]),
        ("channel-candidate", ["candidate: only stable is supported."]),
        ("operator-one-minor-behind", ["No: 4.18 is one minor behind OpenShift 4.19."]),
        ("operator-two-minors-behind", ["No: 4.18 is 2 minors behind OpenShift 4.20."]),
        ("manual-neighbour", ["Manual, although this Subscription says Automatic"]),
    ],
)
async def test_the_status_page_says_it_in_sentences(story: str, sentences: list[str]) -> None:
    async with served(story) as each:
        await each.ready()
        await until(lambda: each.pipeline.facts.subscription.subscription, "the story is told")
        status, type_, body = await each.get("/")
        assert (status, type_) == (200, "text/html; charset=utf-8")
        page = body.decode()
        for sentence in sentences:
            assert sentence in page
        assert "a simulated cluster" in page
        assert len(re.findall(r"<td>[a-z]+<td><span class=mark>synced</span>", page)) == len(
            each.pipeline.followers
        )


async def test_the_status_page_of_an_empty_cluster_and_of_none() -> None:
    storage = Storage(clock=lambda: datetime.now(UTC), kinds=())
    async with ApiServer(storage) as api:
        pipeline = LivePipeline(StaticCredentials(Connection(api.url)), settings=QUICK)
        async with running(pipeline, ("127.0.0.1", 0)) as (_web, port), aiohttp.ClientSession() as session:
            each = Served(api, pipeline, f"http://127.0.0.1:{port}", session)
            await each.ready()
            page = (await each.get("/"))[2].decode()
            assert "This cluster is no OpenShift." in page
            assert "The Operator Lifecycle Manager is not installed in this cluster." in page
            assert "OpenShift Virtualization is not completely installed here." in page
            facts = [
                line
                for line in pipeline.scrape(Format.TEXT).decode().splitlines()
                if line.startswith("virt_upgrade_") and not line.startswith("virt_upgrade_exporter_")
            ]
            assert all(line.startswith("virt_upgrade_finding") for line in facts)
            assert [line for line in facts if not line.endswith(" 0")] == [
                'virt_upgrade_findings{finding="not_installed",severity="info"} 1',
                'virt_upgrade_finding_objects_info{finding="not_installed",node="",'
                'objects="OpenShift Virtualization"} 1',
            ]


@pytest.mark.parametrize(
    ("resource", "unknown", "gone"),
    [
        ("catalogsources", "<th scope=row>Catalog<td>Not known: catalogsources is forbidden.", "is missing"),
        ("installplans", "<th scope=row>Approval<td>Not known: installplans is forbidden.", "Automatic: "),
        ("clusterversions", "<th scope=row>OpenShift<td>Not known: clusterversions is f", "OpenShift 4.18"),
        ("subscriptions", "<th scope=row>Subscription<td>Not known: subscriptions is f", "as recommended"),
        ("hyperconvergeds", "<th scope=row>Virtualization<td>Not known: hyperconvergeds", "4.18.8"),
    ],
)
async def test_the_status_page_says_what_it_may_not_see(resource: str, unknown: str, gone: str) -> None:
    async with served() as each:
        each.api.faults.add(refusal(403, "Forbidden", "no"), resource=resource)
        await each.api.stop()
        await each.api.start()
        await until(lambda: each.pipeline.availability()[resource] is Availability.UNKNOWN)
        await each.ready()
        page = (await each.get("/"))[2].decode()
        assert unknown in page
        assert gone not in page


async def test_the_status_page_says_first_that_it_is_old() -> None:
    async with served() as each:
        await each.ready()
        await until(lambda: "Automatic: " in status_page(each.pipeline))
        assert "is old" not in status_page(each.pipeline)
        await each.api.stop()
        states = [reflector.status for reflector in each.pipeline.followers]
        await until(lambda: {str(status.state) for status in states} == {"failing"}, "all are failing")
        page = (await each.get("/"))[2].decode()
        first = page.index("<tr")
        assert page[first:].startswith(
            "<tr class=bad><td class=mark>Problem<th scope=row>This page<td>is old: "
        )
        assert "tells nothing of anything since 2001-09-09 01:46:40 UTC: cannot reach http://" in page
        assert "<td class=mark>OK" not in page
        assert "<tr class=old><td class=mark>Old<th scope=row>Approval<td>Automatic: " in page


async def test_what_the_cluster_says_cannot_break_the_page() -> None:
    async with served() as each:
        await each.ready()
        nasty = '</table><script>alert("x")</script>'
        subscription = json.loads(each.api.storage.objects("subscriptions")[0].body)
        subscription["spec"]["channel"] = nasty
        each.api.storage.apply(subscription)
        await until(lambda: not each.pipeline.facts.subscription.channel_recommended)
        page = (await each.get("/"))[2].decode()
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


async def test_an_address_in_use_is_said_in_one_sentence() -> None:
    async with served() as each:
        port = int(each.base.rpartition(":")[2])
        pipeline = LivePipeline(StaticCredentials(Connection(each.api.url)))
        with pytest.raises(
            ServiceError, match=f"^cannot listen on 127.0.0.1:{port}: Address already in use$"
        ):
            async with running(pipeline, ("127.0.0.1", port)):
                pass


async def test_while_stopping_not_ready_and_running_scrapes_finish() -> None:
    async with served() as each:
        await each.ready()
        storage = Storage(clock=lambda: datetime.now(UTC))
        async with ApiServer(storage) as api:
            pipeline = LivePipeline(StaticCredentials(Connection(api.url)), settings=QUICK)
            async with running(pipeline, ("127.0.0.1", 0)) as (web, port):
                base = f"http://127.0.0.1:{port}"
                stopping = asyncio.create_task(web.stop(linger=0.5))
                await asyncio.sleep(0)
                async with each.session.get(f"{base}/readyz") as response:
                    assert (response.status, await response.text()) == (503, "stopping\n")
                async with each.session.get(f"{base}/metrics") as response:
                    assert response.status == 200
                await stopping
                with pytest.raises(aiohttp.ClientConnectionError):
                    await each.session.get(f"{base}/metrics")


@pytest.mark.parametrize("format_", ["text", "json"])
def test_log_lines(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:], logging.root.level
    try:
        logs.configure("info", format_)
        logging.getLogger("exporter.test").info("a %s", "line")
        logging.getLogger("exporter.test").info("two\nlines\x1b[31m")
        logging.getLogger("exporter.test").debug("not this one")
        try:
            raise ValueError("oops")
        except ValueError:
            logging.getLogger("exporter.test").exception("failed")
    finally:
        logging.root.handlers[:], logging.root.level = before
    lines = capsys.readouterr().err.splitlines()
    if format_ == "json":
        first, lined, second = (json.loads(line) for line in lines)
        assert lined["message"] == "two\nlines\x1b[31m"
        assert first.keys() == {"time", "level", "logger", "message"}
        assert (first["level"], first["message"]) == ("info", "a line")
        assert "ValueError: oops" in second["exception"]
    else:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO a line", lines[0])
        assert lines[1].endswith(r"INFO two\nlines\x1b[31m")
        assert lines[2].endswith("ERROR failed")


async def test_status_json_holds_the_facts_the_findings_and_what_they_rest_on() -> None:
    async with served("approval-waiting") as each:
        await each.ready()
        await until(lambda: b"pending_update_info" in each.pipeline.scrape(Format.TEXT))
        await each.tell("newer-head")
        wanted = b'cause="awaiting_approval"'
        await until(lambda: wanted in each.pipeline.scrape(Format.TEXT), "the story is told")
        status, type_, body = await each.get("/api/v1/status")
    assert (status, type_) == (200, "application/json")
    document = json.loads(body)
    assert (document["schema"], document["source"], document["live"]) == (1, "simulator", False)
    assert document["complete"]
    assert document["ready"] == {"operator": True, "openshift": True}
    update = document["facts"]["pending_update_info"][0]
    assert update["labels"]["to_version"] == "4.18.12"
    found = {finding["name"]: finding for finding in document["findings"]}
    waiting = found["awaiting_approval"]
    assert waiting["objects"] == ["openshift-cnv/install-q9fzd"]
    assert waiting["since"].endswith("Z")
    assert waiting["effect"] == {"operator": "warns", "openshift": "nothing"}
    assert waiting["statement"].endswith(".")
    assert not found["no_subscription"]["holds"]
    resources = {each["resource"]: each for each in document["resources"]}
    assert resources["packagemanifests"]["state"] == "synced"
    assert document["memory"] == {"store": "memory", "stored": True, "set_aside": 0}


async def test_what_blocks_is_said_first_and_with_what_to_do() -> None:
    async with served() as each:
        each.api.storage.delete("Subscription", "openshift-cnv", "hco-operatorhub")
        await each.ready()
        await until(lambda: each.pipeline.facts.findings.ready("operator") is False)
        page = (await each.get("/"))[2].decode()
        document = json.loads((await each.get("/api/v1/status"))[2])
    assert "Not now: no subscription: openshift-cnv. Create the Subscription" in page
    assert document["ready"] == {"operator": False, "openshift": True}
    blocking = [finding["name"] for finding in document["findings"] if finding["blocks"]]
    assert blocking == ["no_subscription"]
