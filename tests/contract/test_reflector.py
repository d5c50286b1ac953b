"""The reflector's contract with an API server, one test a rule of the protocol.

The rules are those of client-go's reflector (`tools/cache/reflector.go`) and of the Kubernetes API
concepts page on resource versions; the last ones are about what stands between us and the server.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from exporter.kube.credentials import FileCredentials
from exporter.kube.status import ReflectorSettings, State
from exporter.records.olm import CATALOG_SOURCES, CLUSTER_SERVICE_VERSIONS, SUBSCRIPTIONS
from exporter.simulator import objects
from exporter.simulator.faults import (
    EXPIRED_EVENT,
    WATCH_LIST_REFUSALS,
    Action,
    Reset,
    Spoiled,
    Verb,
    html,
    refusal,
    status_body,
)
from exporter.simulator.faults import Answer as FaultAnswer
from tests.contract.backend import Backend
from tests.contract.watched import BORN, PAGED, QUICK, Watched, catalog, delete_catalog, until, watched

BOTH_WAYS = pytest.mark.parametrize(
    "settings", [pytest.param(QUICK, id="streaming list"), pytest.param(PAGED, id="paged list")]
)
LISTS = (Verb.LIST, Verb.WATCH_LIST)
CATALOGS = CATALOG_SOURCES.plural
TOO_LARGE = FaultAnswer(
    504,
    status_body(
        504,
        "Timeout",
        "Timeout: Too large resource version: 99999999, current: 7",
        details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
    ),
)


def contains(watch: Watched, name: str) -> bool:
    return name in watch.names


async def fill(backend: Backend, *names: str) -> None:
    for name in names:
        await backend.apply(catalog(name))


# Listing


@BOTH_WAYS
async def test_lists_then_follows_every_change(backend: Backend, settings: ReflectorSettings) -> None:
    await fill(backend, "a", "b")
    async with watched(backend, settings) as watch:
        await watch.holds("a", "b")
        await backend.apply(catalog("c"))
        await watch.holds("a", "b", "c")
        await backend.apply(catalog("a", state="TRANSIENT_FAILURE"))
        await until(lambda: ("MODIFIED", "a") in watch.changes)
        await delete_catalog(backend, "b")
        await watch.holds("a", "c")
        assert watch.changes[-1] == ("DELETED", "b")
        assert len(watch.seen(*LISTS)) == 1


async def test_a_list_comes_in_pages_of_one_snapshot(backend: Backend) -> None:
    names = [f"catalog-{number:02}" for number in range(10)]
    await fill(backend, *names)
    async with watched(backend, PAGED) as watch:
        await watch.holds(*names)
        lists = watch.seen(Verb.LIST)
        assert [each.query.get("limit") for each in lists] == ["3"] * 4
        assert ["continue" in each.query for each in lists] == [False, True, True, True]
        assert "resourceVersion" not in lists[0].query
        assert watch.reflector.status.lists == {"success": 1}


async def test_page_token_expired_lists_everything_at_once(backend: Backend) -> None:
    names = [f"catalog-{number:02}" for number in range(7)]
    await fill(backend, *names)
    expired = refusal(410, "Expired", "The provided continue parameter is too old")
    # The first page passes, the second finds its token expired.
    first = backend.faults.add(Spoiled(), resource=CATALOGS, verbs=(Verb.LIST,), times=1)
    backend.faults.add(expired, resource=CATALOGS, verbs=(Verb.LIST,), times=1)
    async with watched(backend, PAGED) as watch:
        await watch.holds(*names)
        assert first.hits == 1
        lists = watch.seen(Verb.LIST)
        assert [("limit" in each.query, "continue" in each.query) for each in lists] == [
            (True, False),
            (True, True),
            (False, False),
        ]
        assert watch.reflector.status.lists == {"success": 1}


async def test_a_streaming_list_is_preferred(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend) as watch:
        await watch.holds("a")
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        assert [each.verb for each in watch.seen(*Verb)] == [Verb.WATCH_LIST]
        assert watch.seen(Verb.WATCH_LIST)[0].query["resourceVersionMatch"] == "NotOlderThan"


@pytest.mark.parametrize("refusal_", WATCH_LIST_REFUSALS.values(), ids=WATCH_LIST_REFUSALS.keys())
async def test_watch_list_refused_is_listed_in_pages(backend: Backend, refusal_: Action) -> None:
    await fill(backend, "a", "b")
    backend.faults.add(refusal_, resource=CATALOGS, verbs=(Verb.WATCH_LIST,))
    async with watched(backend, replace(QUICK, watch_list_patience=0.5)) as watch:
        await watch.holds("a", "b")
        await watch.state(State.SYNCED)
        await backend.apply(catalog("c"))
        await watch.holds("a", "b", "c")
        assert [each.verb for each in watch.seen(*Verb)] == [Verb.WATCH_LIST, Verb.LIST, Verb.WATCH]


@pytest.mark.parametrize(
    ("cuts", "verbs"),
    [
        (1, [Verb.WATCH_LIST, Verb.WATCH_LIST]),
        (2, [Verb.WATCH_LIST, Verb.WATCH_LIST, Verb.LIST]),
    ],
)
async def test_a_streaming_list_that_is_cut_off_twice_is_listed_in_pages(
    backend: Backend, cuts: int, verbs: list[Verb]
) -> None:
    await fill(backend, "a", "b")
    cut = Spoiled(after=1, then="reset")
    backend.faults.add(cut, resource=CATALOGS, verbs=(Verb.WATCH_LIST,), times=cuts)
    async with watched(backend) as watch:
        await watch.holds("a", "b")
        assert [each.verb for each in watch.seen(*LISTS)] == verbs


@pytest.mark.parametrize("seconds", [0.0, 1e9])
async def test_an_absurd_pause_is_neither_no_pause_nor_the_end(backend: Backend, seconds: float) -> None:
    await fill(backend, "a")
    throttled = refusal(429, "TooManyRequests", "slow down", retry_after=seconds)
    fault = backend.faults.add(throttled, resource=CATALOGS, times=3)
    async with watched(backend, replace(QUICK, longest_pause=0.2)) as watch:
        await watch.holds("a")
        assert fault.hits == 3


async def test_a_relist_is_invisible_until_it_is_complete(backend: Backend) -> None:
    await fill(backend, "a", "b")
    async with watched(backend) as watch:
        await watch.holds("a", "b")
        # The next streaming list stops after its first object.
        held = backend.faults.add(
            Spoiled(after=1, then="silence"), resource=CATALOGS, verbs=(Verb.WATCH_LIST,), times=1
        )
        await backend.expire_versions()
        await until(lambda: held.hits == 1)
        assert watch.names == {"a", "b"}
        assert ("DELETED", "a") not in watch.changes
        await backend.apply(catalog("c"))
        await watch.holds("a", "b", "c")
        assert watch.changes == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


# Watching


@BOTH_WAYS
async def test_resume_after_close_needs_no_list(backend: Backend, settings: ReflectorSettings) -> None:
    await fill(backend, "a")
    backend.faults.add(
        Spoiled(after=3, then="end"), resource=CATALOGS, verbs=(Verb.WATCH, Verb.WATCH_LIST), times=1
    )
    async with watched(backend, settings) as watch:
        await watch.holds("a")
        names = ["a"]
        while len(watch.seen(Verb.WATCH)) < (1 if settings.watch_list else 2):
            names.append(f"b{len(names)}")
            await backend.apply(catalog(names[-1]))
            await watch.holds(*names)
        resumed = watch.seen(Verb.WATCH)[-1]
        assert int(resumed.query["resourceVersion"]) > 0
        await backend.apply(catalog("c"))
        await watch.holds(*names, "c")
        assert len(watch.seen(*LISTS)) == 1
        assert [change for change in watch.changes if change[0] != "ADDED"] == []


async def test_the_server_is_asked_to_end_a_watch_and_it_is_resumed(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(QUICK, watch_timeout=(1.0, 1.0))) as watch:
        await watch.watching(3)
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        assert {each.query["timeoutSeconds"] for each in watch.seen(*Verb)} == {"1"}
        assert len(watch.seen(*LISTS)) == 1
        assert watch.reflector.status.watches["success"] >= 2


async def test_bookmark_moves_the_version(backend: Backend) -> None:
    await backend.apply(catalog("ours", labels={"team": "a"}))
    selected = replace(CATALOG_SOURCES, label_selector="team=a")
    # A real server sends a bookmark two seconds before the end of a watch.
    async with watched(backend, replace(PAGED, watch_timeout=(4.0, 4.0)), resource=selected) as watch:
        await watch.holds("ours")
        first = int(watch.seen(Verb.WATCH)[0].query["resourceVersion"]) if watch.seen(Verb.WATCH) else 0
        for number in range(3):
            await backend.apply(catalog(f"theirs-{number}", labels={"team": "b"}))
        await until(lambda: watch.reflector.status.events["BOOKMARK"] > 0)
        await until(lambda: len(watch.seen(Verb.WATCH)) > 1)
        resumed = int(watch.seen(Verb.WATCH)[-1].query["resourceVersion"])
        assert resumed > first
        assert watch.names == {"ours"}
        assert watch.changes == [("ADDED", "ours")]


@BOTH_WAYS
async def test_expired_version_relists_and_reports_what_vanished(
    backend: Backend, settings: ReflectorSettings
) -> None:
    await fill(backend, "a", "b", "c")
    async with watched(backend, settings) as watch:
        await watch.holds("a", "b", "c")
        await watch.watching()
        await backend.stop()
        await watch.state(State.FAILING)
        assert watch.names == {"a", "b", "c"}
        await backend.start()
        await delete_catalog(backend, "b")
        await backend.apply(catalog("a", state="TRANSIENT_FAILURE"))
        await backend.apply(catalog("d"))
        await backend.expire_versions()
        await watch.holds("a", "c", "d")
        await watch.state(State.SYNCED)
        assert sorted(watch.changes[3:]) == [("ADDED", "d"), ("DELETED", "b"), ("MODIFIED", "a")]


@pytest.mark.parametrize(
    "expired",
    [
        pytest.param(refusal(410, "Expired", "too old resource version"), id="as status"),
        pytest.param(refusal(410, "Gone", "gone"), id="as status gone"),
        pytest.param(Spoiled(line=EXPIRED_EVENT, then="end"), id="in the stream"),
    ],
)
@BOTH_WAYS
async def test_expired_version_relists_at_the_known_version_first(
    backend: Backend, settings: ReflectorSettings, expired: Action
) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(settings, watch_timeout=(1.0, 1.0))) as watch:
        await watch.holds("a")
        backend.faults.add(expired, resource=CATALOGS, verbs=(Verb.WATCH,), times=1)
        await until(lambda: len(watch.seen(*LISTS)) == 2)
        relist = watch.seen(*LISTS)[1]
        watches = watch.seen(Verb.WATCH)
        known = watches[-1].query["resourceVersion"]
        assert relist.query["resourceVersion"] == known
        assert relist.query["resourceVersionMatch"] == "NotOlderThan"
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")


@BOTH_WAYS
@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(refusal(410, "Expired", "too old resource version"), id="expired"),
        pytest.param(TOO_LARGE, id="too large resource version"),
    ],
)
async def test_known_version_refused_relists_consistently(
    backend: Backend, settings: ReflectorSettings, refused: Action
) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(settings, watch_timeout=(1.0, 1.0))) as watch:
        await watch.holds("a")
        backend.faults.add(
            refusal(410, "Expired", "too old"), resource=CATALOGS, verbs=(Verb.WATCH,), times=1
        )
        backend.faults.add(refused, resource=CATALOGS, verbs=LISTS, times=1)
        await until(lambda: len(watch.seen(*LISTS)) == 3)
        versions = [each.query.get("resourceVersion", "") for each in watch.seen(*LISTS)]
        assert versions[0] == ""
        assert versions[1] != ""
        assert versions[2] == ""
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")


async def test_no_relist_on_too_many_requests(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(QUICK, watch_timeout=(1.0, 1.0))) as watch:
        await watch.holds("a")
        throttled = backend.faults.add(
            refusal(429, "TooManyRequests", "slow down", retry_after=0.05),
            resource=CATALOGS,
            verbs=(Verb.WATCH,),
            times=3,
        )
        await until(lambda: throttled.hits == 3)
        await watch.state(State.SYNCED)
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        assert len(watch.seen(*LISTS)) == 1
        versions = {each.query["resourceVersion"] for each in watch.seen(Verb.WATCH)[:3]}
        assert len(versions) == 1


@BOTH_WAYS
async def test_a_throttled_list_is_asked_again_after_the_pause(
    backend: Backend, settings: ReflectorSettings
) -> None:
    await fill(backend, "a")
    slow = refusal(429, "TooManyRequests", "slow down", retry_after=0.05)
    backend.faults.add(slow, resource=CATALOGS, times=2)
    async with watched(backend, settings) as watch:
        await watch.holds("a")
        assert [each.verb for each in watch.seen(*LISTS)] == [LISTS[settings.watch_list]] * 3


async def test_inactivity_resumes_at_the_known_version(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(PAGED, inactivity_limit=0.5)) as watch:
        half_open = backend.faults.add(
            Spoiled(then="silence"), resource=CATALOGS, verbs=(Verb.WATCH,), times=1
        )
        await until(lambda: half_open.hits == 1)
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        lists, watches = watch.seen(Verb.LIST), watch.seen(Verb.WATCH)
        assert len(lists) == 1
        assert watches[0].query["resourceVersion"] == watches[1].query["resourceVersion"]


async def test_two_silent_streams_are_proved_by_a_list(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(PAGED, inactivity_limit=0.3)) as watch:
        backend.faults.add(Spoiled(then="silence"), resource=CATALOGS, verbs=(Verb.WATCH,), times=2)
        await until(lambda: len(watch.seen(Verb.LIST)) >= 2)
        assert watch.seen(Verb.LIST)[1].query["resourceVersion"]
        assert watch.names == {"a"}
        assert watch.changes == [("ADDED", "a")]


async def test_streams_that_end_at_once_back_off(backend: Backend) -> None:
    await fill(backend, "a")
    settings = replace(PAGED, backoff=replace(PAGED.backoff, initial=0.1, jitter=0.0))
    backend.faults.add(Spoiled(then="end"), resource=CATALOGS, verbs=(Verb.WATCH,), times=4)
    async with watched(backend, settings) as watch:
        await until(lambda: len(watch.seen(Verb.WATCH)) >= 4)
        assert watch.reflector.status.watches["error"] >= 3
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")


async def test_an_object_made_again_is_another_object(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend) as watch:
        await watch.holds("a")
        first = next(iter(watch.reflector.store.records.values())).metadata.uid
        await backend.stop()
        await watch.state(State.FAILING)
        await backend.start()
        await delete_catalog(backend, "a")
        await fill(backend, "a")
        await backend.expire_versions()
        await until(lambda: len(watch.changes) >= 3)
        assert watch.changes == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]
        assert next(iter(watch.reflector.store.records.values())).metadata.uid != first


# The resource itself


async def test_a_crd_that_appears_and_disappears_is_followed(backend: Backend) -> None:
    await backend.remove_kind(CATALOGS)
    async with watched(backend) as watch:
        await watch.state(State.ABSENT)
        await backend.add_kind(CATALOGS)
        await watch.state(State.SYNCED)
        await fill(backend, "a")
        await watch.holds("a")
        await backend.remove_kind(CATALOGS)
        await watch.state(State.ABSENT)
        assert watch.names == set()
        assert watch.changes == [("ADDED", "a"), ("DELETED", "a")]
        await backend.add_kind(CATALOGS)
        await watch.state(State.SYNCED)
        assert watch.names == set()


async def test_permission_revoked_and_restored(backend: Backend) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(QUICK, watch_timeout=(1.0, 1.0))) as watch:
        await watch.holds("a")
        await backend.forbid(CATALOGS)
        await watch.state(State.FORBIDDEN)
        assert watch.reflector.status.problem
        await backend.apply(catalog("b"))
        await backend.permit(CATALOGS)
        await watch.state(State.SYNCED)
        await watch.holds("a", "b")


async def test_forbidden_from_the_start_is_recovered_from(backend: Backend) -> None:
    await fill(backend, "a")
    await backend.forbid(CATALOGS)
    async with watched(backend) as watch:
        await watch.state(State.FORBIDDEN)
        assert not watch.reflector.status.synced_once
        await backend.permit(CATALOGS)
        await watch.holds("a")


async def test_token_rotated_is_read_again_at_once(backend: Backend, tmp_path: Path) -> None:
    await fill(backend, "a")
    token_file = tmp_path / "token"
    authorization = backend.connection.authorization or ""
    token_file.write_text(authorization.removeprefix("Bearer ") + "\n")
    credentials = FileCredentials(backend.kubeconfig(tmp_path / "config", token_file=token_file))
    settings = replace(QUICK, watch_timeout=(1.0, 1.0))
    async with watched(backend, settings, credentials=credentials) as watch:
        await watch.holds("a")
        token = await backend.rotate_token()
        token_file.write_text(token + "\n")
        await until(lambda: watch.seen(*Verb)[-1].headers["Authorization"] == f"Bearer {token}")
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        assert watch.reflector.status.state is State.SYNCED
        assert len(watch.seen(*LISTS)) == 1


async def test_a_rejected_token_is_failing_until_there_is_a_better_one(
    backend: Backend, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("nobody's")
    credentials = FileCredentials(backend.kubeconfig(tmp_path / "config", token_file=token_file))
    await fill(backend, "a")
    async with watched(backend, credentials=credentials) as watch:
        await watch.state(State.FAILING)
        assert "401" in watch.reflector.status.problem
        token_file.write_text((backend.connection.authorization or "").removeprefix("Bearer "))
        await watch.holds("a")


async def test_one_namespace_is_read_where_one_is_configured(backend: Backend) -> None:
    ours, theirs = (
        objects.subscription(created=BORN, installed="", name=name) for name in ("ours", "theirs")
    )
    theirs["metadata"]["namespace"] = "elsewhere"
    await backend.apply(ours)
    await backend.apply(theirs)
    async with watched(backend, resource=SUBSCRIPTIONS, namespace=objects.NAMESPACE) as watch:
        await watch.holds("ours")
    async with watched(backend, resource=SUBSCRIPTIONS) as watch:
        await watch.holds("ours", "theirs")


async def test_copied_csvs_are_left_on_the_server(backend: Backend) -> None:
    for name, labels in (("original", {}), ("copy", {"olm.copiedFrom": objects.NAMESPACE})):
        csv = objects.cluster_service_version("4.18.3", created=BORN, succeeded=BORN)
        csv["metadata"] |= {"name": name, "labels": labels}
        await backend.apply(csv)
    async with watched(backend, resource=CLUSTER_SERVICE_VERSIONS) as watch:
        await watch.holds("original")


# What stands in between, and what is nonsense


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(refusal(500, "InternalError", "oops"), id="500"),
        pytest.param(refusal(503, "ServiceUnavailable", "later"), id="503"),
        pytest.param(html(502), id="502 HTML"),
        pytest.param(html(404), id="404 HTML says nothing about the cluster"),
        pytest.param(html(403), id="403 HTML says nothing about permissions"),
        pytest.param(html(200), id="200 HTML"),
        pytest.param(Reset(), id="reset"),
    ],
)
@BOTH_WAYS
async def test_trouble_on_the_way_is_failing_and_passes(
    backend: Backend, settings: ReflectorSettings, trouble: Action
) -> None:
    await fill(backend, "a")
    fault = backend.faults.add(trouble)
    async with watched(backend, settings) as watch:
        await watch.state(State.FAILING)
        assert watch.reflector.status.problem
        backend.faults.remove(fault)
        await watch.holds("a")
        await watch.state(State.SYNCED)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(Spoiled(after=1, then="reset"), id="reset"),
        pytest.param(Spoiled(after=1, then="cut"), id="cut in the middle of an event"),
        pytest.param(Spoiled(after=1, line=b"<html>\n", then="end"), id="HTML in the stream"),
        pytest.param(Spoiled(after=1, line=b'{"type":"ADDED"}\n', then="end"), id="an event of nothing"),
        pytest.param(
            Spoiled(after=1, line=b'{"type":"ERROR","object":{}}\n', then="end"), id="ERROR of nothing"
        ),
        pytest.param(Spoiled(delay=0.05), id="slow bytes"),
    ],
)
async def test_a_spoiled_stream_loses_no_event(backend: Backend, trouble: Action) -> None:
    await fill(backend, "a")
    async with watched(backend, replace(PAGED, inactivity_limit=5.0)) as watch:
        backend.faults.add(trouble, resource=CATALOGS, verbs=(Verb.WATCH,), times=2)
        await watch.holds("a")
        for name in ("b", "c", "d"):
            await backend.apply(catalog(name))
        await watch.holds("a", "b", "c", "d")
        await delete_catalog(backend, "b")
        await watch.holds("a", "c", "d")


def line(type_: str, obj: str) -> bytes:
    return f'{{"type":"{type_}","object":{obj}}}\n'.encode()


@pytest.mark.parametrize(
    ("nonsense", "key"),
    [
        ('{"metadata":{"name":"x","namespace":"n"},"status":{"connectionState":"READY"}}', "n/x"),
        ('{"metadata":{"name":"x","namespace":"n"},"status":[]}', "n/x"),
        ('{"metadata":{"name":"x","namespace":"n","labels":[1]}}', "n/x"),
        ('{"metadata":{"name":"x","namespace":"n","creationTimestamp":"yesterday"}}', "n/x"),
        ('{"metadata":{"namespace":"n"}}', None),
        ("[]", None),
        ("7", None),
    ],
)
async def test_nonsense_is_counted_logged_once_and_left_out(
    backend: Backend, caplog: pytest.LogCaptureFixture, nonsense: str, key: str | None
) -> None:
    caplog.set_level(logging.WARNING)
    await fill(backend, "a")
    backend.faults.add(
        Spoiled(line=line("ADDED", nonsense) + line("MODIFIED", nonsense)),
        resource=CATALOGS,
        verbs=(Verb.WATCH,),
        times=1,
    )
    async with watched(backend, PAGED) as watch:
        await until(lambda: watch.reflector.status.object_errors == 2)
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")
        assert watch.reflector.store.skipped == (1 if key else 0)
        left_out = [record for record in caplog.records if "left out" in record.message]
        assert len(left_out) == 1
        assert (key or "without a name") in left_out[0].message


async def test_absurd_nesting_in_a_field_that_is_not_read_costs_nothing(backend: Backend) -> None:
    deep = '{"metadata":{"name":"x"},"spec":' + "[" * 9_000 + "]" * 9_000 + "}"
    backend.faults.add(Spoiled(line=line("ADDED", deep)), resource=CATALOGS, verbs=(Verb.WATCH,), times=1)
    async with watched(backend, PAGED) as watch:
        await watch.holds("x")
        assert watch.reflector.status.object_errors == 0


async def test_an_object_that_turns_into_nonsense_goes_and_comes_back(backend: Backend) -> None:
    await fill(backend, "a", "b")
    async with watched(backend, replace(PAGED, watch_timeout=(1.0, 1.0))) as watch:
        await watch.holds("a", "b")
        bad = f'{{"metadata":{{"name":"a","namespace":"{objects.CATALOG_NAMESPACE}"}},"status":7}}'
        # The watch after the one under way begins with the nonsense.
        backend.faults.add(
            Spoiled(line=line("MODIFIED", bad)), resource=CATALOGS, verbs=(Verb.WATCH,), times=1
        )
        await watch.holds("b")
        assert watch.reflector.store.skipped == 1
        assert watch.changes[-1] == ("DELETED", "a")
        await backend.apply(catalog("a", state="IDLE"))
        await watch.holds("a", "b")
        assert watch.reflector.store.skipped == 0


async def test_the_server_stops_and_comes_back_with_and_without_its_watch_cache(backend: Backend) -> None:
    await fill(backend, "a", "b")
    async with watched(backend) as watch:
        await watch.holds("a", "b")
        for name in ("c", "d"):
            await backend.stop()
            await watch.state(State.FAILING)
            await backend.start()
            await watch.state(State.SYNCED)
            await backend.apply(catalog(name))
            await until(partial(contains, watch, name))
        await backend.expire_versions()
        await delete_catalog(backend, "a")
        await watch.holds("b", "c", "d")
        assert watch.changes == [
            ("ADDED", "a"),
            ("ADDED", "b"),
            ("ADDED", "c"),
            ("ADDED", "d"),
            ("DELETED", "a"),
        ]


async def test_changes_among_the_initial_events_leave_no_ghost(backend: Backend) -> None:
    await fill(backend, "a")
    ghost = f'{{"metadata":{{"name":"ghost","namespace":"{objects.CATALOG_NAMESPACE}"}}}}'
    backend.faults.add(
        Spoiled(line=line("ADDED", ghost) + line("DELETED", ghost)),
        resource=CATALOGS,
        verbs=(Verb.WATCH_LIST,),
    )
    async with watched(backend) as watch:
        await watch.holds("a")
        assert watch.changes == [("ADDED", "a")]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(html(200), id="HTML"),
        pytest.param(Spoiled(then="reset"), id="reset"),
        pytest.param(Spoiled(line=b"<html>\n", then="end"), id="nonsense"),
    ],
)
async def test_watches_that_are_accepted_and_break_freeze_nothing(backend: Backend, broken: Action) -> None:
    await fill(backend, "a")
    backend.faults.add(broken, resource=CATALOGS, verbs=(Verb.WATCH,))
    async with watched(backend, PAGED) as watch:
        await watch.holds("a")
        await backend.apply(catalog("b"))
        await watch.holds("a", "b")


async def test_expiring_again_and_again_backs_off(backend: Backend) -> None:
    await fill(backend, "a")
    backend.faults.add(Spoiled(line=EXPIRED_EVENT, then="end"), resource=CATALOGS, verbs=(Verb.WATCH,))
    settings = replace(PAGED, backoff=replace(PAGED.backoff, initial=0.2, cap=0.2, jitter=0.0))
    async with watched(backend, settings) as watch:
        await until(lambda: len(watch.seen(Verb.LIST)) >= 3)
        began = asyncio.get_running_loop().time()
        await until(lambda: len(watch.seen(Verb.LIST)) >= 6)
        assert asyncio.get_running_loop().time() - began > 0.4


async def test_an_outage_takes_back_no_absence(backend: Backend) -> None:
    await backend.remove_kind(CATALOGS)
    async with watched(backend) as watch:
        await watch.state(State.ABSENT)
        fault = backend.faults.add(html(502))
        await watch.state(State.FAILING)
        assert watch.reflector.status.answer is State.ABSENT
        backend.faults.remove(fault)
        await watch.state(State.ABSENT)
