"""How numbers read on the page: a few significant digits, the unit at the end, a true minus sign."""

from __future__ import annotations

import math

NOTHING = "\N{EN DASH}"
"""stands where there is no number"""
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _finish(text: str) -> str:
    """``1e-05`` to ``10⁻⁵``, a hyphen to a minus sign, and no dot at the end."""
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.rstrip(".").replace("-", MINUS)
    if not exponent:
        return mantissa
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def significant(value: float | None) -> str:
    """Three significant digits: ``0.0421``, ``1.93``, ``138``, ``1,234``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return _finish(f"{value:,.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:#.3g}")


def tick(value: float, largest: float) -> str:
    """An axis label, as short as it can be: ``0``, ``0.5``, ``2500``, ``20k``, ``10⁻⁵``.

    ``largest`` is the axis's largest tick: it chooses the unit that they all share.
    """
    for limit, size, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if largest >= limit and value:
            return _finish(f"{value / size:g}") + unit
    return _finish(f"{value:g}")


def score(value: float | None) -> str:
    """A fraction from -1 to 1, times 100 as in the papers' tables: ``91.2``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return _finish(f"{round(100 * value, 1) + 0.0:.1f}")


def interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A difference of scores, times 100, with its interval: ``+1.2 (+0.3 to +2.6)``; empty for None."""
    if mean is None or low is None or high is None:
        return ""
    mean_text, low_text, high_text = (
        f"{100 * value:+.1f}".replace("-", MINUS) for value in (mean, low, high)
    )
    return f"{mean_text} ({low_text} to {high_text})"


def percent(value: float | None) -> str:
    """A fraction as ``96.8%``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{score(value)}%"


def ratio(value: float | None) -> str:
    """9.4 times; from 100 without decimals."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}{TIMES}" if value >= 100 else f"{value:.1f}{TIMES}"


def count(value: float, noun: str) -> str:
    """``67,349 examples``, ``1 layer``, ``0.50 epochs``."""
    amount = f"{value:,.2f}".removesuffix(".00")
    return f"{amount} {noun}" if value == 1 else f"{amount} {noun}s"


def parameters(value: int | None) -> str:
    """``14.4 M``, ``812 k``."""
    if value is None:
        return NOTHING
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= limit:
            return f"{significant(value / limit)} {unit}"
    return str(value)


def megabytes(value: int | None) -> str:
    """Bytes in units of 10^6."""
    return NOTHING if value is None else significant(value / 1e6)


def gigabytes(value: int) -> str:
    """Bytes in units of 10^9."""
    return significant(value / 1e9)


def memory(value: int) -> str:
    """Bytes as ``1.35 GB`` or ``90.9 MB``."""
    return f"{gigabytes(value)} GB" if value >= 999_500_000 else f"{megabytes(value)} MB"


def duration(seconds: float) -> str:
    """``42.1 s``, ``11 min 52 s``, ``1 h 12 min``."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
