"""Series of single VMs: what is kept rendered and compressed is what a scraper reads."""

from __future__ import annotations

import gzip

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.facts.family import Family, Samples
from exporter.facts.machine import Machine, Surroundings, derive
from exporter.facts.machine import Settings as MachineSettings
from exporter.kube.decoding import ObjectDecoder
from exporter.metrics import bulk
from exporter.metrics.bulk import BulkFamilies
from exporter.metrics.gzipping import Segment, compress, joined, member
from exporter.records.machines import VirtualMachineInstance
from tests.unit.facts.vms import vmi

INFO = Family("virt_upgrade_a", "", labels=("vm", "reason"))
OBJECTS = Family("virt_upgrade_b", "", labels=("vm", "object"))


def info(vm: Machine) -> Samples:
    if vm.reason:
        yield (vm.name, vm.reason), 1


def named(vm: Machine) -> Samples:
    for number in range(len(vm.cause) if vm.reason else 0):
        yield (vm.name, str(number)), 1


def a_vm(name: str, reason: str = "SEVNotLiveMigratable", strategy: str = "None") -> Machine:
    raw = msgspec.json.encode(vmi(name, live=reason or True, strategy=strategy))
    found = derive(ObjectDecoder(VirtualMachineInstance).decode(raw), Surroundings(), MachineSettings(), 0.0)
    assert found is not None
    return found


def kept(limit: int = 1000) -> BulkFamilies:
    return BulkFamilies({INFO: info, OBJECTS: lambda _vm: ()}, limit)


def lines(families: BulkFamilies) -> list[str]:
    families.settle()
    text = families.text(INFO)
    assert gzip.decompress(member([families.segment(INFO)])) == text
    return sorted(text.decode().splitlines())


def line(name: str, reason: str = "SEVNotLiveMigratable") -> str:
    return f'virt_upgrade_a{{vm="{name}",reason="{reason}"}} 1'


def test_lines_follow_what_happens_to_a_vm() -> None:
    families = kept()
    families.update("a", a_vm("a"))
    families.update("b", a_vm("b"))
    assert lines(families) == [line("a"), line("b")]
    families.update("a", a_vm("a", "Another"))
    assert lines(families) == [line("a", "Another"), line("b")]
    families.update("b", a_vm("b", ""))
    assert lines(families) == [line("a", "Another")]
    families.update("a", None)
    families.update("never", None)
    assert lines(families) == []


def test_what_has_not_changed_is_neither_rendered_nor_compressed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    families = kept()
    for number in range(500):
        families.update(f"vm{number}", a_vm(f"vm{number}"))
    lines(families)
    compressed: list[bytes] = []

    def noted(text: bytes) -> Segment:
        compressed.append(text)
        return compress(text)

    monkeypatch.setattr(bulk, "compress", noted)
    lines(families)
    assert compressed == []
    # The same facts again change nothing.
    families.update("vm7", a_vm("vm7"))
    lines(families)
    assert compressed == []
    families.update("vm7", a_vm("vm7", "Another"))
    lines(families)
    assert len(compressed) == 1
    assert len(compressed[0].splitlines()) < 30


def test_what_is_to_be_compressed_comes_in_pieces() -> None:
    families = kept()
    for number in range(500):
        families.update(f"vm{number}", a_vm(f"vm{number}"))
    pieces = families.to_compress([INFO])
    assert len(pieces) == bulk.BUCKETS
    for each in pieces:
        each()
    assert families.to_compress([INFO]) == []
    assert len(lines(families)) == 500


@pytest.mark.parametrize(
    ("limit", "shown", "omitted"),
    [(0, "", 4), (1, "c", 3), (2, "c d", 2), (3, "a c d", 1), (4, "a b c d", 0)],
)
def test_what_would_hold_a_drain_is_shown_first_when_not_all_fit(
    limit: int, shown: str, omitted: int
) -> None:
    families = kept(limit)
    for name, strategy in (("b", "None"), ("d", "LiveMigrate"), ("a", "None"), ("c", "External")):
        families.update(name, a_vm(name, strategy=strategy))
    assert lines(families) == [line(each) for each in shown.split()]
    assert families.omitted == omitted
    # There is room again: everybody is back.
    for name in "cd":
        families.update(name, None)
    assert lines(families) == [line(each) for each in "ab"][: max(0, limit)]
    assert families.omitted == max(0, 2 - limit)


def test_a_vm_has_all_its_series_or_none() -> None:
    families = BulkFamilies({INFO: info, OBJECTS: named}, 10)
    families.update("a", a_vm("a"))
    families.update("b", a_vm("b"))
    families.settle()
    # Nine series each: one of the first family, eight of the second.
    assert len(families.text(INFO).splitlines()) == 1
    assert len(families.text(OBJECTS).splitlines()) == 8
    assert families.omitted == 1


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 100_000), max_size=3))
def test_parts_compressed_apart_make_one_gzip_file(parts: list[bytes], sizes: list[int]) -> None:
    whole = parts + [b"0123456789" * (size // 10) for size in sizes]
    packed = member(map(compress, whole))
    assert gzip.decompress(packed) == b"".join(whole)
    # The same with some of them put together before.
    assert member([joined(map(compress, whole[:3])), *map(compress, whole[3:])]) == packed
