import math

import pytest

from tsmemory.evaluation.report.formats import (
    MINUS,
    MISSING,
    SPACE,
    enumerate_in_words,
    interval,
    number,
    p_value,
    percent,
    percent_interval,
    size,
    times,
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.39712, "0.397"),
        (0.039712, "0.0397"),
        (0.00039712, f"4.0e{MINUS}04"),
        (-1.5, f"{MINUS}1.500"),
        (1234.5678, "1,234.6"),
        (1_234_567.0, "1,234,567"),
        (12, "12"),
        (0.0, "0"),
        (math.nan, MISSING),
        (None, MISSING),
        ("h", "h"),
        (math.inf, "inf"),
    ],
)
def test_numbers(value, said):
    assert number(value) == said


def test_shares_and_intervals():
    assert percent(0.1234) == f"12.3{SPACE}%"
    assert percent(-0.1234, signed=True) == f"{MINUS}12.3{SPACE}%"
    assert percent(0.02, signed=True) == f"+2.0{SPACE}%"
    assert percent(math.nan) == MISSING
    assert interval(0.1, 0.2) == "0.100 to 0.200"
    assert interval(math.nan, 0.2) == ""
    assert percent_interval(-0.01, 0.02) == f"{MINUS}1.0 to +2.0{SPACE}%"
    assert percent_interval(0.7, 0.8, signed=False) == f"70.0 to 80.0{SPACE}%"
    assert percent_interval(0.7, math.nan) == ""


@pytest.mark.parametrize(
    ("value", "said"), [(0.0004, "p < .001"), (0.0123, "p = .012"), (1.0, "p = 1.000")]
)
def test_p_values(value, said):
    assert p_value(value) == said
    assert p_value(math.nan) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_sizes(value, said):
    assert size(value) == said
    assert size(math.nan) == MISSING


def test_ratios():
    assert times(1.125) == f"\N{MULTIPLICATION SIGN}{SPACE}1.12"
    assert times(math.nan) == MISSING


def test_enumerations():
    assert enumerate_in_words([1]) == "1"
    assert enumerate_in_words([1, 2]) == "1 and 2"
    assert enumerate_in_words(["a", "b", "c"]) == "a, b and c"
