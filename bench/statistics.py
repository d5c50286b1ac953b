"""Medians, percentiles and exponents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import linear_regression


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by this share of the values.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The power of the size with which the cost grows: least squares on logarithms.

    Raises:
        ValueError: fewer than two points, or one that has no logarithm.
    """
    if len(sizes) < 2:
        raise ValueError("two points at least")
    return linear_regression([math.log(each) for each in sizes], [math.log(each) for each in costs]).slope


def histogram_percentile(buckets: Mapping[float, float], share: float) -> float:
    """A share's value out of a histogram's cumulative buckets, as Prometheus works it out.

    Raises:
        ValueError: nothing has been observed.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        raise ValueError("nothing observed")
    rank = share * buckets[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        low, below = bound, buckets[bound]
    return low
