"""Writes over HTTP: ConfigMaps are what clients of the simulated cluster may create and patch."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from exporter.simulator.requests import Refusal, Target
from exporter.simulator.storage import ApiObject, NotFound, Storage

WRITABLE: Final = frozenset({"configmaps"})


async def write(storage: Storage, request: web.Request, target: Target) -> tuple[int, ApiObject]:
    """Carry out a POST or PATCH; status and object of the answer.

    Raises:
        Refusal: the request is not understood, or conflicts with what is stored.
        NotFound: there is no object to patch.
    """
    if target.kind.plural not in WRITABLE or request.method not in {"POST", "PATCH"}:
        raise Refusal(405, "MethodNotAllowed", "the simulated cluster is changed by its stories alone")
    try:
        body = msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Refusal(400, "BadRequest", f"the body is no object: {error}") from error
    metadata = body.get("metadata") or {}
    if request.method == "POST":
        return 201, _create(storage, target, body, str(metadata.get("name", "")))
    stored = storage.get(target.kind.plural, target.namespace, target.name)
    old = msgspec.json.decode(stored.body)
    if metadata.get("resourceVersion", old["metadata"]["resourceVersion"]) != str(stored.revision):
        message = f'Operation cannot be fulfilled on {target.kind.plural} "{target.name}": the object has'
        raise Refusal(409, "Conflict", f"{message} been modified")
    return 200, storage.apply(_merged(old, body))


def _create(storage: Storage, target: Target, body: ApiObject, name: str) -> ApiObject:
    try:
        storage.get(target.kind.plural, target.namespace, name)
    except NotFound:
        metadata = {**body["metadata"], "namespace": target.namespace}
        return storage.apply({**body, "kind": target.kind.kind, "metadata": metadata})
    raise Refusal(409, "AlreadyExists", f'{target.kind.plural} "{name}" already exists')


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
