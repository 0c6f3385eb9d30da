"""`synth label`: a person's verdicts on pairs of a run, one key each, every one on the disk before the next is shown.

     7 of 150 · 0:31 · about 9 min left                        the last: you 3, judge 2
    ── query ───────────────────────────────────────────────────────────────────
    when does the Nile flood?
    ── document ────────────────────────────────────────────────────────────────
    The Nile floods each summer. Farmers wait for the water …
    ────────────────────────────────────────────────────────────────────────────
    0 unrelated   1 same subject, no answer   2 part of the answer   3 full answer
    s skip   b back   m more (1 of 3)   ? help   q quit

What a judge said, and what became of the row, is not told before the verdict. Where standard input is no terminal a
line is read for a key.
"""

import getpass
import os
import re
import sys
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from synth.labels import Drawn, Label, append, draw, mend, read_labels
from synth.runs import open_run
from synth.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console

GRADES = ("unrelated", "same subject, no answer", "part of the answer", "full answer")
HELP = """\
How well does the document answer the query? Judge what is on the page, not
what may be elsewhere.

  0  it has nothing to do with the query
  1  it is about the same subject and answers nothing of the query
  2  it answers a part of the query, or unclearly, or among much else
  3  it answers the query directly and fully

The same words in both are no sign by themselves, nor are length and style.
The two may be in different languages.

  s  skip: you cannot tell, or take a verdict back     b  back to the last one
  m  more of a long document                           q  quit, to go on later
"""
RULES = 4
"""Lines of the screen that are neither text nor keys."""
MOST_OF_QUERY = 6
MOST_SHOWN = 30_000
"""Characters of a document that can be read."""
FEW, LAST = 3, 20
"""Verdicts from which the pace is told: after the first of them, and at most so many."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)
_INTERRUPT, _END = "\x03", "\x04"


@dataclass(frozen=True, slots=True)
class Sitting:
    """How somebody is asked: about which step's rows, at most how many, by what name; `blind` tells no grade ever."""

    step: str = ""
    most: int = 150
    blind: bool = False
    by: str = ""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is in a file of labels of the pairs that were drawn: `verdicts[3]` full answers, and so on."""

    file: Path
    run: Path
    asked: int
    verdicts: Sequence[int]
    skipped: int

    @property
    def left(self) -> int:
        """Pairs that have not been asked about yet."""
        return self.asked - sum(self.verdicts) - self.skipped

    def to_json(self) -> dict[str, Any]:
        """The counts."""
        by_verdict = {str(grade): count for grade, count in enumerate(self.verdicts)}
        counts = {"asked": self.asked, "left": self.left, "skipped": self.skipped, "verdicts": by_verdict}
        return {"labels": str(self.file), **counts}

    def print(self, console: "Console") -> None:
        """The counts, and what to do next."""
        told = ", ".join(f"{count} of {grade}" for grade, count in enumerate(self.verdicts))
        rest = f"{self.skipped} skipped, {self.left} left"
        console.print(f"{self.file}: {sum(self.verdicts)} verdicts ({told}), {rest}", soft_wrap=True)
        if self.left:
            console.print("the same command goes on from here", soft_wrap=True)
        if sum(self.verdicts):
            console.print(f"next: synth judge-check {self.run} {self.file}", soft_wrap=True)


def label(folder: Path, output: Path | None = None, sitting: Sitting | None = None) -> Labelled:
    """Ask about pairs of a run until all are answered or somebody quits; go on where the file ends.

    Keys are read from standard input, the screen goes to standard error. `output` is `labels.jsonl` in the run's
    folder unless given. Raises CorpusError for a run without pairs or a file with a bad line, OutputError where it
    cannot be written.
    """
    from rich.console import Console

    sitting = sitting or Sitting()
    run = open_run(folder)
    file = output or run.folder / "labels.jsonl"
    by = sitting.by or _user()
    drawn = draw(run, sitting.step, sitting.most)
    mend(file)
    before = [label for label in read_labels(file) if label.by == by] if file.exists() and file.stat().st_size else []
    desk = _Desk(drawn, file, by, sitting.blind)
    desk.take_over(before)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with keys() as read:
        _Screen(console, desk).ask(read)
    said = Counter(desk.verdicts.values())
    return Labelled(file, run.folder, len(drawn), tuple(said[grade] for grade in range(len(GRADES))), said[None])


def _user() -> str:
    """What the system calls the person; "" where it does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


@dataclass(slots=True)
class _Desk:
    """The pairs, what was said of them, and the way back. `at` is the pair that is open now."""

    drawn: Sequence[Drawn]
    file: Path
    by: str
    blind: bool
    verdicts: dict[int, int | None] = field(default_factory=dict)
    way: list[int] = field(default_factory=list)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=LAST))
    at: int = 0

    def take_over(self, labels: Sequence[Label]) -> None:
        """What a file already says."""
        places = {each.pair.id: number for number, each in enumerate(self.drawn)}
        for label in labels:
            if label.pair in places:
                self._note(places[label.pair], label.verdict)
        self.at = self._next()

    def say(self, verdict: int | None, seconds: float) -> None:
        """Write a verdict of the open pair down, None for skipped, and open the first that has none."""
        told = {"by": self.by, "at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(seconds, 1)}
        told |= {"blind": self.blind, "revised": self.at in self.verdicts}
        append(self.file, self.drawn[self.at].label(verdict).model_copy(update=told))
        self._note(self.at, verdict)
        self.seconds.append(seconds)
        self.at = self._next()

    def back(self) -> None:
        """Open the pair that was answered before the open one."""
        place = self.way.index(self.at) if self.at in self.way else len(self.way)
        if place:
            self.at = self.way[place - 1]

    def stay(self) -> None:
        """Leave the open pair as it was answered, and open the first that has no answer."""
        if self.at in self.verdicts:
            self.at = self._next()

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at the pace of the last verdicts; None after a few."""
        left = len(self.drawn) - len(self.verdicts)
        return median(self.seconds) * left if len(self.seconds) >= FEW else None

    def _note(self, place: int, verdict: int | None) -> None:
        self.verdicts[place] = verdict
        self.way = [*(each for each in self.way if each != place), place]

    def _next(self) -> int:
        return next((n for n in range(len(self.drawn)) if n not in self.verdicts), len(self.drawn))


class _Screen:
    """Shows the open pair and does what a key says."""

    def __init__(self, console: "Console", desk: _Desk) -> None:
        self._console = console
        self._desk = desk
        self._began = self._opened = time.monotonic()
        self._page = 0
        self._helping = False

    def ask(self, read: Iterator[str]) -> None:
        """Until there is nothing left to do, no key any more, or somebody quits."""
        while True:
            self._draw()
            key = plain_key(next(read, _END))
            if key in ("q", _END) or self._do(key):
                return

    def _do(self, key: str) -> bool:
        """Do what a key says; True where that was the end."""
        desk, before = self._desk, self._desk.at
        over = before == len(desk.drawn)
        if self._helping or key == "?":
            self._helping = not self._helping
        elif key == "b":
            desk.back()
        elif over:
            return key == "\n"
        elif key in ("0", "1", "2", "3", "s"):
            desk.say(None if key == "s" else int(key), time.monotonic() - self._opened)
        elif key == "m":
            self._page += 1
        elif key == "\n":
            desk.stay()
        if desk.at != before:
            self._page, self._opened = 0, time.monotonic()
        return False

    def _draw(self) -> None:
        lines = list(self._help() if self._helping else self._lines())
        with self._console:  # both at once
            self._console.clear()
            self._console.print("\n".join(lines), soft_wrap=True)

    def _help(self) -> Iterator[str]:
        yield HELP
        yield "any key goes on"

    def _lines(self) -> Iterator[str]:
        desk, width = self._desk, self._console.width
        yield self._status()
        if desk.at == len(desk.drawn):
            yield f"All {len(desk.drawn)} are answered.   b back   q quit"
            return
        pair = desk.drawn[desk.at].pair
        query = self._wrapped(pair.row.query)
        above = [*self._wrapped(pair.row.instruction)[:2], *query[:MOST_OF_QUERY]]
        text = self._wrapped(pair.document.title) + self._wrapped(pair.document.text)
        if len(query) > MOST_OF_QUERY:
            above[-1] = "…"
            text += ["", _rule("the whole query", width), *query]
        height = self._console.height - len(above) - len(self._asks(1, 9)) - RULES - 1
        pages = list(_pages(text, max(3, height)))
        page = self._page % len(pages)
        yield _rule("query", width)
        yield from above
        yield _rule("document", width)
        yield from pages[page]
        yield _rule("", width)
        yield from self._asks(page, len(pages))

    def _asks(self, page: int, pages: int) -> list[str]:
        desk = self._desk
        said = desk.verdicts.get(desk.at)
        stays = f"Enter leaves it {'skipped' if said is None else f'at {said}'}" if desk.at in desk.verdicts else ""
        more = f"m more ({page + 1} of {pages})" if pages > 1 else ""
        does = "   ".join(filter(None, ("s skip", "b back", more, "? help", "q quit", stays)))
        return self._wrapped("   ".join(f"{grade} {name}" for grade, name in enumerate(GRADES))) + self._wrapped(does)

    def _status(self) -> str:
        desk = self._desk
        number = min(len(desk.verdicts) + 1, len(desk.drawn)) if desk.at not in desk.verdicts else desk.at + 1
        told = f" {number} of {len(desk.drawn)} · {_clock(time.monotonic() - self._began)}"
        if desk.left_s is not None and desk.left_s > 0:
            told += f" · about {max(1, round(desk.left_s / 60))} min left"
        last = self._last()
        return told + last.rjust(self._console.width - len(told) - 1) if last else told

    def _last(self) -> str:
        """The verdict before, and what the judges said of it unless nobody wants to know."""
        desk = self._desk
        if not desk.seconds:
            return ""
        place = desk.way[-1]
        said = desk.verdicts[place]
        grades = {} if desk.blind or said is None else desk.drawn[place].pair.grades
        judges = "".join(f", {shown(name)} {grade:g}" for name, grade in sorted(grades.items())[:3])
        return f"the last: {'skipped' if said is None else f'you {said}'}{judges}"

    def _wrapped(self, text: str) -> list[str]:
        """Lines that fit the screen, by the width of their characters; nothing in them steers it."""
        from rich.text import Text

        plain = shown(text[:MOST_SHOWN].replace("\r\n", "\n").strip()) + (" …" if len(text) > MOST_SHOWN else "")
        return [line.plain.rstrip() for line in Text(plain).wrap(self._console, self._console.width)] if plain else []


def _pages(lines: Sequence[str], height: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(lines), height):
        yield lines[start : start + height]


def _rule(name: str, width: int) -> str:
    return f"── {name} ".ljust(width, "─") if name else "─" * width


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# Keys


@contextmanager
def keys() -> Iterator[Iterator[str]]:
    """Keys as small letters, digits, "?" and newlines: each as it is pressed; without a terminal, a line for each."""
    if not sys.stdin.isatty():
        yield (line.strip()[:1] or "\n" for line in sys.stdin)
    elif sys.platform == "win32":
        yield _windows_keys()
    else:
        with _raw(sys.stdin.fileno()):
            yield _terminal_keys(sys.stdin.fileno())


def plain_key(character: str) -> str:
    r"""A key as all keyboards have it: digits of any script, wide letters and capitals are plain ones.

    >>> [plain_key(each) for each in "２S٣\r"]
    ['2', 's', '3', '\n']
    """
    if character == "\r":
        return "\n"
    digit = unicodedata.digit(character, None)
    return str(digit) if digit is not None else unicodedata.normalize("NFKC", character).lower()


def _terminal_keys(handle: int) -> Iterator[str]:
    """Arrows and other keys of several characters are left out."""
    while True:
        try:
            raw = os.read(handle, 1024)
        except OSError:  # the terminal is gone
            return
        if not raw:
            return
        yield from _ESCAPES.sub("", raw.decode("utf-8", "ignore"))


def _windows_keys() -> Iterator[str]:
    yield from ()
    if sys.platform == "win32":
        import msvcrt

        while True:
            key = msvcrt.getwch()
            if key == _INTERRUPT:
                raise KeyboardInterrupt
            if key in ("\x00", "\xe0"):  # an arrow: two characters
                msvcrt.getwch()
            else:
                yield key


@contextmanager
def _raw(handle: int) -> Iterator[None]:
    """The terminal without echo, and each key at once; as it was afterwards, also after Ctrl-Z and back."""
    import signal
    import termios
    import tty

    before = termios.tcgetattr(handle)

    def set_up(*_: object) -> None:
        tty.setcbreak(handle, termios.TCSANOW)

    resumed = signal.signal(signal.SIGCONT, set_up)
    try:
        set_up()
        yield
    finally:
        signal.signal(signal.SIGCONT, resumed)
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
