"""RBAC of the real server: who may do what, changed so that the change holds when the call returns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.servers.client import ApiError, Client
from tests.servers.kube_apiserver import User
from tests.servers.waiting import eventually

READ: Final = ("get", "list", "watch")
PREFIX: Final = "test:"
"""Begins the names of all roles and bindings made here."""

_API: Final = "rbac.authorization.k8s.io"
_VERSION: Final = f"{_API}/v1"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def split_resource(resource: str) -> tuple[str, str]:
    """`subscriptions.operators.coreos.com` as plural and group; `pods` has no group."""
    plural, _, group = resource.partition(".")
    return plural, group


@dataclass(frozen=True)
class _Target:
    """A resource in one namespace, or everywhere when that is empty."""

    plural: str
    group: str
    namespace: str


def _targets(resources: str | Iterable[str], namespace: str) -> list[_Target]:
    names = [resources] if isinstance(resources, str) else resources
    return [_Target(*split_resource(name), namespace) for name in names]


class Permissions:
    """One role and one binding for each user, in each namespace concerned and for the whole cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held: dict[str, dict[_Target, tuple[str, ...]]] = defaultdict(dict)

    def forget(self) -> None:
        """All roles and bindings were removed."""
        self._held.clear()

    async def allow(
        self, user: User | str, resources: str | Iterable[str], verbs: Iterable[str], namespace: str
    ) -> None:
        """Permit verbs on resources."""
        name = user if isinstance(user, str) else user.name
        held, given = self._held[name], tuple(verbs)
        targets = _targets(resources, namespace)
        for target in targets:
            held[target] = tuple(dict.fromkeys((*held.get(target, ()), *given)))
        await self._write(name, namespace)
        for target in targets:
            for verb in given:
                await self._effective(name, target, verb, allowed=True)

    async def forbid(
        self, user: User | str, resources: str | Iterable[str], verbs: Iterable[str] | None, namespace: str
    ) -> None:
        """Take back what was permitted in the same namespace, or everywhere: all verbs or these."""
        name = user if isinstance(user, str) else user.name
        held = self._held[name]
        unwanted = None if verbs is None else set(verbs)
        taken: list[tuple[_Target, str]] = []
        for target in _targets(resources, namespace):
            if target not in held:
                raise ValueError(
                    f"{name} was not permitted {target.plural} in {namespace or 'all namespaces'}"
                )
            before = held[target]
            held[target] = tuple(verb for verb in before if unwanted is not None and verb not in unwanted)
            taken += [(target, verb) for verb in before if verb not in held[target]]
        await self._write(name, namespace)
        for target, verb in taken:
            everywhere = _Target(target.plural, target.group, "")
            if verb not in held.get(everywhere, ()):
                await self._effective(name, target, verb, allowed=False)

    async def _write(self, user: str, namespace: str) -> None:
        name = f"{PREFIX}{user}"
        kind = "Role" if namespace else "ClusterRole"
        scope = f"/namespaces/{namespace}" if namespace else ""
        base = f"/apis/{_VERSION}{scope}/{kind.lower()}"
        common = {"apiVersion": _VERSION, "metadata": {"name": name}}
        rules = [
            {"apiGroups": [target.group], "resources": [target.plural], "verbs": list(verbs)}
            for target, verbs in self._held[user].items()
            if target.namespace == namespace and verbs
        ]
        await self._put(f"{base}s", name, {**common, "kind": kind, "rules": rules})
        binding = {
            **common,
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
            "subjects": [{"apiGroup": _API, "kind": "User", "name": user}],
        }
        await self._put(f"{base}bindings", name, binding)

    async def _put(self, collection: str, name: str, body: object) -> None:
        try:
            await self._client.request("POST", collection, body)
        except ApiError as error:
            if error.status != 409:
                raise
            await self._client.request("PUT", f"{collection}/{name}", body)

    async def _effective(self, user: str, target: _Target, verb: str, *, allowed: bool) -> None:
        attributes = {
            "verb": verb,
            "group": target.group,
            "resource": target.plural,
            "namespace": target.namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes},
        }

        async def so() -> bool:
            # The server decides about requests from the same cache, so its answer holds for those.
            answer = await self._client.request("POST", _REVIEWS, review)
            return bool(answer["status"]["allowed"]) is allowed

        await eventually(so, f"{user} {'may' if allowed else 'may not'} {verb} {target.plural}")
