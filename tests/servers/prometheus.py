"""Prometheus: scrapes the exporter under test and evaluates its rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import yaml

from tests.servers.alertmanager import Alertmanager
from tests.servers.process import Server, http_json
from tests.servers.waiting import eventually
from tests.tools.binaries import path_of

Rules = str | Path | Mapping[str, Any]
"""Rules as the text of a rule file, as the path of one, or as what is in one."""


def scrape_config(
    job: str, *targets: str, interval: str = "1s", evaluation: str = "1s", **more: Any
) -> dict[str, Any]:
    """A configuration that scrapes these `host:port` targets in one job; `more` goes into that job."""
    job_config = {"job_name": job, "static_configs": [{"targets": list(targets)}], **more}
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": evaluation},
        "scrape_configs": [job_config],
    }


class Prometheus(Server):
    """Prometheus with this configuration and these rules, telling this Alertmanager if there is one."""

    name: ClassVar[str] = "prometheus"

    def __init__(
        self,
        config: Mapping[str, Any],
        rules: Sequence[Rules] = (),
        *,
        alertmanager: Alertmanager | None = None,
        program: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.config = config
        self.rules = rules
        self._alertmanager = alertmanager
        self._program = program
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.port()}"

    def _prepare(self) -> None:
        files = list(self.config.get("rule_files", ()))
        for number, each in enumerate(self.rules):
            if isinstance(each, Path):
                files.append(str(each.absolute()))
                continue
            file = self.directory / f"rules-{number}.yml"
            file.write_text(each if isinstance(each, str) else yaml.safe_dump(dict(each), sort_keys=False))
            files.append(str(file))
        config = {**self.config, "rule_files": files}
        if self._alertmanager is not None:
            targets = [f"127.0.0.1:{self._alertmanager.port()}"]
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": targets}]}]}
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def _command(self) -> list[str]:
        return [
            str(self._program or path_of("prometheus")),
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port()}",
            "--web.enable-lifecycle",
            # Alerts of the first seconds are lost: it takes Prometheus that long to know its Alertmanager.
            # A second instead of a minute until they are sent again; alerts that end are gone sooner, too.
            *self._unless_given("--rules.alert.resend-delay", "1s"),
            *self._arguments,
        ]

    def _unless_given(self, flag: str, value: str) -> list[str]:
        given = any(each.partition("=")[0] == flag for each in self._arguments)
        return [] if given else [f"{flag}={value}"]

    def _ready(self) -> bool:
        return "ready" in str(http_json(f"{self.url}/-/ready", timeout=5)).lower()

    async def reload(
        self, config: Mapping[str, Any] | None = None, rules: Sequence[Rules] | None = None
    ) -> None:
        """Take over another configuration or other rules; the samples stay.

        Raises:
            ErrorStatus: Prometheus refuses them.
        """
        self.config = self.config if config is None else config
        self.rules = self.rules if rules is None else rules
        self._prepare()
        await asyncio.to_thread(http_json, f"{self.url}/-/reload", {})

    async def _data(self, path: str, **parameters: str) -> Any:
        query = f"?{urlencode(parameters)}" if parameters else ""
        answer = await asyncio.to_thread(http_json, f"{self.url}/api/v1/{path}{query}")
        return answer["data"]

    async def query(self, expr: str, time: float | None = None) -> list[dict[str, Any]]:
        """The series of an instant vector: each with `metric` and `value`."""
        parameters = {"query": expr, **({} if time is None else {"time": f"{time:.3f}"})}
        return list((await self._data("query", **parameters))["result"])

    async def value(self, expr: str) -> float | None:
        """The value of the only series; None when there is none.

        Raises:
            LookupError: there are several.
        """
        series = await self.query(expr)
        if len(series) > 1:
            raise LookupError(f"{expr} has {len(series)} series")
        return float(series[0]["value"][1]) if series else None

    async def wait_for(self, expr: str, *, timeout: float = 30.0) -> list[dict[str, Any]]:
        """The series of an expression once there are any."""
        found: list[dict[str, Any]] = []

        async def some() -> bool:
            found[:] = await self.query(expr)
            return bool(found)

        await eventually(some, f"Prometheus has {expr}", timeout=timeout, poll=0.1)
        return found

    async def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with `health` and `lastError`."""
        return list((await self._data("targets"))["activeTargets"])

    async def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts."""
        return list((await self._data("alerts"))["alerts"])

    async def rule_groups(self) -> list[dict[str, Any]]:
        """The loaded rules, with `health` and `lastError` of each."""
        return list((await self._data("rules"))["groups"])
