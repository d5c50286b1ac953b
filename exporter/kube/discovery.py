"""Which API versions of a resource a server offers.

Versions are discovered, not assumed: HyperConverged moves from v1beta1 to v1 and its v1beta1 will go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from exporter.kube.errors import ApiError, ProtocolError

if TYPE_CHECKING:
    from exporter.kube.client import Client
    from exporter.kube.resource import Resource


class _GroupVersion(msgspec.Struct, gc=False):
    version: str


class _ApiGroup(msgspec.Struct, gc=False):
    versions: list[_GroupVersion] | None = None


_GROUP_DECODER: Final = msgspec.json.Decoder(_ApiGroup)


async def served_versions(client: Client, resource: Resource[Any], timeout: float) -> list[str]:
    """The versions of the resource's group that both sides know, the one to prefer first.

    A group lists versions that not each of its resources has, so the answer holds candidates. Where
    discovery itself is forbidden, all versions we know are candidates.

    Raises:
        ApiError: 404 when the group is absent or has none of our versions; any other refusal.
        ProtocolError: the answer is no discovery document.
    """
    known = list(resource.versions)
    if not resource.group:
        return known
    try:
        body = await client.get(resource.group_path, {}, read_timeout=timeout)
    except ApiError as error:
        if error.forbidden:
            return known
        raise
    try:
        group = _GROUP_DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the answer to discovery is no API group: {error}") from error
    served = {version.version for version in group.versions or ()}
    candidates = [version for version in known if version in served]
    if not candidates:
        raise ApiError(404, "NotFound", f"{resource.group} serves none of {', '.join(known)}")
    return candidates
