"""Alertmanager, alone: grouping, inhibition and routing as in a cluster, notifications to a `Webhook`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import yaml

from tests.servers.process import Server, http_json
from tests.tools.binaries import path_of


class Alertmanager(Server):
    """Alertmanager with this configuration."""

    name: ClassVar[str] = "alertmanager"

    def __init__(
        self, config: Mapping[str, Any], *, program: Path | None = None, arguments: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self._program = program
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.port()}"

    def _prepare(self) -> None:
        (self.directory / "alertmanager.yml").write_text(yaml.safe_dump(dict(self.config), sort_keys=False))
        # An unpacked package looks for its templates below the working folder, see `binaries.relocate`.
        package = self._path().parents[1]
        link = self.directory / "usr"
        if package.name == "usr" and not link.is_symlink():
            link.symlink_to(package)

    def _path(self) -> Path:
        return self._program or path_of("alertmanager")

    def _command(self) -> list[str]:
        return [
            str(self._path()),
            f"--config.file={self.directory / 'alertmanager.yml'}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port()}",
            "--cluster.listen-address=",  # no gossip: it would take a second port and wait for peers
            *self._arguments,
        ]

    def _ready(self) -> bool:
        return bool(http_json(f"{self.url}/-/ready", timeout=5) == "OK")

    async def alerts(self, *filters: str) -> list[dict[str, Any]]:
        """The alerts it knows and who is told of them; `filters` are matchers such as `severity="info"`."""
        query = "&".join(f"filter={quote(each, safe='')}" for each in filters)
        answer = await asyncio.to_thread(http_json, f"{self.url}/api/v2/alerts?{query}")
        return list(answer)

    async def post(self, *alerts: Mapping[str, Any]) -> None:
        """Tell it of alerts, as Prometheus does."""
        await asyncio.to_thread(http_json, f"{self.url}/api/v2/alerts", list(alerts))
