"""Lengths of time as people write them."""


def seconds_of(span: str) -> int:
    """Turn a length of time such as `1h30m` or `45s` into seconds.

    A number without a letter counts as minutes, not as seconds. Days are `d`; months and years are not known, since
    they have no fixed length. A ValueError names the letter that is not known.
    """
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    total, digits = 0, ""
    for letter in f"{span}m" if span[-1:].isdigit() else span:
        if letter.isdigit():
            digits += letter
        elif letter in units:
            total += int(digits) * units[letter]
            digits = ""
        else:
            raise ValueError(f"unknown unit {letter!r}")
    return total


def told(seconds: int) -> str:
    """Write seconds as a length of time with its two largest units: 5400 is `1h30m`, 90061 is `1d1h`.

    What is smaller than the two is cut off and not rounded. Nothing at all is `0s`.
    """
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
