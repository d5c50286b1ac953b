"""What a poller holds to at the edges: when exactly it asks, and which refusals it believes.

The plain rules are in `test_polling`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from exporter.kube.resource import Query
from exporter.kube.status import State
from exporter.records.olm import PACKAGE_MANIFESTS
from exporter.simulator import objects
from exporter.simulator.faults import Action, Answer, Verb, html, refusal
from tests.contract.backend import Backend
from tests.contract.test_polling import OTHER, OURS, PATIENT, Polled, manifest, polled
from tests.contract.watched import DEADLINE, QUICK, until

PLURAL = PACKAGE_MANIFESTS.plural
HEAD = objects.csv_name("4.18.8")
COMMUNITY = Query(
    objects.CATALOG_NAMESPACE,
    objects.PACKAGE,
    f"catalog=community-operators,catalog-namespace={objects.CATALOG_NAMESPACE}",
)


def asked_for(each: Polled) -> list[str]:
    """Names of the packages asked for, in order."""
    return [seen.query["fieldSelector"].removeprefix("metadata.name=") for seen in each.asked]


def answered(each: Polled) -> State | None:
    """What is settled about the resource."""
    return each.poller.status.answer


async def polls_once_more(each: Polled) -> None:
    """Wait until a poll that is woken now has been answered."""
    lists = each.poller.status.lists["success"]
    each.poller.wake()
    await until(lambda: each.poller.status.lists["success"] > lists, "another poll")


async def is_asking(each: Polled) -> None:
    """Wait until the server has got the first question and no longer: the answer is still on its way."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE
    while not each.asked:
        assert loop.time() < deadline, "never asked"
        await asyncio.sleep(0)
    assert each.poller.status.state is State.SYNCING


async def round_trip(each: Polled) -> None:
    """To the server and back: what the poller was going to ask at once has been asked by then."""
    for _ in range(2):
        await each.poller._client.get(PACKAGE_MANIFESTS.group_path, {}, read_timeout=DEADLINE)


def answer(*manifests: dict[str, Any]) -> Answer:
    """A list in the server's place; an aggregated API may give it no resourceVersion."""
    body = {"kind": "PackageManifestList", "apiVersion": "v1", "metadata": {}, "items": list(manifests)}
    return Answer(200, json.dumps(body).encode())


# When it asks


async def test_looking_at_the_same_while_it_is_asked_for_asks_only_once(backend: Backend) -> None:
    async with polled(backend, PATIENT) as each:
        # At the start all reflectors report their first state, and each of them makes it look.
        await is_asking(each)
        for _ in range(3):
            each.poller.look()
        await each.state(State.SYNCED)
        await round_trip(each)
        assert asked_for(each) == [objects.PACKAGE]


async def test_looking_at_the_same_does_not_shorten_a_pause(backend: Backend) -> None:
    throttled = refusal(429, "TooManyRequests", retry_after=1000.0)
    backend.faults.add(throttled, resource=PLURAL, verbs=(Verb.LIST,), times=1)
    async with polled(backend, replace(PATIENT, longest_pause=1000.0, failures_until_failing=1)) as each:
        await each.state(State.FAILING)
        each.poller.look()
        await round_trip(each)
        assert asked_for(each) == [objects.PACKAGE]
        # Something else has not been refused yet.
        each.queries = [OTHER]
        each.poller.look()
        await each.state(State.SYNCED)
        assert asked_for(each) == [objects.PACKAGE, "other"]


async def test_something_else_is_asked_for_at_once_though_more_looks_are_due_later(backend: Backend) -> None:
    await backend.apply(manifest("9.9.9", package="other"))
    async with polled(backend, replace(PATIENT, poll_after_change=(0.0, 1000.0, 1000.0))) as each:
        await each.state(State.SYNCED)
        await polls_once_more(each)
        each.queries = [OTHER]
        each.poller.look()
        await each.holds("9.9.9")


async def test_something_else_that_is_to_be_asked_for_during_a_poll_is_asked_for_next(
    backend: Backend,
) -> None:
    await backend.apply(manifest("9.9.9", package="other"))
    async with polled(backend, PATIENT) as each:
        await is_asking(each)
        each.queries = [OTHER]
        each.poller.look()
        await each.holds("9.9.9")
        assert asked_for(each) == [objects.PACKAGE, "other"]


async def test_what_nobody_knows_any_more_and_then_again_is_asked_for(backend: Backend) -> None:
    async with polled(backend, PATIENT) as each:
        await each.state(State.SYNCED)
        each.queries = None
        each.poller.look()
        await until(lambda: each.poller._asked is None, "it has noticed")
        each.queries = [OURS]
        await backend.apply(manifest("4.18.8"))
        each.poller.look()
        await each.holds("4.18.8")


async def test_what_is_no_longer_asked_for_is_reported_as_deleted(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend, PATIENT) as each:
        await each.holds("4.18.8")
        each.queries = []
        each.poller.look()
        await each.holds()
        assert [delta.type for delta in each.deltas] == ["ADDED", "DELETED"]
        assert each.poller.status.state is State.SYNCED


async def test_what_is_missing_is_looked_for_more_often(backend: Backend) -> None:
    async with polled(backend, replace(PATIENT, poll_missing=0.05)) as each:
        await each.state(State.SYNCED)
        await backend.apply(manifest("4.18.8"))
        # Nobody wakes it.
        await each.holds("4.18.8")


# What it holds


async def test_half_of_what_was_asked_for_is_not_shown(backend: Backend) -> None:
    await backend.apply(manifest("4.18.8"))
    await backend.apply(manifest("9.9.9", package="other"))
    async with polled(backend, PATIENT) as each:
        each.queries = [OURS, OTHER]
        await each.holds("4.18.8", "9.9.9")
        asked = len(each.asked)
        # The first question is answered with a change, the second refused.
        backend.faults.add(answer(), resource=PLURAL, verbs=(Verb.LIST,), times=1)
        refused = backend.faults.add(refusal(503), resource=PLURAL, verbs=(Verb.LIST,), times=1)
        each.poller.wake()
        await until(lambda: refused.hits == 1, "the second question is refused")
        await until(lambda: len(each.asked) >= asked + 4, "it asks again")
        await until(lambda: each.poller.status.lists["success"] == 2, "and is answered")
        assert [delta.type for delta in each.deltas] == ["ADDED", "ADDED"]


async def test_packages_of_one_name_in_two_catalogs_are_two(backend: Backend) -> None:
    for versions in ("4.18.8", "5.0.0"):
        backend.faults.add(answer(manifest(versions)), resource=PLURAL, verbs=(Verb.LIST,), times=1)
    async with polled(backend, PATIENT) as each:
        each.queries = [OURS, COMMUNITY]
        await each.holds("4.18.8", "5.0.0")


async def test_objects_of_a_wrong_shape_in_two_catalogs_are_counted_as_two(backend: Backend) -> None:
    bad = manifest("4.18.8")
    bad["status"]["channels"] = "none"
    backend.faults.add(answer(bad), resource=PLURAL, verbs=(Verb.LIST,), times=2)
    async with polled(backend, PATIENT) as each:
        each.queries = [OURS, COMMUNITY]
        await each.state(State.SYNCED)
        assert each.poller.status.object_errors == 2
        assert each.poller.store.skipped == 2


# What it believes


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (refusal(404, "NotFound"), State.ABSENT),
        (refusal(403, "Forbidden", "packagemanifests is forbidden"), State.FORBIDDEN),
    ],
    ids=["absent", "forbidden"],
)
async def test_a_refusal_is_believed_when_it_is_repeated(
    backend: Backend, action: Action, state: State
) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend, replace(QUICK, refusals_until_believed=3)) as each:
        await each.holds("4.18.8")
        few = backend.faults.add(action, resource=PLURAL, verbs=(Verb.LIST,), times=2)
        await until(lambda: few.hits == 2, "refused twice")
        lists = each.poller.status.lists["success"]
        await until(lambda: each.poller.status.lists["success"] > lists, "answered again")
        assert answered(each) is State.SYNCED
        assert [delta.type for delta in each.deltas] == ["ADDED"]
        many = backend.faults.add(action, resource=PLURAL, verbs=(Verb.LIST,))
        await each.state(state)
        assert many.hits == 3
        assert answered(each) is state
        assert each.poller.status.problem
        # What does not exist is not held; what may not be looked at may still be there.
        assert each.heads == (set() if state is State.ABSENT else {HEAD})
        # That there is none is an answer, that nobody may know is none.
        assert each.poller.fresh(each.now) is (state is State.ABSENT)
        backend.faults.remove(many)
        await each.state(State.SYNCED)
        await each.holds("4.18.8")


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refusal_by_something_in_between_says_nothing_about_the_resource(
    backend: Backend, status: int
) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend) as each:
        await each.holds("4.18.8")
        fault = backend.faults.add(html(status), resource=PLURAL)
        await each.state(State.FAILING)
        await until(lambda: fault.hits > 5, "it goes on asking")
        assert (each.poller.status.state, each.heads) == (State.FAILING, {HEAD})
        backend.faults.remove(fault)
        await each.state(State.SYNCED)
        assert [delta.type for delta in each.deltas] == ["ADDED"]


async def test_a_defect_of_ours_ends_no_poller(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await backend.apply(manifest("4.18.8"))
    async with polled(backend) as each:
        await each.holds("4.18.8")
        works = each.poller._queries

        def broken() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(each.poller, "_queries", broken)
        await each.state(State.FAILING)
        assert each.heads == {HEAD}
        assert "unexpected error while polling" in caplog.text
        monkeypatch.setattr(each.poller, "_queries", works)
        await each.state(State.SYNCED)
