"""Every contract test runs on the simulated API server and on a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.backend import Backend
from tests.contract.real import real_backend
from tests.contract.simulated import simulated_backend

SIMULATOR = "simulator"
REAL = "kube-apiserver"


@pytest.fixture(params=[SIMULATOR, pytest.param(REAL, marks=pytest.mark.real)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """An API server without any object of the exporter's kinds."""
    if request.param == SIMULATOR:
        async with simulated_backend() as simulated:
            yield simulated
        return
    async with real_backend(request.getfixturevalue("kube_apiserver")) as real:
        yield real
