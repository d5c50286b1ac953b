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
