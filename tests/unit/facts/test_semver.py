"""Versions and the one line their minors lie on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.facts import semver


@pytest.mark.parametrize(
    ("version", "minor", "openshift", "operator"),
    [
        ("4.18.3", "4.18", 18, 18),
        ("v4.18.3", "4.18", 18, 18),
        ("4.18", "4.18", 18, 18),
        ("4.19.0-okd-scos.16", "4.19", 19, 19),
        ("4.16.0-rc.1", "4.16", 16, 16),
        ("4.23.0", "4.23", 23, 23),
        ("5.0.0", "5.0", 23, 23),
        ("5.1.2", "5.1", 24, 24),
        ("1.14.0", "1.14", None, 18),
        ("1.11.1+0.1747215995.p", "1.11", None, 15),
        ("2.6.10", "2.6", None, None),
        ("", "", None, None),
        ("4", "", None, None),
        ("four.18", "", None, None),
        ("4.18x", "", None, None),
        ("4.-1.0", "", None, None),
        ("4.018.0", "", None, None),
    ],
)
def test_minor_and_its_place_on_the_line(
    version: str, minor: str, openshift: int | None, operator: int | None
) -> None:
    assert semver.minor(version) == minor
    assert semver.openshift_line(version) == openshift
    assert semver.operator_line(version) == operator


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    minor = semver.minor(text)
    assert minor == "" or text.removeprefix("v").startswith(minor)
    assert (semver.openshift_line(text) is None) or minor


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_the_last_4_and_the_first_5_are_one_place(minor: int, patch: int) -> None:
    four, five = semver.openshift_line(f"4.{minor + 23}.{patch}"), semver.openshift_line(f"5.{minor}.{patch}")
    if minor + 23 <= 9999:
        assert four == five


@pytest.mark.parametrize(
    "versions",
    [
        ["4.17.20", "4.18.0-rc.1", "4.18.0-rc.2", "4.18.0-rc.10", "4.18.0", "4.18.3", "4.18.11", "5.0.0"],
        # Rebuilds of a version come after it, as in OLM's catalogs.
        ["4.11.1", "4.11.1+0.1747215995.p", "4.11.1+0.1757215995.p", "4.11.2"],
        ["1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-a", "1.0.0-a.1", "1.0.0-b", "1.0.0"],
    ],
)
def test_versions_come_one_after_another(versions: list[str]) -> None:
    for number, version in enumerate(versions):
        assert [semver.newer(version, other) for other in versions] == [
            position < number for position in range(len(versions))
        ]


@pytest.mark.parametrize("text", ["", "4.18", "latest", "4.18.x", "4.18.3.1", "4.18.3 ", "9" * 500 + ".1.1"])
def test_what_is_no_version_comes_after_nothing_and_before_nothing(text: str) -> None:
    assert semver.precedence(text) is None
    assert not semver.newer(text, "4.18.3")
    assert not semver.newer("4.18.3", text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_texts_compare(one: str, other: str) -> None:
    assert not (semver.newer(one, other) and semver.newer(other, one))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("kubevirt-hyperconverged-operator.v4.18.3", "4.18.3"),
        ("kubevirt-hyperconverged-operator.4.18.3", "4.18.3"),
        ("kubevirt-hyperconverged-operator.v4.18.3-rc.1", "4.18.3-rc.1"),
        # A rebuild, whose name cannot hold the plus sign.
        ("kubevirt-hyperconverged-operator.v4.18.3-0.1747215995.p", "4.18.3+0.1747215995.p"),
        ("kubevirt-hyperconverged-operator", ""),
        ("", ""),
    ],
)
def test_the_version_in_a_name(name: str, version: str) -> None:
    assert semver.of_csv(name) == version
