"""Who we are to the API server, and how that stays true when tokens and certificates rotate.

Kubeconfig and in-cluster credentials are read by `kubernetes.aio.config`, which knows every method a
kubeconfig supports (tokens, token files, client certificates, exec plugins, OIDC, basic authentication).
What it does not do is added here: a token is stripped, files are read again every minute, an exec plugin
is asked again when what it gave expires, and a 401 makes us read everything again at once, because a
token can be revoked long before its time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from exporter.kube.proxy import proxy_for

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

log = logging.getLogger(__name__)

REREAD_SECONDS: Final = 60.0
"""How old credentials read from files may be; client-go re-reads token files once a minute as well."""

PLUGIN_SECONDS: Final = 30.0
"""How long an exec plugin may take: nobody is there to answer its questions."""

RENEW_SECONDS: Final = 1.0
"""How soon credentials that were just read are read again although they are rejected: all reflectors are
rejected at the same time, and an exec plugin may cost money."""


class CredentialsError(Exception):
    """No usable credentials; the text is one sentence for the person who started the program."""


@dataclass(frozen=True)
class Connection:
    """Everything a request needs besides its path."""

    server: str
    """Base address of the API server, without a trailing slash."""
    authorization: str | None = None
    """Value of the Authorization header."""
    tls: ssl.SSLContext | None = None
    """None for the system's defaults."""
    server_hostname: str | None = None
    """The name to verify in the server's certificate, where it differs from the address."""
    proxy: str | None = None
    """Address of the proxy to go through."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that identify us."""
        return {"Authorization": self.authorization} if self.authorization else {}


class Credentials(ABC):
    """A source of connections, shared by all reflectors."""

    @abstractmethod
    async def current(self) -> Connection:
        """The connection to use now.

        Raises:
            CredentialsError: there never were usable credentials.
        """

    @abstractmethod
    async def renew(self, rejected: Connection) -> Connection:
        """A fresh connection after the server answered `rejected` with 401; at once for many callers."""


class StaticCredentials(Credentials):
    """A connection that never changes: the simulated cluster, a local proxy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def current(self) -> Connection:
        """The one connection."""
        return self._connection

    async def renew(self, rejected: Connection) -> Connection:
        """The same again."""
        return rejected


@dataclass
class _Loaded:
    connection: Connection
    tls_sources: tuple[object, ...]
    at: float
    good_for: float
    """Seconds after which it is to be read again, without being rejected."""


@dataclass
class FileCredentials(Credentials):
    """Credentials that live in files or come from a plugin, read through `kubernetes.aio.config`.

    With `kubeconfig` and `context` None: the service account of the pod where there is one, else the
    kubeconfig that `KUBECONFIG` or the home directory holds, as every Kubernetes client decides it.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    monotonic: Callable[[], float] | None = None
    wall_clock: Callable[[], float] = time.time
    plugin_timeout: float = PLUGIN_SECONDS
    _loaded: _Loaded | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reported: str = ""

    async def current(self) -> Connection:
        """The connection as read within the last minute, or as an exec plugin gave it and it still holds."""
        loaded = self._loaded
        if loaded is not None and self._now() - loaded.at < loaded.good_for:
            return loaded.connection
        async with self._lock:
            if self._loaded is loaded:
                await self._reload()
            return self._known().connection

    async def renew(self, rejected: Connection) -> Connection:
        """Read everything again, once for all who were rejected with the same connection."""
        async with self._lock:
            known = self._known()
            if known.connection is rejected and self._now() - known.at >= RENEW_SECONDS:
                await self._reload()
            return self._known().connection

    def _now(self) -> float:
        return (self.monotonic or asyncio.get_running_loop().time)()

    def _known(self) -> _Loaded:
        if self._loaded is None:
            raise CredentialsError("there are no credentials yet")
        return self._loaded

    async def _reload(self) -> None:
        try:
            configuration, good_for = await self._read()
            self._loaded = self._adopt(configuration, good_for)
        except CredentialsError as error:
            # A token file that is missing for a moment while it is replaced must not stop the watches.
            if self._loaded is None:
                raise
            self._loaded.at, self._loaded.good_for = self._now(), REREAD_SECONDS
            if self._reported != str(error):
                log.warning("the credentials cannot be read again, the old ones stay in use: %s", error)
            self._reported = str(error)
        else:
            self._reported = ""

    async def _read(self) -> tuple[Configuration, float]:
        # Imported here: it takes 0.3 s and 20 MiB, and the simulated cluster needs none of it.
        from kubernetes.aio import config
        from kubernetes.aio.client import Configuration

        configuration = Configuration()
        good_for = REREAD_SECONDS
        try:
            if self._in_cluster():
                config.load_incluster_config(client_configuration=configuration, try_refresh_token=False)
            else:
                good_for = await self._load_kubeconfig(config, configuration)
        except CredentialsError:
            raise
        except Exception as error:
            # A kubeconfig can be wrong in any way, and the library raises whatever it stumbles over.
            text = " ".join(str(error).split()) or type(error).__name__
            raise CredentialsError(f"cannot use {self._name()}: {text}") from error
        return configuration, good_for

    async def _load_kubeconfig(self, config: Any, configuration: Configuration) -> float:
        path = str(self.kubeconfig) if self.kubeconfig else None
        if self.kubeconfig and not self.kubeconfig.is_file():
            problem = "is no file" if self.kubeconfig.exists() else "does not exist"
            raise CredentialsError(f"the kubeconfig {path} {problem}")
        if not path and not any(candidate.is_file() for candidate in _default_kubeconfigs()):
            raise CredentialsError("there is no kubeconfig and this is no pod; name one with --kubeconfig")
        try:
            async with asyncio.timeout(self.plugin_timeout):
                loader = await config.load_kube_config(
                    config_file=path,
                    context=self.context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except TimeoutError as error:
            raise CredentialsError(
                f"the exec plugin of {self._name()} gave no answer within {self.plugin_timeout:g} s"
            ) from error
        user = loader._user  # noqa: SLF001 - the library logs a failing plugin and goes on without a word to us
        if not user or "exec" not in user:
            return REREAD_SECONDS
        if not (configuration.api_key or configuration.cert_file):
            raise CredentialsError("the exec plugin of the kubeconfig gave neither a token nor a certificate")
        expiry = getattr(loader, "exec_plugin_expiry", None)
        # Without an expiry it holds until it is rejected, as client-go has it.
        return float("inf") if expiry is None else max(RENEW_SECONDS, expiry.timestamp() - self.wall_clock())

    def _in_cluster(self) -> bool:
        if self.kubeconfig or self.context:
            return False
        return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not os.environ.get("KUBECONFIG")

    def _name(self) -> str:
        if self._in_cluster():
            return "the service account of this pod"
        if self.kubeconfig:
            return f"the kubeconfig {self.kubeconfig}"
        return "the default kubeconfig"

    def _adopt(self, configuration: Configuration, good_for: float) -> _Loaded:
        token = (configuration.api_key or {}).get("BearerToken")
        scheme, _, secret = (token or "").partition(" ")
        sources = _tls_sources(configuration, self._name())
        before = self._loaded
        if before is not None and before.tls_sources == sources:
            tls = before.connection.tls
        else:
            tls = _tls_context(configuration, self._name())
        server = configuration.host.rstrip("/")
        connection = Connection(
            server=server,
            # A service account token file may end in a newline, which no header may contain.
            authorization=f"{scheme.capitalize()} {secret.strip()}" if token else None,
            tls=tls,
            server_hostname=configuration.tls_server_name,
            proxy=configuration.proxy or proxy_for(server, os.environ),
        )
        if before is not None and before.connection == connection:
            connection = before.connection
        return _Loaded(connection, sources, self._now(), good_for)


def _default_kubeconfigs() -> list[Path]:
    """Where Kubernetes clients look without being told."""
    named = os.environ.get("KUBECONFIG") or str(Path("~", ".kube", "config"))
    return [home_expanded(name) for name in named.split(os.pathsep) if name]


def home_expanded(name: str) -> Path:
    """A path whose `~` is somebody's home; as it stands where there is no such person."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _tls_sources(configuration: Configuration, name: str) -> tuple[object, ...]:
    """What a TLS context is made of; a changed certificate or authority needs a new context."""
    files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    try:
        return (configuration.verify_ssl, *(Path(file).read_bytes() if file else None for file in files))
    except OSError as error:
        raise CredentialsError(f"cannot use the certificates of {name}: {error}") from error


def _tls_context(configuration: Configuration, name: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        # Python 3.13 turned strict verification on, which refuses the authorities of many clusters.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    except (ssl.SSLError, OSError) as error:
        raise CredentialsError(f"cannot use the certificates of {name}: {error}") from error
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
