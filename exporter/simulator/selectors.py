"""Label and field selectors, as API servers read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from exporter.simulator.storage import Stored

Matcher: TypeAlias = Callable[[Stored], bool]
Matched: TypeAlias = Callable[[Stored], str]

_SET: Final = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUALITY: Final = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<operator>==|=|!=)\s*(?P<value>\S*)")
_OUTSIDE_PARENTHESES: Final = re.compile(r",(?![^(]*\))")


class _Reasoned(msgspec.Struct):
    reason: str = ""


def _reason(stored: Stored) -> str:
    """Of an event; API servers select nothing else by it."""
    try:
        return msgspec.json.decode(stored.body, type=_Reasoned).reason
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""


_FIELDS: Final[Mapping[str, Matched]] = {
    "metadata.name": lambda stored: stored.name,
    "metadata.namespace": lambda stored: stored.namespace,
    "reason": _reason,
}


class BadSelector(ValueError):
    """The selector is not understood."""


def matcher(labels: str, fields: str) -> Matcher:
    """Whether an object matches both selectors.

    Raises:
        BadSelector: one of them is not understood.
    """
    tests = [*_label_tests(labels), *_field_tests(fields)]
    return lambda stored: all(test(stored) for test in tests)


def _label_tests(selector: str) -> Iterator[Matcher]:
    for part in filter(None, (piece.strip() for piece in _OUTSIDE_PARENTHESES.split(selector))):
        yield _label_test(part)


def _label_test(part: str) -> Matcher:
    if match := _SET.fullmatch(part):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["operator"] == "in":
            return lambda stored: stored.labels.get(key) in values
        return lambda stored: stored.labels.get(key) not in values
    if match := _EQUALITY.fullmatch(part):
        key, value = match["key"], match["value"]
        if match["operator"] == "!=":
            return lambda stored: stored.labels.get(key) != value
        return lambda stored: stored.labels.get(key) == value
    if part.startswith("!") and " " not in part:
        return lambda stored: part[1:].strip() not in stored.labels
    if re.search(r"[\s()=!]", part):
        raise BadSelector(f"unable to parse requirement: {part}")
    return lambda stored: part in stored.labels


def _field_tests(selector: str) -> Iterator[Matcher]:
    for part in filter(None, (piece.strip() for piece in selector.split(","))):
        match = _EQUALITY.fullmatch(part)
        if match is None or match["key"] not in _FIELDS:
            raise BadSelector(f"field label not supported: {match['key'] if match else part}")
        yield _field_test(_FIELDS[match["key"]], match["value"], match["operator"] != "!=")


def _field_test(field: Matched, value: str, equal: bool) -> Matcher:
    return lambda stored: (field(stored) == value) is equal
