"""The proxy to go through, by the rules of Go's httpproxy."""

from __future__ import annotations

import pytest

from exporter.kube.proxy import proxy_for

EXCEPTIONS = (
    "10.128.0.0/14, fd00::/8,.svc,*.lan,Example.com,[2001:db8::1]:6443,1.2.3.4,x.org:8443,300.0.0.0/8"
)


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("https://10.129.0.1:443", True),
        ("https://10.140.0.1", False),
        ("https://[fd00::7]", True),
        ("https://kubernetes.default.svc", True),
        ("https://svc", False),
        ("https://api.lan", True),
        ("https://example.com:6443", True),
        ("https://api.example.com", True),
        ("https://notexample.com", False),
        ("https://[2001:db8::1]:6443", True),
        ("https://[2001:db8::1]:443", False),
        ("https://1.2.3.4", True),
        ("https://x.org:8443", True),
        ("https://x.org", False),
        ("https://localhost:6443", True),
        ("https://127.0.0.2", True),
        ("https://[::1]", True),
    ],
)
def test_what_no_proxy_excepts(url: str, direct: bool) -> None:
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": EXCEPTIONS}
    assert proxy_for(url, environment) == (None if direct else "http://proxy:3128")


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://a", {}, None),
        ("https://a", {"HTTP_PROXY": "http://proxy"}, None),
        ("http://a", {"HTTP_PROXY": "http://proxy"}, "http://proxy"),
        ("https://a", {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("https://a", {"https_proxy": "http://lower", "HTTPS_PROXY": "http://upper"}, "http://upper"),
        ("https://a", {"HTTPS_PROXY": "http://proxy", "no_proxy": "*"}, None),
        ("https://a", {"HTTPS_PROXY": "http://proxy", "NO_PROXY": " , "}, "http://proxy"),
        ("https://", {"HTTPS_PROXY": "http://proxy"}, None),
    ],
)
def test_which_variable_counts(url: str, environment: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(url, environment) == proxy
