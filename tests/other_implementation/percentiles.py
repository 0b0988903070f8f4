#!/usr/bin/env python3
"""Compares the percentiles in results files with those of their histograms, decoded by another implementation of HdrHistogram.

Usage: percentiles.py RESULTS.json...

Needs the package hdrhistogram. Prints how many percentiles were compared; exits with 1 where one differs, and where there was
nothing to compare.
"""

import gzip
import json
import math
import sys

from hdrh.histogram import HdrHistogram

QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}

# From fewer operations, results leave the 99.9th percentile out.
LEAST_OF_P999 = 10_000


def percentile(counts, total, quantile):
    """The smallest time that at least a share of `total` operations did not exceed, by nearest rank.

    Operations that have no time are later than every time: None, where the rank falls among them.
    """
    rank = min(max(math.ceil(quantile * total - 1e-6), 1), max(total, 1))
    passed = 0
    for time_us, count in counts:
        passed += count
        if passed >= rank:
            return time_us
    return None


def counts_of(histogram):
    """Each time that was recorded, as the largest that counts as the same, with how often it was."""
    counts = []
    for index in range(histogram.counts_len):
        count = histogram.get_count_at_index(index)
        if count:
            time_us = histogram.get_highest_equivalent_value(histogram.get_value_from_index(index))
            counts.append((time_us, count))
    return counts


def distributions(value, at):
    """Every object with a histogram, with where it stands, and over how many operations it ranks, where that is not its length."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict) and "histogram" in inner:
                yield f"{at}.{name}", inner, value["due"] if name == "response" else None
            else:
                yield from distributions(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from distributions(inner, f"{at}[{number}]")


def check(path):
    """Compares all of a file: how many percentiles, and what differs."""
    with gzip.open(path) as file:
        results = json.load(file)
    compared, wrong = 0, []
    for at, distribution, due in distributions(results["trials"], f"{path}: trials"):
        histogram = HdrHistogram.decode(distribution["histogram"])
        counts = counts_of(histogram)
        recorded = sum(count for _, count in counts)
        if recorded != histogram.get_total_count():
            wrong.append(f"{at}: {recorded} times, the histogram says {histogram.get_total_count()}")
        total = recorded if due is None else due
        for name, quantile in QUANTILES.items():
            expected = percentile(counts, total, quantile)
            if name == "p999_us" and total < LEAST_OF_P999:
                expected = None
            compared += 1
            if distribution[name] != expected:
                wrong.append(f"{at}.{name}: {distribution[name]}, the histogram says {expected}")
    return compared, wrong


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    all_compared, all_wrong = 0, []
    for path in sys.argv[1:]:
        compared, wrong = check(path)
        all_compared += compared
        all_wrong += wrong
    for line in all_wrong:
        print(line)
    print(f"{all_compared} percentiles compared in {len(sys.argv) - 1} files, {len(all_wrong)} differ")
    sys.exit(1 if all_wrong or not all_compared else 0)


if __name__ == "__main__":
    main()
