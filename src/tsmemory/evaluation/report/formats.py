"""Numbers as readers of the report see them."""

import math
from collections.abc import Sequence
from typing import Any

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def number(value: Any) -> str:
    """A number with about three telling digits; anything else as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 1000):
        return f"{int(value):,}".replace("-", MINUS)
    size = abs(value)
    if math.isinf(value) or size == 0:
        text = f"{value:g}"
    elif size < 0.001:
        text = f"{value:.1e}"
    elif size < 0.1:
        text = f"{value:.4f}"
    elif size < 100:
        text = f"{value:.3f}"
    else:
        text = f"{value:,.1f}"
    return text.replace("-", MINUS)


def percent(share: float, *, signed: bool = False) -> str:
    """A share in percent; with its sign where it is a change."""
    if math.isnan(share):
        return MISSING
    text = f"{100 * share:+.1f}{SPACE}%" if signed else f"{100 * share:.1f}{SPACE}%"
    return text.replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value, empty where there is none."""
    if math.isnan(value):
        return ""
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".", 1)


def interval(low: float, high: float) -> str:
    """Both ends of an interval, empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{number(low)} to {number(high)}"


def percent_interval(low: float, high: float, *, signed: bool = True) -> str:
    """Both ends of an interval of shares, empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    first = percent(low, signed=signed).removesuffix(f"{SPACE}%")
    return f"{first} to {percent(high, signed=signed)}"


def times(ratio: float) -> str:
    """A ratio, as in ``x 1.12``."""
    return MISSING if math.isnan(ratio) else f"\N{MULTIPLICATION SIGN}{SPACE}{ratio:.2f}"


def size(count: float) -> str:
    """Bytes in a unit that people can read."""
    if math.isnan(count):
        return MISSING
    power = min(int(math.log(max(count, 1), 1000)), len(_UNITS) - 1)
    value = count / 1000**power
    return f"{value:.0f} {_UNITS[power]}" if power == 0 else f"{value:.1f} {_UNITS[power]}"


def enumerate_in_words(parts: Sequence[Any]) -> str:
    """``a, b and c``."""
    texts = [str(part) for part in parts]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
