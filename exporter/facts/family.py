"""How a metric is declared: a family, and the rule that gives its samples from a subject's facts.

A family is declared once, beside its rule, with everything the outside world sees of it (name, type,
help, labels) and everything it rests on (source, resources). The page, the metrics reference and the
freshness gates of the alerts are all made from the same declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from exporter.kube.resource import Resource

if TYPE_CHECKING:
    from exporter.facts.machine import Machine

PREFIX: Final = "virt_upgrade_"

FactsT = TypeVar("FactsT")

Sample: TypeAlias = tuple[tuple[str, ...], float]
"""Label values in the order of the family's labels, and the value."""
Samples: TypeAlias = Iterator[Sample]
SUM: Final = "sum"
"""Of a histogram, in the place of a bucket's bound: the sum of what was observed."""
FamilyType: TypeAlias = Literal["gauge", "counter", "histogram"]

RESERVED_LABELS: Final = frozenset(
    {"cluster", "namespace", "pod", "container", "service", "endpoint", "job", "instance"}
)
"""Labels that scrapers own: user-workload monitoring overwrites some of them."""


@dataclass(frozen=True)
class Family:
    """The outside of one metric."""

    name: str
    help: str
    type: FamilyType = "gauge"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.startswith(PREFIX):
            raise ValueError(f"{self.name} does not begin with {PREFIX}")
        if taken := RESERVED_LABELS.intersection(self.labels):
            raise ValueError(f"{self.name} has labels that belong to the scraper: {', '.join(sorted(taken))}")

    @cached_property
    def line(self) -> str:
        """A sample's line: a template that takes the label values and the value."""
        labels = ",".join(f'{name}="%s"' for name in self.labels)
        return self.name + (f"{{{labels}}}" if labels else "") + " %s\n"

    @property
    def unit(self) -> str:
        """The unit that the name ends with; empty for numbers of things."""
        return "seconds" if self.name.removesuffix("_total").endswith("_seconds") else ""


@dataclass(frozen=True)
class Rule(Generic[FactsT]):
    """Where the samples of a family, or some of them, come from."""

    family: Family
    samples: Callable[[FactsT], Iterable[Sample]]
    source: str
    """The API fields the value rests on."""
    requires: tuple[Resource[Any], ...]
    """No samples while one of these is absent, forbidden or not yet synced."""
    optional: tuple[Resource[Any], ...]
    """These count as empty while absent; no samples while one is forbidden or not yet synced."""
    helpful: tuple[Resource[Any], ...] = ()
    """These say more; the samples stand without them, and the rule knows what it must not say then."""
    timed: bool = False
    """The samples change with time, or with what is remembered."""
    each: Callable[[Machine], Iterable[Sample]] | None = None
    """The samples of one VM, where the family has some for each: these are kept rendered, VM by VM."""

    @property
    def resources(self) -> tuple[Resource[Any], ...]:
        """Everything the samples rest on."""
        return self.requires + self.optional

    @property
    def reads(self) -> tuple[Resource[Any], ...]:
        """Everything whose changes may change the samples."""
        return self.resources + self.helpful


@dataclass(frozen=True)
class Subject(Generic[FactsT]):
    """The rules of one subject, all reading the same facts."""

    name: str
    rules: list[Rule[FactsT]] = field(default_factory=list)

    def gauge(
        self,
        name: str,
        help_text: str,
        *,
        source: str,
        labels: tuple[str, ...] = (),
        requires: tuple[Resource[Any], ...] = (),
        optional: tuple[Resource[Any], ...] = (),
        helpful: tuple[Resource[Any], ...] = (),
        timed: bool = False,
    ) -> Callable[[Callable[[FactsT], Iterable[Sample]]], Callable[[FactsT], Iterable[Sample]]]:
        """Declare a gauge; the decorated function gives its samples."""
        family = Family(name, help_text, labels=labels)
        return self.adds_to(
            family, source=source, requires=requires, optional=optional, helpful=helpful, timed=timed
        )

    def histogram(
        self,
        name: str,
        help_text: str,
        *,
        source: str,
        labels: tuple[str, ...] = (),
        requires: tuple[Resource[Any], ...] = (),
        optional: tuple[Resource[Any], ...] = (),
        helpful: tuple[Resource[Any], ...] = (),
        timed: bool = False,
    ) -> Callable[[Callable[[FactsT], Iterable[Sample]]], Callable[[FactsT], Iterable[Sample]]]:
        """Declare a histogram; the decorated function gives what `distribution` makes."""
        family = Family(name, help_text, type="histogram", labels=labels)
        return self.adds_to(
            family, source=source, requires=requires, optional=optional, helpful=helpful, timed=timed
        )

    def counter(
        self, name: str, help_text: str, *, source: str, labels: tuple[str, ...] = ()
    ) -> Callable[[Callable[[FactsT], Iterable[Sample]]], Callable[[FactsT], Iterable[Sample]]]:
        """Declare a counter; the decorated function gives its samples."""
        return self.adds_to(Family(name, help_text, type="counter", labels=labels), source=source)

    def adds_to(
        self,
        family: Family,
        *,
        source: str,
        requires: tuple[Resource[Any], ...] = (),
        optional: tuple[Resource[Any], ...] = (),
        helpful: tuple[Resource[Any], ...] = (),
        timed: bool = False,
    ) -> Callable[[Callable[[FactsT], Iterable[Sample]]], Callable[[FactsT], Iterable[Sample]]]:
        """Declare samples of a family that several subjects contribute to."""

        def declare(samples: Callable[[FactsT], Iterable[Sample]]) -> Callable[[FactsT], Iterable[Sample]]:
            self.rules.append(Rule(family, samples, source, requires, optional, helpful, timed))
            return samples

        return declare


def distribution(bounds: Sequence[float], counts: Sequence[int], total: float, *labels: str) -> Samples:
    """The samples of one histogram.

    Args:
        bounds: upper bounds of the buckets.
        counts: what fell in each, not added up; one more than bounds.
        total: the sum of everything observed.
        labels: values of the labels.
    """
    below = 0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        below += count
        yield (*labels, "+Inf" if bound == float("inf") else str(float(bound))), below
    yield (*labels, SUM), total


def stateset(states: Sequence[str], current: str, *before: str) -> Samples:
    """One sample per state, exactly one of them 1; the state is the last label."""
    for state in states:
        yield (*before, state), float(state == current)
