"""Numbers as people write them."""


def short(number: float) -> str:
    """Return a number as people say it: 10k, 1.5M."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{name}"
    return f"{number:g}"


def amount(value: float, unit: str) -> str:
    """Return a number with its unit, with three digits or those before its point."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text}{'' if unit.startswith('/') else ' '}{unit}".strip()
