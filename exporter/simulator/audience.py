"""A story's way into the embedded API server's storage."""

from __future__ import annotations

from exporter.simulator.objects import ApiObject
from exporter.simulator.storage import Storage


class SimulatedCluster:
    """Applies and deletes at once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def apply(self, obj: ApiObject) -> object:
        """Create or replace an object, its status and given times included."""
        return self._storage.apply(obj)

    async def delete(self, kind: str, name: str, namespace: str = "") -> object:
        """Delete an object."""
        return self._storage.delete(kind, namespace, name)
