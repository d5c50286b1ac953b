"""Credentials: what a kubeconfig and a pod can hold, and how they are renewed."""

from __future__ import annotations

import gc
import logging
import shutil
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.kube.credentials import Connection, CredentialsError, FileCredentials, StaticCredentials
from tests.tools.binaries import ToolUnavailable


@pytest.fixture(autouse=True)
def _no_pod_and_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, user: dict[str, Any], **cluster: Any) -> FileCredentials:
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://cluster:6443/"} | cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [
                    {"name": "x", "context": {"cluster": "c", "user": "u"}},
                    {"name": "y", "context": {"cluster": "c", "user": "u"}},
                ],
                "current-context": "x",
            }
        )
    )
    return FileCredentials(path, monotonic=Clock())


def advance(credentials: FileCredentials, seconds: float) -> None:
    assert isinstance(credentials.monotonic, Clock)
    credentials.monotonic.now += seconds


@pytest.mark.parametrize(
    ("user", "authorization"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"username": "u", "password": "p"}, "Basic dTpw"),
        ({}, None),
    ],
)
async def test_what_a_user_can_be(tmp_path: Path, user: dict[str, Any], authorization: str | None) -> None:
    connection = await write(tmp_path / "config", user).current()
    assert connection.server == "http://cluster:6443"
    assert connection.authorization == authorization
    assert connection.headers == ({"Authorization": authorization} if authorization else {})


async def test_a_token_file_is_stripped_and_read_again_after_a_minute(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    credentials = write(tmp_path / "config", {"tokenFile": str(token)})
    first = await credentials.current()
    assert first.authorization == "Bearer one"
    token.write_text("two\n")
    advance(credentials, 59)
    assert await credentials.current() is first
    advance(credentials, 2)
    assert (await credentials.current()).authorization == "Bearer two"


async def test_a_rejected_connection_is_renewed_at_once_and_once_for_all(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    plugin = exec_plugin(tmp_path, f"echo x >> {runs}; N=$(wc -l < {runs}); token $N")
    credentials = write(tmp_path / "config", plugin)
    first = await credentials.current()
    assert first.authorization == "Bearer token-1"
    advance(credentials, 1)
    second = await credentials.renew(first)
    assert second.authorization == "Bearer token-2"
    assert await credentials.renew(first) is second
    assert (await credentials.current()) is second
    assert await credentials.renew(second) is second


def exec_plugin(tmp_path: Path, script: str) -> dict[str, Any]:
    path = tmp_path / "plugin"
    status = (
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
    )
    path.write_text(f"#!/bin/sh\ntoken() {{ printf '{status}' token-$1; }}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(path),
            "interactiveMode": "Never",
        }
    }


EXPIRING = (
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
    '"status":{"token":"%s","expirationTimestamp":"2026-06-01T00:10:00Z"}}'
)
NEW_YEAR_OF_SUMMER = 1780272000.0
"""2026-06-01T00:00:00Z."""


async def test_an_exec_plugin_is_asked_again_only_when_what_it_gave_expires(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    plugin = exec_plugin(tmp_path, f"echo x >> {runs}; printf '{EXPIRING}' token")
    credentials = write(tmp_path / "config", plugin)
    credentials.wall_clock = lambda: NEW_YEAR_OF_SUMMER
    await credentials.current()
    for _ in range(9):
        advance(credentials, 61)
        await credentials.current()
    assert runs.read_text().count("x") == 1
    advance(credentials, 60)
    await credentials.current()
    assert runs.read_text().count("x") == 2


async def test_an_exec_plugin_that_names_no_end_is_asked_again_only_on_rejection(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    credentials = write(tmp_path / "config", exec_plugin(tmp_path, f"echo x >> {runs}; token 1"))
    first = await credentials.current()
    advance(credentials, 100_000)
    assert await credentials.current() is first
    assert runs.read_text().count("x") == 1
    await credentials.renew(first)
    assert runs.read_text().count("x") == 2


async def test_an_exec_plugin_that_hangs_is_given_up(tmp_path: Path) -> None:
    credentials = write(tmp_path / "config", exec_plugin(tmp_path, "exec sleep 600"))
    credentials.plugin_timeout = 0.2
    with pytest.raises(CredentialsError, match=r"the exec plugin of .* gave no answer within 0.2 s"):
        await credentials.current()
    gc.collect()


async def test_an_exec_plugin_that_fails_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    credentials = write(tmp_path / "config", exec_plugin(tmp_path, "exit 1"))
    with pytest.raises(CredentialsError, match=r"exec plugin .* gave neither a token nor a certificate"):
        await credentials.current()


async def test_old_credentials_stay_while_new_ones_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="exporter")
    path = tmp_path / "config"
    credentials = write(path, {"token": "abc"})
    first = await credentials.current()
    path.write_text("{")
    for _ in range(3):
        advance(credentials, 61)
        assert await credentials.current() is first
    advance(credentials, 1)
    assert await credentials.renew(first) is first
    assert len(caplog.records) == 1
    assert "the old ones stay in use" in caplog.text
    write(path, {"token": "def"})
    advance(credentials, 1)
    assert (await credentials.renew(first)).authorization == "Bearer def"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "- a",
        "clusters: []",
        "current-context: x\ncontexts: [{name: x, context: {cluster: nowhere}}]\nclusters: []\nusers: []",
        "current-context: gone\ncontexts: []\nclusters: []\nusers: []",
    ],
)
async def test_a_broken_kubeconfig_is_said_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CredentialsError, match=f"cannot use the kubeconfig {path}: ") as caught:
        await FileCredentials(path).current()
    assert "\n" not in str(caught.value)


async def test_a_missing_kubeconfig_is_said(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="does not exist"):
        await FileCredentials(tmp_path / "nothing").current()
    with pytest.raises(CredentialsError, match="is no file"):
        await FileCredentials(tmp_path).current()


async def test_without_any_kubeconfig_the_flag_is_named() -> None:
    with pytest.raises(CredentialsError, match=r"there is no kubeconfig .* name one with --kubeconfig"):
        await FileCredentials().current()


async def test_an_unknown_context_is_said(tmp_path: Path) -> None:
    write(tmp_path / "config", {"token": "abc"})
    with pytest.raises(CredentialsError, match="nowhere"):
        await FileCredentials(tmp_path / "config", "nowhere").current()
    assert (await FileCredentials(tmp_path / "config", "y").current()).authorization == "Bearer abc"


async def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.aio.config import incluster_config

    certificate, _ = certificates(tmp_path)
    token = tmp_path / "token"
    token.write_text("pod\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    credentials = FileCredentials(monotonic=Clock())
    connection = await credentials.current()
    assert connection.server == "https://[fd00::1]:443"
    assert connection.authorization == "Bearer pod"
    token.write_text("rotated\n")
    advance(credentials, 1)
    assert (await credentials.renew(connection)).authorization == "Bearer rotated"
    token.unlink()
    with pytest.raises(CredentialsError, match=r"the service account of this pod: .*does not exist"):
        await FileCredentials().current()


def certificates(directory: Path, name: str = "client") -> tuple[Path, Path]:
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    if shutil.which("openssl") is None:
        raise ToolUnavailable("openssl is missing and `apt-get install openssl` would permit it.")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_client_certificates_are_loaded_and_followed(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path)
    path = tmp_path / "config"
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    tls = {"server": "https://cluster", "certificate-authority": str(certificate), "tls-server-name": "api"}
    credentials = write(path, user, **tls)
    first = await credentials.current()
    assert isinstance(first.tls, ssl.SSLContext)
    assert first.tls.verify_mode is ssl.CERT_REQUIRED
    assert first.server_hostname == "api"
    advance(credentials, 1)
    assert await credentials.renew(first) is first
    certificates(tmp_path)
    advance(credentials, 1)
    renewed = await credentials.renew(first)
    assert renewed.tls is not first.tls


async def test_verification_can_be_switched_off_and_a_proxy_named(tmp_path: Path) -> None:
    tls = {"server": "https://cluster", "insecure-skip-tls-verify": True, "proxy-url": "http://proxy:3128"}
    connection = await write(tmp_path / "config", {"token": "abc"}, **tls).current()
    assert connection.tls is not None
    assert connection.tls.verify_mode is ssl.CERT_NONE
    assert connection.proxy == "http://proxy:3128"


async def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    bad = tmp_path / "bad.crt"
    bad.write_text("no certificate")
    tls = {"server": "https://cluster", "certificate-authority": str(bad)}
    with pytest.raises(CredentialsError, match="cannot use the certificates of the kubeconfig"):
        await write(tmp_path / "config", {"token": "abc"}, **tls).current()


async def test_an_authority_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    tls = {"server": "https://cluster", "certificate-authority": str(tmp_path)}
    with pytest.raises(CredentialsError, match=r"(cannot use .* kubeconfig)"):
        await write(tmp_path / "config", {"token": "abc"}, **tls).current()


async def test_the_proxy_of_the_environment_is_used_where_the_kubeconfig_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    for server, proxy in (("https://192.0.2.1", "http://proxy:3128"), ("https://10.1.2.3", None)):
        connection = await write(tmp_path / "config", {"token": "abc"}, server=server).current()
        assert connection.proxy == proxy


async def test_static_credentials_stay_what_they_are() -> None:
    connection = Connection("http://cluster")
    credentials = StaticCredentials(connection)
    assert await credentials.current() is connection
    assert await credentials.renew(connection) is connection
