"""Which kinds the simulated API server offers, and which of them a path names."""

from __future__ import annotations

from typing import Any

from exporter.simulator.kinds import Kind
from exporter.simulator.requests import Target


def document(kinds: tuple[Kind, ...], path: str) -> dict[str, Any] | None:
    """The discovery document at a path; None where there is none."""
    parts = path.strip("/").split("/")
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.group:
            versions = groups.setdefault(kind.group, [])
            versions += [version for version in kind.versions if version not in versions]
    if parts == ["apis"]:
        listed = [_group(group, versions) for group, versions in groups.items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    if len(parts) == 2 and parts[0] == "apis" and parts[1] in groups:
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], groups[parts[1]])}
    if parts == ["api", "v1"] or (len(parts) == 3 and parts[0] == "apis"):
        group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
        found = [each for each in kinds if each.group == group and version in each.versions]
        if found:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}".lstrip("/"),
                "resources": [_resource(each) for each in found],
            }
    return None


def target(kinds: tuple[Kind, ...], path: str) -> Target | None:
    """What a path names; None when it names nothing that is served."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    for kind in kinds:
        if (kind.group, kind.plural) == (group, rest[0]) and version in kind.versions and len(rest) < 4:
            name, subresource = [*rest[1:], "", ""][:2]
            return Target(kind, version, namespace, name, subresource)
    return None


def _group(group: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: Kind) -> dict[str, Any]:
    writes = ["create", "delete", "patch", "update"]
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": [*writes, "get", "list", *(["watch"] if kind.watchable else [])],
    }
