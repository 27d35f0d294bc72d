from __future__ import annotations

import math

import pytest

from bertling.report import numbers
from bertling.report.numbers import MINUS, NOTHING, TIMES


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0421, "0.0421"),
        (0.5, "0.500"),
        (1.934, "1.93"),
        (138.2, "138"),
        (999.7, "1,000"),
        (9.999, "10.0"),
        (1234.5, "1,234"),
        (-2.5, f"{MINUS}2.50"),
        (0.0, "0.00"),
        (1.5e-7, "1.50·10⁻⁷"),
        (2.5e9, "2.50·10⁹"),
        (None, NOTHING),
        (math.nan, NOTHING),
    ],
)
def test_significant_keeps_three_digits(value: float | None, text: str) -> None:
    assert numbers.significant(value) == text


@pytest.mark.parametrize(
    ("value", "largest", "text"),
    [
        (0.0, 20_000.0, "0"),
        (5000.0, 20_000.0, "5k"),
        (2500.0, 7500.0, "2500"),
        (0.30000000000000004, 1.0, "0.3"),
        (1e-5, 1e-5, "10⁻⁵"),
        (2e-5, 2e-5, "2·10⁻⁵"),
        (3e6, 4e6, "3M"),
    ],
)
def test_ticks_are_short_and_share_a_unit(value: float, largest: float, text: str) -> None:
    assert numbers.tick(value, largest) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.9314, "93.1"), (1.0, "100.0"), (-0.0213, f"{MINUS}2.1"), (-0.0001, "0.0")]
)
def test_scores_are_times_100_and_never_minus_zero(value: float, text: str) -> None:
    assert numbers.score(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9.397, f"9.4{TIMES}"), (146.9, f"147{TIMES}"), (1.0, f"1.0{TIMES}"), (None, NOTHING)]
)
def test_ratios(value: float | None, text: str) -> None:
    assert numbers.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (812, "812"),
        (48_211, "48.2 k"),
        (14_350_874, "14.4 M"),
        (109_483_778, "109 M"),
        (1_300_000_000, "1.30 G"),
    ],
)
def test_parameters(value: int, text: str) -> None:
    assert numbers.parameters(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(833_000, "0.833 MB"), (999_400_000, "999 MB"), (999_600_000, "1.00 GB")]
)
def test_memory_is_in_the_unit_that_fits(value: int, text: str) -> None:
    assert numbers.memory(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (59.97, "1 min 0 s"),
        (95.31, "1 min 35 s"),
        (3599.8, "1 h 0 min"),
        (4312.0, "1 h 12 min"),
        (100_000.0, "27 h 47 min"),
    ],
)
def test_durations_never_show_60_of_a_unit(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1 step"), (67_349, "67,349 steps"), (0.5, "0.50 steps"), (3.0, "3 steps")]
)
def test_counts_take_the_plural(value: float, text: str) -> None:
    assert numbers.count(value, "step") == text
