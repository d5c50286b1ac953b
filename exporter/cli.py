"""The command `virt-upgrade-exporter`."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from exporter import __version__, config, logs
from exporter.config import ConfigError, Option
from exporter.facts.cluster import Scope
from exporter.kube.credentials import CredentialsError, FileCredentials, home_expanded
from exporter.service import ServiceError, State, serve

EXIT_WRONG_USE: Final = 2
REVISION_VARIABLE: Final = "VIRT_UPGRADE_EXPORTER_REVISION"
"""Set by the image to the commit it was built from."""

SERVE_OPTIONS: Final = (
    config.KUBECONFIG,
    config.CONTEXT,
    config.LISTEN_ADDRESS,
    config.OPERATOR_NAMESPACE,
    config.OPERATOR_PACKAGE,
    config.STATE_CONFIGMAP,
    config.STATE_FILE,
    config.STATE_NONE,
    config.MAX_VM_SERIES,
    config.LOG_LEVEL,
    config.LOG_FORMAT,
)
REPLAY_OPTIONS: Final = (config.OPERATOR_NAMESPACE, config.OPERATOR_PACKAGE)
STATE_OPTIONS: Final = (config.STATE_CONFIGMAP, config.STATE_FILE, config.STATE_NONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    try:
        return _run(_parser().parse_args(arguments))
    except (ConfigError, CredentialsError, ServiceError) as error:
        print(f"virt-upgrade-exporter: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        return EXIT_WRONG_USE


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence that names the nearest right word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self._commands: dict[str, _Parser] = {}

    def add_command(self, commands: Any, name: str, help_text: str) -> _Parser:
        """A command of this program."""
        parser: _Parser = commands.add_parser(name, help=help_text)
        self._commands[name] = parser
        return parser

    def error(self, message: str) -> NoReturn:
        """Say what is wrong.

        Raises:
            ConfigError: always.
        """
        if unknown := re.match(r"unrecognized arguments: (-[^\s=]*)", message):
            parsers = self._commands.values() if self._commands else (self,)
            # argparse names its flags nowhere else.
            flags = [flag for parser in parsers for flag in parser._option_string_actions]  # noqa: SLF001
            message = f"there is no flag {unknown[1]}; did you mean {config.nearest(unknown[1], flags)}?"
        elif unknown := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            known = ", ".join(self._commands)
            message = f"there is no command {unknown[1]}; there are {known}"
        raise ConfigError(message)


def _parser() -> _Parser:
    parser = _Parser(
        prog="virt-upgrade-exporter",
        description="Prometheus exporter for what matters about upgrading OpenShift Virtualization.",
    )
    parser.add_argument("--version", action="version", version=f"virt-upgrade-exporter {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serving = parser.add_command(commands, "serve", "watch a cluster and serve its metrics")
    serving.add_argument(
        "--config.file", metavar="FILE", help="YAML file with the same settings as the flags"
    )
    for option in SERVE_OPTIONS:
        _add(serving, option)
    demo = parser.add_command(commands, "demo", "serve the metrics of a simulated cluster that tells a story")
    demo.add_argument("--list", action="store_true", help="list the stories and what to look at")
    demo.add_argument("--scenario", metavar="NAME", help="the story to tell; default approval-waiting")
    demo.add_argument("--speed", type=float, default=1.0, metavar="N", help="shorten the story N times")
    _add(demo, config.LISTEN_ADDRESS, default=f"127.0.0.1:{config.DEFAULT_PORT}")
    replaying = parser.add_command(commands, "replay", "the whole exporter over a recording, on its clock")
    replaying.add_argument("recording", metavar="FILE", help="JSON lines, plain or gzip")
    replaying.add_argument("--speed", type=float, default=1.0, metavar="N", help="replay N times as fast")
    replaying.add_argument("--until", metavar="TIME", help="stop at this time (RFC 3339)")
    replaying.add_argument("--final", action="store_true", help="print the last page and exit")
    _add(replaying, config.LISTEN_ADDRESS, default=f"127.0.0.1:{config.DEFAULT_PORT}")
    for option in REPLAY_OPTIONS:
        _add(replaying, option)
    return parser


def _add(parser: argparse.ArgumentParser, option: Option, default: str | None = None) -> None:
    if option.switch:
        flag = f"--{option.name}"
        parser.add_argument(flag, dest=option.name, help=option.help, action="store_true", default=None)
        return
    shown = default or (", ".join(option.default) if isinstance(option.default, tuple) else option.default)
    parser.add_argument(
        f"--{option.name}",
        # argparse would turn the dashes of the name into underscores.
        dest=option.name,
        help=option.help + (f"; default {shown}" if shown else ""),
        metavar=option.metavar,
        choices=option.choices or None,
        action="append" if option.many else "store",
        default=default,
    )


def _run(given: argparse.Namespace) -> int:
    flags = {name: value for name, value in vars(given).items() if value is not None}
    if given.command == "serve":
        return _serve(_settings(flags))
    if given.command == "replay":
        return _replay(given, flags)
    # Imported here: a pod never tells a story.
    from exporter.simulator.demo import demo, describe

    if given.list:
        print(describe())  # noqa: T201 - this is the command line
        return 0
    return asyncio.run(
        demo(given.scenario, given.speed, config.listen_address(flags[config.LISTEN_ADDRESS.name]))
    )


def _replay(given: argparse.Namespace, flags: Mapping[str, Any]) -> int:
    # Imported here: a pod never replays a recording.
    from exporter.recording import replay
    from exporter.recording.lines import Recording, RecordingError

    speed = config.speed(given.speed)
    until = config.moment(given.until) if given.until else None
    address = config.listen_address(flags[config.LISTEN_ADDRESS.name])
    scope = _scope({option.name: flags.get(option.name, option.default) for option in REPLAY_OPTIONS})
    logs.configure("warning", "text")
    try:
        told = replay.Replay(Recording(home_expanded(given.recording)), scope=scope, until=until)
    except RecordingError as error:
        raise ConfigError(str(error)) from error
    return replay.final(told) if given.final else asyncio.run(replay.serve(told, speed, address))


def _scope(settings: Mapping[str, Any]) -> Scope:
    return Scope(
        packages=tuple(settings[config.OPERATOR_PACKAGE.name]),
        operator_namespace=settings[config.OPERATOR_NAMESPACE.name] or "",
    )


def _settings(flags: Mapping[str, Any]) -> Mapping[str, Any]:
    path = flags.get("config.file")
    for option in SERVE_OPTIONS:
        for value in flags.get(option.name, ()) if option.many else [flags.get(option.name)]:
            if value is not None and not option.switch:
                config.check(option, value)
    from_file = config.read_file(Path(path), SERVE_OPTIONS) if path else {}
    defaults = {option.name: option.default for option in SERVE_OPTIONS}
    places = {option.name for option in STATE_OPTIONS}
    if not places.isdisjoint(flags):
        # A place given as a flag takes the place of the file's, whichever that is.
        from_file = {name: value for name, value in from_file.items() if name not in places}
    return defaults | dict(from_file) | dict(flags)


def _state(settings: Mapping[str, Any]) -> State:
    given = [option.name for option in STATE_OPTIONS if settings[option.name]]
    if len(given) > 1:
        raise ConfigError(f"give one of {' and '.join(given)}, not both")
    configmap = settings[config.STATE_CONFIGMAP.name]
    namespace, _, name = (configmap or "").partition("/")
    file = settings[config.STATE_FILE.name]
    return State(
        configmap=(namespace, name) if configmap else None,
        file=home_expanded(file) if file else None,
        none=bool(settings[config.STATE_NONE.name]),
    )


def _serve(settings: Mapping[str, Any]) -> int:
    logs.configure(settings[config.LOG_LEVEL.name], settings[config.LOG_FORMAT.name])
    kubeconfig = settings[config.KUBECONFIG.name]
    return asyncio.run(
        serve(
            FileCredentials(home_expanded(kubeconfig) if kubeconfig else None, settings[config.CONTEXT.name]),
            scope=_scope(settings),
            address=config.listen_address(settings[config.LISTEN_ADDRESS.name]),
            state=_state(settings),
            max_vm_series=int(settings[config.MAX_VM_SERIES.name]),
            revision=os.environ.get(REVISION_VARIABLE, ""),
        )
    )
