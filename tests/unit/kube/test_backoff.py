"""Backoff with client-go's constants."""

from random import Random

from exporter.kube.backoff import Backoff, BackoffSettings


def test_doubles_up_to_the_cap_and_starts_over_after_health() -> None:
    backoff = Backoff(BackoffSettings(jitter=0), Random(1))
    assert [backoff.next_delay(0) for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert backoff.next_delay(120) == 30.0
    assert backoff.next_delay(241) == 0.8


def test_jitter_stretches_by_at_most_one() -> None:
    backoff = Backoff(BackoffSettings(), Random(1))
    delays = [backoff.jittered(10) for _ in range(1000)]
    assert 10 <= min(delays) < 10.1
    assert 19.9 < max(delays) < 20
