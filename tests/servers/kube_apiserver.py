"""kube-apiserver on its own etcd: the real LIST, WATCH, validation, authentication and RBAC.

Nothing else of Kubernetes runs: no controller, no scheduler. What those would write, tests write.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from tests.servers.etcd import Etcd
from tests.servers.process import Server, http_json
from tests.tools.binaries import path_of, version_at

# The server reads its tokens once, when it starts. Enough for a whole session are written beforehand.
_POOL: Final = 500


def _feature_gates(version: str) -> list[str]:
    """Gates that a server of this version knows."""
    if version.startswith("1.") and int(version.split(".")[1]) < 33:
        return []
    # With it, the pages of a LIST outlive a compaction by up to 15 s: that is how often the watch cache
    # looks. Without it they end with the compaction, as they did before Kubernetes 1.34.
    return ["--feature-gates=ListFromCacheSnapshot=false"]


@dataclass(frozen=True)
class User:
    """Somebody with a token and, until RBAC says otherwise, no permission."""

    name: str
    token: str


class KubeApiServer(Server):
    """The API server; brings its own etcd unless it is given one.

    `stop` and `start` keep etcd, so `restart` is what a restart of the API server is in a real cluster:
    the same objects and resourceVersions behind an empty watch cache.
    """

    name: ClassVar[str] = "kube-apiserver"

    def __init__(
        self,
        etcd: Etcd | None = None,
        *,
        program: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.etcd = etcd or Etcd()
        self._owns_etcd = etcd is None
        self._program = program
        self._arguments = tuple(arguments)
        self.admin: Final = User("admin", secrets.token_hex(16))
        self._users = [User(f"user-{number:03}", secrets.token_hex(16)) for number in range(1, _POOL + 1)]
        self._minted = 0
        self._revoked: set[str] = set()

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"https://127.0.0.1:{self.port()}"

    @property
    def cafile(self) -> Path:
        """Certificate by which the server is known: a CA that the server made up when it first started."""
        return self._certificates / "apiserver.crt"

    @property
    def _certificates(self) -> Path:
        return self.directory / "certificates"

    def ssl_context(self) -> ssl.SSLContext:
        """For clients that verify."""
        return ssl.create_default_context(cafile=str(self.cafile))

    def mint(self) -> User:
        """A user nobody else has, whose token is valid at once."""
        user = self._users[self._minted]
        self._minted += 1
        return user

    async def revoke(self, user: User) -> None:
        """Make the user's token invalid; restarts the server, which reads tokens only then."""
        self._revoked.add(user.name)
        await self.restart()

    def _prepare(self) -> None:
        lines = [f"{self.admin.token},{self.admin.name},{self.admin.name},system:masters"]
        valid = [user for user in self._users if user.name not in self._revoked]
        lines += [f"{user.token},{user.name},{user.name}" for user in valid]
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        # The server makes itself a certificate before it reads the keys of service accounts, so the same
        # key serves for both and no other program is needed to make one.
        key = self._certificates / "apiserver.key"
        program = self._program or path_of("kube-apiserver")
        return [
            str(program),
            f"--etcd-servers={self.etcd.url}",
            f"--secure-port={self.port()}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._certificates}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # These wait for controllers that do not run here, or mark objects for them.
            "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection,TaintNodesByCondition",
            "--endpoint-reconciler-type=none",
            # Protobuf would hide from etcd's gateway what is stored for built-in kinds.
            "--storage-media-type=application/json",
            # Compaction happens when a test asks for it, never by the clock.
            "--etcd-compaction-interval=0",
            # Without it, a server that is asked to stop waits for every watch to end by itself.
            "--shutdown-watch-termination-grace-period=1s",
            "--profiling=false",
            *_feature_gates(version_at(program)),
            *self._arguments,
        ]

    def _ready(self) -> bool:
        if not self.cafile.exists():
            return False
        answer = http_json(f"{self.url}/readyz", token=self.admin.token, cafile=self.cafile, timeout=5)
        return bool(answer == "ok")

    def get(self, path: str) -> Any:
        """One GET as the administrator; blocking."""
        return http_json(f"{self.url}{path}", token=self.admin.token, cafile=self.cafile)

    def start_blocking(self) -> None:
        """Start the server, and etcd before it when that is its own."""
        if self._owns_etcd:
            self.etcd.start_blocking()
        super().start_blocking()

    def close_blocking(self) -> None:
        """End the server, and etcd when that is its own, and remove their data."""
        super().close_blocking()
        if self._owns_etcd:
            self.etcd.close_blocking()

    def kubeconfig(
        self,
        path: Path,
        *,
        token: str | None = None,
        token_file: Path | None = None,
        namespace: str = "",
        server: str = "",
        inline_ca: bool = False,
    ) -> Path:
        """Write a kubeconfig: of the administrator, or with this token or file of one.

        `server` is another address for the same server, such as a proxy's in plain HTTP.
        """
        address = server or self.url
        cluster: dict[str, Any] = {"server": address}
        if address.startswith("https:"):
            if inline_ca:
                cluster["certificate-authority-data"] = base64.b64encode(self.cafile.read_bytes()).decode()
            else:
                cluster["certificate-authority"] = str(self.cafile)
        user = {"tokenFile": str(token_file)} if token_file else {"token": token or self.admin.token}
        context = {"cluster": "test", "user": "test", **({"namespace": namespace} if namespace else {})}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    async def memory(self) -> int:
        """Resident memory of the server in bytes; 0 where that cannot be told."""
        return await asyncio.to_thread(self._memory)

    def _memory(self) -> int:
        statm = Path(f"/proc/{self.pid}/statm")
        if not statm.exists():
            return 0
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
