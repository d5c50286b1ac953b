"""Thousands of mangled objects of every kind, always the same ones: what no API server should deliver."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count, islice
from random import Random
from typing import Any, TypeVar

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.facts import RESOURCES, SUBJECTS, Facts
from exporter.facts.cluster import Availability, Cluster
from exporter.history.keeper import decode, encode
from exporter.history.value import History
from exporter.kube.decoding import BadObject, ObjectDecoder, object_key
from exporter.kube.resource import Resource
from exporter.kube.store import Delta, Key
from exporter.metrics.exposition import Format
from exporter.metrics.page import FactsPage
from exporter.pipeline import Pipeline
from exporter.recording.lines import Line
from exporter.recording.replay import Clock, Recorded
from exporter.records.base import Record
from exporter.records.olm import SUBSCRIPTIONS
from exporter.web.status_json import status_json
from exporter.web.status_page import status_page
from tests.effort import tries
from tests.unit.records.test_records import NOW, WHOLE, key_of, paths, show, whole_records

pytestmark = pytest.mark.searching

SEED = 20260820
OBJECTS = tries(300, 3_000)
"""Of each kind."""
FACTS_OBJECTS = tries(12, 150)
"""Of each kind, from which facts are worked out: that takes 50 times as long as reading an object."""
SHOWN_OBJECTS = tries(4, 25)
"""Of each kind, shown in every form that there is."""
NAMES = 1000
"""Fewer than objects, so that mangled objects follow mangled ones of the same name."""
LOGGED_NAMES, LOGGED_CAUSES = 20, 1000

RecordT = TypeVar("RecordT", bound=Record)

DATES = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59.999999Z",
    "2016-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "2026-08-20T10:00:00+14:00",
    "2026-08-20T10:00:00",
    "2026-08-20",
    "now",
    "",
)
VERSIONS = (
    "4.18",
    "v4.18.3",
    "4.18.3-rc.1",
    "99999999999999.1.2",
    "4.18.3+build",
    "4.18.3-" + "9" * 5000,
    "5.0.0",
    "1.14.0",
    "4.١٨.٣",
    "4.18.²",
    "kubevirt-hyperconverged-operator.v4.18.4",
    "kubevirt-hyperconverged-operator.v",
    "latest",
    "",
)
TEXTS = (
    "\x00",
    "\ud800",
    "\udc00\ud800",
    "\u202e\u200f4.18.3\u202c",
    "\N{PARTY POPPER}" * 130,
    'a\nb"c\\',
    'a"} 1\nvirt_upgrade_x 1\n# EOF\n',
    "\\",
    "\r\n\t\x7f\x85\u2028\ufeff",
    "../../etc/passwd",
    "a/b",
    "a, b and 3 more",
    " ",
    "True",
    "Unknown",
    "community-kubevirt-hyperconverged",
    "openshift-cnv",
    '{"properties":[{"type":"olm.package","value":{"packageName":1}}]}',
    '{"properties":[{"type":"olm.package","value":' + "[" * 1500 + "]" * 1500 + "}]}",
    '{"properties":[{"type":"olm.package","value":{"packageName":"\\ud800"}}]}',
)
NUMBERS = (0, -1, 1.5, 1e308, -0.0, 2**63, 10**30)
# Json cannot be told to write these; they are put into the text in place of their marks.
SPLICED = {
    "@deep list": b"[" * 1500 + b"]" * 1500,
    "@deep dict": b'{"a":' * 1500 + b"1" + b"}" * 1500,
    "@infinite": b"1e999",
}
HUGE = "4.18.3 " * 15_000
DATE = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]*Z")


def mangled(resource: Resource[Any], *, renamed: bool = False) -> Iterator[bytes]:
    """Mangled objects of a kind without end; under other names on request, a thousand by turns."""
    random = Random(f"{SEED} {resource.plural}")
    whole = json.dumps(WHOLE[resource.plural])
    places = paths(WHOLE[resource.plural])[1:]
    for number in count():
        obj = json.loads(whole)
        if renamed:
            obj["metadata"]["name"] = f"mangled-{number % NAMES}"
        for path in random.choices(places, k=random.randint(1, 4)):
            mangle(random, obj, path)
        yield encoded(obj)


def encoded(obj: Any) -> bytes:
    text = json.dumps(obj).encode()
    if b'"@' in text:
        for mark, value in SPLICED.items():
            text = text.replace(b'"%b"' % mark.encode(), value)
    return text


def mangle(random: Random, obj: Any, path: tuple[Any, ...]) -> None:
    *way, last = path
    for key in way:
        obj = obj[key] if there(obj, key) else None
    if not there(obj, last):
        # Whatever was there has been mangled away.
        return
    chance = random.random()
    if chance < 0.1:
        del obj[last]
    elif chance < 0.2:
        obj[last] = None
    elif chance < 0.6:
        # What is still of the right type gets past the decoder and to the facts.
        obj[last] = odd(random, obj[last])
    else:
        obj[last] = wrong(random)


def there(obj: Any, key: Any) -> bool:
    return key in obj if isinstance(obj, dict) else isinstance(obj, list) and key in range(len(obj))


def odd(random: Random, value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return random.choice(NUMBERS)
        case str() if random.random() < 0.01:
            return HUGE
        case str():
            return random.choice(DATES if DATE.fullmatch(value) else random.choice((VERSIONS, TEXTS)))
        case list():
            again = [*value, *value[:1]]
            return random.choice(([], again, value[::-1], value * 50, [None, *value], [{}, *value]))
        case dict():
            return random.choice(({}, {**value, random.choice(TEXTS): random.choice(TEXTS)}))
        case _:
            return wrong(random)


def wrong(random: Random) -> Any:
    """A value of any type."""
    if random.random() < 0.01:
        return random.choice((HUGE, *SPLICED))
    # No lists: what stands in many objects must not be mangled further.
    others: tuple[Any, ...] = (True, False, {}, (), (None,), ({},), ((),), {"a": {}}, ("a", 1))
    return random.choice(random.choice((TEXTS, VERSIONS, DATES, NUMBERS, others, others)))


@contextmanager
def told(number: int, body: bytes) -> Iterator[None]:
    """Whatever fails says with which object."""
    try:
        yield
    except Exception as error:
        error.add_note(f"object {number}, {len(body)} bytes: {body[:5000]!r}")
        raise


def follower(resource: Resource[Any]) -> Recorded:
    # What does not match the selectors is kept away by the API server, however broken.
    everything = replace(resource, label_selector="", field_selector="")
    return Recorded(everything, Clock(NOW), present=True)


def deliver(to: Recorded, body: bytes) -> list[Delta]:
    return to.apply(Line(NOW, 0, "ADDED", to.resource, msgspec.Raw(body)))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Lines about objects that were left out."""
    return [message for message in caplog.messages if " is left out: " in message]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
def test_a_mangled_object_is_read_or_refused_and_counted_and_costs_no_other(
    resource: Resource[Record], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    decoder = ObjectDecoder(resource.record)
    recorded = follower(resource)
    deliver(recorded, whole_json(resource))
    healthy = dict(recorded.store.records)

    # What each name was last: a record, or refused.
    last: dict[Key, Record | None] = {}
    refused = 0
    causes: defaultdict[str, set[Key | None]] = defaultdict(set)
    for number, body in enumerate(islice(mangled(resource, renamed=True), OBJECTS)):
        with told(number, body):
            try:
                record = decoder.decode(body)
            except BadObject as error:
                refused += 1
                causes[error.cause].add(error.key)
                if error.key:
                    last[error.key] = None
            else:
                last[object_key(record.metadata.namespace, record.name)] = record
            deliver(recorded, body)

    # Both happen often, or the mutator proves nothing.
    assert OBJECTS * 0.1 < refused < OBJECTS * 0.9
    assert recorded.status.object_errors == refused
    assert healthy.keys().isdisjoint(last)
    held = {key: record for key, record in last.items() if record is not None}
    assert recorded.store.records == {**healthy, **held}
    assert recorded.store.skipped == len(last) - len(held)
    assert len(causes) <= LOGGED_CAUSES
    assert len(logged(caplog)) == sum(min(len(keys), LOGGED_NAMES) for keys in causes.values())


def test_causes_without_end_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    recorded = follower(SUBSCRIPTIONS)
    bad = 3 * LOGGED_CAUSES
    for number in range(bad):
        # The cause names the place of the bad byte, and so is another one every time.
        text = b"x" * number + b"\xff"
        deliver(recorded, b'{"metadata":{"name":"bad-%d"},"spec":{"channel":"%b"}}' % (number, text))
    assert recorded.status.object_errors == recorded.store.skipped == bad
    assert len(logged(caplog)) == LOGGED_CAUSES + LOGGED_NAMES


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
def test_a_cluster_with_a_mangled_object_has_facts_and_a_page(resource: Resource[Record]) -> None:
    healthy = whole_records()
    availability = dict.fromkeys(WHOLE, Availability.KNOWN)
    page = FactsPage(SUBJECTS)
    for number, (body, record) in enumerate(islice(understood(resource), FACTS_OBJECTS)):
        with told(number, body):
            records = {**healthy, resource.plural: {key_of(record): record}}
            cluster = Cluster(records, availability=availability)
            seen = History()
            # First with nothing remembered, then with what was seen.
            for now in (NOW, NOW + 1):
                facts = Facts(cluster, seen, now)
                show(page, facts)
                assert not page.rule_errors.total()
                assert all(found.known for found in facts.findings.found)
                seen = facts.observe(seen)
            assert decode(encode(seen)) == seen
            assert_readable(page.render(Format.TEXT))


def understood(resource: Resource[RecordT]) -> Iterator[tuple[bytes, RecordT]]:
    """The mangled objects that are not refused."""
    decoder = ObjectDecoder(resource.record)
    for body in mangled(resource):
        with suppress(BadObject):
            yield body, decoder.decode(body)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.plural)
def test_a_mangled_object_is_shown_or_left_out_wherever_people_and_machines_look(
    resource: Resource[Record], caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, followers = whole_cluster()
    for number, body in enumerate(islice(mangled(resource), SHOWN_OBJECTS)):
        with told(number, body):
            # Alone of its kind: beside the healthy one it would not count.
            mangled_one = followers[resource.plural]
            pipeline.note_change(resource.plural, mangled_one.store.clear())
            pipeline.note_change(resource.plural, deliver(mangled_one, body))
            assert_shown(pipeline, caplog)


@pytest.mark.parametrize("date", DATES)
def test_a_cluster_whose_dates_are_all_odd_is_shown(date: str, caplog: pytest.LogCaptureFixture) -> None:
    pipeline, followers = whole_cluster()
    for plural, each in followers.items():
        text = re.sub(rf'"{DATE.pattern}"', json.dumps(date), json.dumps(WHOLE[plural]))
        pipeline.note_change(plural, deliver(each, text.encode()))
    assert_shown(pipeline, caplog)


def whole_cluster() -> tuple[Pipeline, dict[str, Recorded]]:
    """A pipeline over followers that hold all of WHOLE."""
    followers = {each.plural: follower(each) for each in RESOURCES}
    pipeline = Pipeline(source="replay", wall_clock=Clock(NOW))
    pipeline.followers = tuple(followers.values())
    for plural, each in followers.items():
        pipeline.note_change(plural, deliver(each, whole_json(each.resource)))
    return pipeline, followers


def whole_json(resource: Resource[Any]) -> bytes:
    return msgspec.json.encode(WHOLE[resource.plural])


def assert_shown(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    assert status_page(pipeline)
    assert json.loads(status_json(pipeline))
    assert_readable(pipeline.scrape(Format.TEXT).decode())
    assert not sum(pipeline.watching().rule_errors.values())
    assert not [each.message for each in caplog.records if each.levelno >= logging.ERROR]


def assert_readable(page: str) -> None:
    """A scraper reads one sample from every line."""
    assert page.encode().decode() == page
    lines = [line for line in page.split("\n") if line and not line.startswith("#")]
    assert lines
    assert len(lines) == sum(len(family.samples) for family in parse_text(page))
