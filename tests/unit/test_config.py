"""Settings from flags and file; whoever types something wrong gets one sentence and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter import config
from exporter.cli import SERVE_OPTIONS, main
from exporter.config import ConfigError, listen_address, read_file
from exporter.service import State


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("web:\n  listen-address: ':1'\n", {"web.listen-address": ":1"}),
        ("web.listen-address: ':1'\n", {"web.listen-address": ":1"}),
        (
            "operator:\n  namespace: openshift-cnv\n  package: [a, b]\nlog: {level: debug}\n",
            {"operator.namespace": "openshift-cnv", "operator.package": ("a", "b"), "log.level": "debug"},
        ),
    ],
)
def test_a_file_holds_the_names_of_the_flags(tmp_path: Path, text: str, settings: dict[str, object]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert read_file(path, SERVE_OPTIONS) == settings


@pytest.mark.parametrize(
    ("arguments", "state"),
    [
        ([], State()),
        (["--state.none"], State(none=True)),
        (["--state.configmap", "monitoring/state"], State(configmap=("monitoring", "state"))),
        (["--state.file", "/tmp/state.json"], State(file=Path("/tmp/state.json"))),
    ],
)
def test_where_what_is_remembered_is_kept(
    arguments: list[str], state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[State] = []

    async def serve(*_: object, state: State, **__: object) -> int:
        given.append(state)
        return 0

    monkeypatch.setattr("exporter.cli.serve", serve)
    assert main(["serve", *arguments]) == 0
    assert given == [state]


def test_a_place_given_as_a_flag_takes_the_place_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("state: {configmap: a/b}\n")
    given: list[State] = []

    async def serve(*_: object, state: State, **__: object) -> int:
        given.append(state)
        return 0

    monkeypatch.setattr("exporter.cli.serve", serve)
    main(["serve", "--config.file", str(path)])
    main(["serve", "--config.file", str(path), "--state.none"])
    assert given == [State(configmap=("a", "b")), State(none=True)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state.none", "--state.file", "x"], "give one of state.file and state.none, not both"),
        (["--state.configmap", "name"], "--state.configmap must be NAMESPACE/NAME, not 'name'"),
        (["--state.fiel", "x"], "there is no flag --state.fiel; did you mean --state.file?"),
    ],
)
def test_a_wrong_place_is_said_in_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == 2
    assert capsys.readouterr().err == f"virt-upgrade-exporter: {message}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state: {none: 'yes'}", "state.none in .* must be true or false, not 'yes'"),
        ("web: {listen-adress: ':1'}", "unknown key web.listen-adress; did you mean web.listen-address?"),
        ("namespace: x", "unknown key namespace; did you mean operator.namespace?"),
        ("- a", "must hold keys and values"),
        ("a: b: c", "is no YAML"),
        ("log: {level: loud}", "log.level in .* must be one of debug, info, warning, error, not loud"),
        ("kubeconfig: 7", "kubeconfig in .* must be text, not 7"),
        ("operator: {package: kubevirt}", "operator.package in .* must be a list"),
        ("operator: {package: []}", "operator.package in .* must be a list"),
        ("kubeconfig:", "must be text, not None"),
        ("operator: {package: [7]}", "operator.package in .* must be the name of a package, not 7"),
        ("operator: {namespace: X}", "operator.namespace in .* must be the name of a namespace, not 'X'"),
        ("web: {listen-address: 2020-99-99}", "is no YAML: month must be in 1..12"),
        ("[" * 20_000, "is no YAML: maximum recursion depth"),
        ("7: 8", "unknown key 7"),
    ],
)
def test_a_wrong_file_is_said_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_file(path, SERVE_OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9480", ("", 9480)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9480", ("::1", 9480)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_listen_addresses(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "9480", "localhost", "localhost:", ":65536", ":-1", ":٣", "a:b"])
def test_wrong_listen_addresses(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address to listen on"):
        listen_address(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--kubeconfig", "/does/not/exist"], "the kubeconfig /does/not/exist does not exist"),
        (["serve", "--config.file", "/does/not/exist"], "cannot be read: No such file or directory"),
        (["serve", "--web.listen-address", "here"], "here is no address to listen on"),
        (["demo", "--scenario", "boring"], "there is no story boring; there are approval-waiting, "),
        (["demo", "--speed", "0"], "the speed must be a positive number, not 0"),
        ([], "the following arguments are required: COMMAND"),
        (["sing"], "there is no command sing; there are serve, demo"),
        (["serve", "--kube", "x"], "there is no flag --kube; did you mean --kubeconfig?"),
        (["serve", "--web.listen-adress=:1"], "there is no flag --web.listen-adress; did you mean --web.l"),
        (["serve", "--log.level", "loud"], "argument --log.level: invalid choice: 'loud'"),
        (["demo", "--speed", "fast"], "argument --speed: invalid float value: 'fast'"),
        (["serve", "--kubeconfig", "~nobody-of-this-name/x"], "kubeconfig ~nobody-of-this-name/x does not"),
        (["serve", "--kubeconfig", ""], "--kubeconfig must be text, not ''"),
        (["serve", "--operator.namespace", "x/y"], "must be the name of a namespace, not 'x/y'"),
        (["serve", "--operator.namespace", ""], "--operator.namespace must be the name of a namespace"),
        (["serve", "--operator.package", ""], "--operator.package must be the name of a package"),
        (["demo", "--web.listen-address", "a..b:80"], "a..b:80 is no address to listen on"),
        (["demo", "--web.listen-address", ".:9480"], ".:9480 is no address to listen on"),
        (["demo", "--speed", "nan"], "the speed must be a positive number, not nan"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("virt-upgrade-exporter: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_flags_go_before_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("kubeconfig: /from/the/file\nlog: {format: json}\n")
    assert main(["serve", "--config.file", str(path)]) == 2
    assert "/from/the/file" in capsys.readouterr().err
    assert main(["serve", "--config.file", str(path), "--kubeconfig", "/from/the/flag"]) == 2
    assert "/from/the/flag" in capsys.readouterr().err


def test_the_list_of_stories_says_what_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--list"]) == 0
    text = capsys.readouterr().out
    for name in ("healthy", "channel-candidate", "operator-one-minor-behind", "manual-neighbour"):
        assert f"{name}\n" in text
    assert "look at  virt_upgrade_version_skew -1" in text


def test_every_option_is_described() -> None:
    for option in SERVE_OPTIONS:
        assert option.help
        assert not option.help.endswith(".")
    assert config.LISTEN_ADDRESS in SERVE_OPTIONS
