"""Settings from flags and from a YAML file: the same names, flags first.

A dot in a flag's name is a level in the file, so `--web.listen-address` is `listen-address` under `web`.
Whoever types something wrong gets one sentence that names the nearest right word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.facts.cluster import PACKAGES
from exporter.logs import FORMATS, LEVELS
from exporter.metrics.bulk import DEFAULT_LIMIT

DEFAULT_PORT: Final = 9480
NUMBER: Final = "a number"


_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"


class ConfigError(Exception):
    """Wrong use; the text is one sentence for the person who started the program."""


@dataclass(frozen=True)
class Option:
    """One setting, as a flag and as a key of the file."""

    name: str
    help: str
    default: str | tuple[str, ...] | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    pattern: str = ".+"
    """What a value must look like, as a regular expression."""
    kind: str = "text"
    """What a value must be, in words."""
    switch: bool = False
    """It is given, or not."""

    @property
    def many(self) -> bool:
        """The setting is a list: a flag given several times."""
        return isinstance(self.default, tuple)


KUBECONFIG: Final = Option(
    "kubeconfig",
    "kubeconfig to use; in a pod the service account's credentials are the default",
    metavar="FILE",
)
CONTEXT: Final = Option("context", "context of the kubeconfig", metavar="NAME")
LISTEN_ADDRESS: Final = Option(
    "web.listen-address", "address to serve on", default=f":{DEFAULT_PORT}", metavar="HOST:PORT"
)
OPERATOR_NAMESPACE: Final = Option(
    "operator.namespace",
    "read the operator's objects in this namespace alone; default all namespaces",
    metavar="NAMESPACE",
    pattern=_LABEL,
    kind="the name of a namespace",
)
OPERATOR_PACKAGE: Final = Option(
    "operator.package",
    "OLM package of OpenShift Virtualization; repeatable",
    default=PACKAGES,
    metavar="NAME",
    pattern=rf"{_LABEL}(\.{_LABEL})*",
    kind="the name of a package",
)
STATE_CONFIGMAP: Final = Option(
    "state.configmap",
    "keep what has to outlive a restart in this ConfigMap; in a pod the default is "
    "virt-upgrade-exporter-state in its own namespace",
    metavar="NAMESPACE/NAME",
    pattern=rf"{_LABEL}/{_LABEL}(\.{_LABEL})*",
    kind="NAMESPACE/NAME",
)
STATE_FILE: Final = Option(
    "state.file",
    "keep it in this file; elsewhere than in a pod the default is a file of the user's",
    metavar="FILE",
)
STATE_NONE: Final = Option("state.none", "keep it in memory only", switch=True)
MAX_VM_SERIES: Final = Option(
    "max-vm-series",
    "most series of single VMs; of more VMs that need attention those that would hold a drain come first",
    default=str(DEFAULT_LIMIT),
    metavar="N",
    pattern="[0-9]{1,9}",
    kind=NUMBER,
)
LOG_LEVEL: Final = Option("log.level", "least severity to log", default="info", choices=LEVELS)
LOG_FORMAT: Final = Option("log.format", "format of the log", default="text", choices=FORMATS)

Settings = Mapping[str, Any]


def read_file(path: Path, options: tuple[Option, ...]) -> Settings:
    """The settings a YAML file holds.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or holds a key or value that does not fit.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the config file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"the config file {path} is no YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"the config file {path} must hold keys and values")
    known = {option.name: option for option in options}
    return {
        name: _checked(path, _known(path, name, known), value) for name, value in _flatten(document, known)
    }


def _flatten(
    document: Mapping[Any, Any], known: Mapping[str, Option], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in known:
            yield from _flatten(value, known, f"{name}.")
        else:
            yield name, value


def _known(path: Path, name: str, known: Mapping[str, Option]) -> Option:
    if name in known:
        return known[name]
    raise ConfigError(
        f"the config file {path} holds the unknown key {name}; did you mean {nearest(name, known)}?"
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that looks most like one that is not known."""
    return difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]


def _checked(path: Path, option: Option, value: object) -> str | tuple[str, ...] | bool:
    name = f"{option.name} in the config file {path}"
    if option.switch:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false, not {value!r}")
        return value
    if option.many:
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{name} must be a list")
        return tuple(_text(name, option, each) for each in value)
    if option.choices and value not in option.choices:
        raise ConfigError(f"{name} must be one of {', '.join(option.choices)}, not {value}")
    return _text(name, option, value)


def check(option: Option, value: str) -> None:
    """Raise when a flag's value does not fit.

    Raises:
        ConfigError: it does not.
    """
    _text(f"--{option.name}", option, value)


def _text(name: str, option: Option, value: object) -> str:
    if option.kind == NUMBER and isinstance(value, int) and not isinstance(value, bool):
        # A number in the file is written without quotes.
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(option.pattern, value):
        raise ConfigError(f"{name} must be {option.kind}, not {value!r}")
    return value


def speed(number: float) -> float:
    """How many times as fast something is to be told.

    Raises:
        ConfigError: it is no positive number.
    """
    if not 0 < number < float("inf"):
        raise ConfigError(f"the speed must be a positive number, not {number:g}")
    return number


def moment(text: str) -> float:
    """Unix time of an RFC 3339 time; one without a zone is UTC.

    Raises:
        ConfigError: it is no such time.
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text} is no time; write it as 2026-11-23T08:00:00Z") from error


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[V6]:PORT` or `:PORT`; an empty host is every address.

    Raises:
        ConfigError: it is no such address.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _is_host(host) or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(f"{text} is no address to listen on; write HOST:PORT or :PORT")
    return host, int(port)


def _is_host(text: str) -> bool:
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return text.isprintable()


def address_text(host: str, port: int) -> str:
    """An address as `listen_address` reads it; every address is `*`."""
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"
