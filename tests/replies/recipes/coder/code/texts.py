"""Short ways with texts for labels and lists."""


def clip(text: str, width: int, mark: str = "…") -> str:
    """Shorten a text to at most `width` characters, the mark with them.

    It is cut after the last whole word that fits, and the mark stands behind it. A text that fits is returned as it
    is, without the mark. Where not even the first word fits, it is cut in its middle.
    """
    if len(text) <= width:
        return text
    room = text[: width - len(mark) + 1]
    cut = room.rpartition(" ")[0] or room[:-1]
    return cut + mark


def lines_of(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` characters, between words.

    A word that is longer than a line gets a line of its own and sticks out: nothing is cut and nothing is lost.
    """
    found = [""]
    for word in text.split():
        if found[-1] and len(found[-1]) + 1 + len(word) > width:
            found.append(word)
        else:
            found[-1] = f"{found[-1]} {word}".strip()
    return found
