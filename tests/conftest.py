"""Real servers as fixtures, and what becomes of a test whose tool this machine cannot have.

A missing tool skips the test with the one command that would permit it, or fails it when
`VIRT_TEST_REQUIRE_ALL=1`. Nothing is started, built or fetched unless a test asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.tools.binaries import ToolUnavailable, path_of, version_of

# Imported by the fixtures only: tests of pure functions do not wait for, or fail with, what servers need.
if TYPE_CHECKING:
    from tests.servers.alertmanager import Alertmanager
    from tests.servers.kube_apiserver import KubeApiServer
    from tests.servers.prometheus import Prometheus, Rules
    from tests.servers.real_cluster import RealCluster
    from tests.servers.webhook import Webhook

# How long an example takes says how busy the machine is, and nothing about the example.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_REAL_FIXTURES: Final = {"kube_apiserver", "real_cluster", "prometheus", "alertmanager", "promtool", "amtool"}

_TITLES: Final = {"prometheus": "Prometheus", "alertmanager": "Alertmanager"}

_REAL: Final = "real servers"
_RAN: Final = pytest.StashKey[set[str]]()
_TOOLS_USED: Final = pytest.StashKey[set[str]]()


class StartPrometheus(Protocol):
    """Starts a Prometheus that ends with the test."""

    def __call__(
        self,
        config: Mapping[str, Any],
        rules: Sequence[Rules] = (),
        *,
        alertmanager: Alertmanager | None = None,
        arguments: Sequence[str] = (),
    ) -> Awaitable[Prometheus]:
        """The running server."""


class StartAlertmanager(Protocol):
    """Starts an Alertmanager that ends with the test."""

    def __call__(
        self, config: Mapping[str, Any], *, arguments: Sequence[str] = ()
    ) -> Awaitable[Alertmanager]:
        """The running server."""


# Missing tools


def _unavailable(reason: ToolUnavailable) -> NoReturn:
    if os.environ.get("VIRT_TEST_REQUIRE_ALL", "0") not in {"", "0"}:
        pytest.fail(str(reason), pytrace=False)
    pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    try:
        return (yield)
    except ToolUnavailable as reason:
        _unavailable(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except ToolUnavailable as reason:
        _unavailable(reason)


# Marker and summary


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RAN] = set()
    config.stash[_TOOLS_USED] = set()
    config.pluginmanager.register(_Summary(config))


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by the marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _REAL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("real")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and not report.skipped and item.get_closest_marker("real"):
        process = sys.modules.get("tests.servers.process")
        started: set[str] = process.STARTED if process else set()
        # With the report, since it may be another process that sums up.
        report.user_properties.append((_REAL, sorted({*started, *item.config.stash[_TOOLS_USED]})))
    return report


class _Summary:
    """Which tests ran on real servers, and which those were."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, used in report.user_properties:
            if name == _REAL:
                self._config.stash[_RAN].add(report.nodeid)
                self._config.stash[_TOOLS_USED].update(used if isinstance(used, list) else ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    count = len(config.stash[_RAN])
    if not count:
        return
    order = ["kube-apiserver", "etcd", "prometheus", "alertmanager", "promtool", "amtool"]
    tools = config.stash[_TOOLS_USED]
    used = [name for name in order if name in tools]
    versions = ", ".join(f"{_TITLES.get(name, name)} {version_of(name)}" for name in used)
    noun = "test" if count == 1 else "tests"
    terminalreporter.write_line(f"{count} {noun} ran on real servers ({versions})")


# Programs


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The path of a program by name; what must be built or fetched first is announced in one line."""
    plugins = request.config.pluginmanager
    terminal: pytest.TerminalReporter | None = plugins.get_plugin("terminalreporter")
    capture = plugins.get_plugin("capturemanager")

    def progress(line: str) -> None:
        if terminal is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                terminal.write_line(f"\n{line}")

    def find(name: str) -> Path:
        return path_of(name, progress)

    return find


@pytest.fixture(scope="session")
def promtool(program: Callable[[str], Path], request: pytest.FixtureRequest) -> Path:
    """Prometheus' checker and rule tester."""
    path = program("promtool")
    request.config.stash[_TOOLS_USED].add("promtool")
    return path


@pytest.fixture(scope="session")
def amtool(program: Callable[[str], Path], request: pytest.FixtureRequest) -> Path:
    """Alertmanager's checker and route tester."""
    path = program("amtool")
    request.config.stash[_TOOLS_USED].add("amtool")
    return path


# Servers


@pytest.fixture(scope="session")
def kube_apiserver(program: Callable[[str], Path]) -> Iterator[KubeApiServer]:
    """One running API server for all tests; `real_cluster` is it, cleaned, for one test.

    Started without an event loop: every test has its own.
    """
    from tests.servers.etcd import Etcd
    from tests.servers.kube_apiserver import KubeApiServer

    etcd = Etcd(program("etcd"))
    api = KubeApiServer(etcd, program=program("kube-apiserver"))
    try:
        etcd.start_blocking()
        api.start_blocking()
        yield api
    finally:
        api.close_blocking()
        etcd.close_blocking()


@pytest.fixture
async def real_cluster(kube_apiserver: KubeApiServer) -> AsyncIterator[RealCluster]:
    """A cluster without objects and with the CRDs of all kinds that the exporter reads."""
    from tests.servers.real_cluster import clean_cluster

    async with clean_cluster(kube_apiserver) as cluster:
        yield cluster


@pytest.fixture
async def prometheus(program: Callable[[str], Path]) -> AsyncIterator[StartPrometheus]:
    """`await prometheus(config, rules)` starts one."""
    from tests.servers.prometheus import Prometheus

    path = program("prometheus")
    async with AsyncExitStack() as stack:

        async def start(
            config: Mapping[str, Any],
            rules: Sequence[Rules] = (),
            *,
            alertmanager: Alertmanager | None = None,
            arguments: Sequence[str] = (),
        ) -> Prometheus:
            server = Prometheus(config, rules, alertmanager=alertmanager, program=path, arguments=arguments)
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
async def alertmanager(program: Callable[[str], Path]) -> AsyncIterator[StartAlertmanager]:
    """`await alertmanager(config)` starts one."""
    from tests.servers.alertmanager import Alertmanager

    path = program("alertmanager")
    async with AsyncExitStack() as stack:

        async def start(config: Mapping[str, Any], *, arguments: Sequence[str] = ()) -> Alertmanager:
            server = Alertmanager(config, program=path, arguments=arguments)
            return await stack.enter_async_context(server)

        yield start


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    """A receiver for Alertmanager's notifications."""
    from tests.servers.webhook import Webhook

    async with Webhook() as receiver:
        yield receiver
