"""The figures of a run's rows as a person reads them: a table of at most 80 columns, only what could be measured.

queries    half have at most 5 words, 95 % at most 17; 12 % are questions             20,000
sameness   distinct words 0.21, pairs 0.62, triples 0.83; compression 2.9; self-BLEU 0.41  10,000
"""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING

from synth.compliance import Asked, same_language
from synth.diversity import Diversity, Figure
from synth.row_figures import DEPTH, Histogram, Ranks
from synth.terminal import shown

if TYPE_CHECKING:
    from rich.table import Table

    from synth.quality import Quality

NOTE = "variety: more is more varied, but of compression and self-BLEU less is"
Line = tuple[str, str, int]
"""A name, what was found, and of how many rows."""
MOST_LINES = 6
"""Languages, axes, groups and criteria that have a line of their own; `run.json` has them all."""
_MOST_NAMED = 4
_FEW = 20
"""Fewer queries of a language or task say nothing of how varied they are."""
_MOSTLY = 0.9
_WIDTH = 51


def table(found: "Quality") -> "Table":
    """The table. Names that rows brought are shown as text, whatever they hold."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("quality", overflow="fold", max_width=18)
    grid.add_column("", overflow="fold", max_width=_WIDTH)
    grid.add_column("rows", justify="right", no_wrap=True)
    for name, text, n in lines(found):
        grid.add_row(Text(shown(name)), Text(_wrapped(shown(text))), f"{n:,}")
    return grid


def _wrapped(text: str) -> str:
    """The text in lines; a number stays on a line with its per cent."""
    found = wrap(text.replace(" %", "\u00a0%"), _WIDTH, break_on_hyphens=False)
    return "\n".join(found).replace("\u00a0", " ")


def lines(found: "Quality") -> Iterator[Line]:
    """What stands in the table, line by line."""
    yield from _texts(found)
    yield from _diversity(found)
    yield from _languages(found)
    yield from _axes(found)
    yield from _judged(found)
    yield from _ranked(found)
    yield from _places(found)
    yield from _negatives(found)
    yield from _economy(found)


def _texts(found: "Quality") -> Iterator[Line]:
    asking = found.questions.value
    more = f"; {percent(asking)} end in a question mark" if asking is not None else ""
    for name, lengths, told in (("queries", found.queries, more), ("positives", found.positives, "")):
        if lengths.words is not None:
            yield name, _long(lengths.words) + told, lengths.n
    for name, varied in (("documents", found.documents), ("instructions", found.instructions)):
        if varied.effective is not None:
            yield name, f"{varied.different:,} different, like {_count(varied.effective)} equally frequent", varied.n


def _long(words: Mapping[str, int]) -> str:
    return f"words: half have at most {words['50%']:,}, 95 % at most {words['95%']:,}"


def _diversity(found: "Quality") -> Iterator[Line]:
    of = found.diversity["all"]
    words = [(name, figure.value) for name, figure in _lexical(of) if figure.value is not None]
    if words:
        yield "variety", "; ".join(f"{name} {value:.2f}" for name, value in words), of.distinct_1.n
    if of.vendi.value is not None and of.dispersion.value is not None and of.nearest.value is not None:
        alike = "" if of.self_bleu.value is None else f"self-BLEU {of.self_bleu.value:.2f}; "
        told = f"{alike}Vendi {_count(of.vendi.value)} of {of.vendi.n:,}; mean distance {of.dispersion.value:.2f}"
        yield "spread", f"{told}, to the nearest {of.nearest.value:.2f}; by {of.by}", of.vendi.n
    groups = [(name, each) for name, each in found.diversity.items() if name != "all" and each.vendi.n >= _FEW]
    for name, group in groups[:MOST_LINES]:
        if group.vendi.value is not None and group.distinct_2.value is not None:
            told = (
                f"distinct pairs {group.distinct_2.value:.2f}; Vendi {_count(group.vendi.value)} of {group.vendi.n:,}"
            )
            yield f"  {name}", told, group.distinct_2.n


def _lexical(of: Diversity) -> tuple[tuple[str, Figure], ...]:
    return (
        ("distinct words", of.distinct_1),
        ("pairs", of.distinct_2),
        ("triples", of.distinct_3),
        ("compression", of.compression),
    )


def _languages(found: "Quality") -> Iterator[Line]:
    counts = {tag: sum(codes.values()) for tag, codes in found.languages.table.items()}
    total = sum(counts.values())
    if not total:
        return
    yield "languages", "asked for: " + _named(counts, MOST_LINES), total
    if found.languages.mismatch is not None:
        yield "", f"{percent(found.languages.mismatch)} of those that can be told are in another", found.languages.n
    odd = [tag for tag in counts if _as_asked(tag, found.languages.table[tag]) < _MOSTLY * counts[tag]]
    for tag in odd[:MOST_LINES]:
        yield f"  {tag or 'unknown'}", "looks like " + _named(found.languages.table[tag], _MOST_NAMED), counts[tag]


def _as_asked(tag: str, codes: Mapping[str, int]) -> int:
    return sum(count for code, count in codes.items() if code and tag and same_language(code, tag))


def _named(counts: Mapping[str, int], most: int) -> str:
    total = sum(counts.values())
    named = [f"{name or 'unknown'} {percent(count / total)}" for name, count in list(counts.items())[:most]]
    return ", ".join(named) + (f" and {len(counts) - most} more" if len(counts) > most else "")


def _axes(found: "Quality") -> Iterator[Line]:
    axes: dict[tuple[str, str], list[Asked]] = {}
    for asked in found.axes:
        if asked.n:
            axes.setdefault((asked.prompt, asked.axis), []).append(asked)
    for (_, axis), values in list(axes.items())[:MOST_LINES]:
        n = sum(asked.n for asked in values)
        met = sum(asked.met for asked in values) / n
        worst = min(values, key=lambda asked: (asked.met / asked.n, asked.value))
        told = f"{percent(met)} as asked; least of all {worst.value}: {percent(worst.met / worst.n)}"
        yield f"axis {axis}", told, n


def _judged(found: "Quality") -> Iterator[Line]:
    judged = [(name, each) for name, each in found.grades.items() if "." not in name]  # verdicts, not their parts
    for name, histogram in judged[:MOST_LINES]:
        yield name, _graded(histogram), histogram.n
        every = found.candidate_grades.get(name)
        if every is not None and every.n > histogram.n:
            yield "  all candidates", _graded(every), every.n


def _graded(histogram: Histogram) -> str:
    counts = ", ".join(f"{grade}: {percent(count / histogram.n)}" for grade, count in histogram.counts.items())
    return f"mean {histogram.mean:.2f} ({counts})"


def _ranked(found: "Quality") -> Iterator[Line]:
    for name, ranks in found.ranks.items():
        yield f"rank by {name}", _placed(ranks), ranks.n
        every = found.candidate_ranks.get(name)
        if every is not None and every.n > ranks.n:
            yield "  all candidates", _placed(every), every.n


def _placed(ranks: Ranks) -> str:
    among = f" of {ranks.documents:,}" if ranks.documents is not None else ""
    first, ten, not_found = (percent(value or 0.0) for value in (ranks.first, ranks.ten, ranks.not_found))
    return f"positive first{among}: {first}; in ten: {ten}; not in {DEPTH}: {not_found}"


def _places(found: "Quality") -> Iterator[Line]:
    for name, places in (("evidence", found.evidence_in_document), ("pieces", found.piece_in_parent)):
        if places.counts is not None:
            shares = ", ".join(percent(count / places.n) for count in places.counts)
            yield name, f"by fifths of the document: {shares}", places.n


def _negatives(found: "Quality") -> Iterator[Line]:
    of = found.negatives
    if of.written is None or of.none is None:
        return
    total = sum(of.origins.values())
    origins = ", ".join(f"{origin} {percent(count / total)}" for origin, count in of.origins.items())
    none = f"; {percent(of.none)} of the rows have none" if of.none else ""
    yield "negatives", f"{of.mean:.1f} a row ({origins}){none}", of.n
    for name, gap in of.gaps.items():
        told = f"the hardest is below the positive by {gap.median:.3g} (median), not below for {percent(gap.above)}"
        yield f"  by {name}", told, gap.n


def _economy(found: "Quality") -> Iterator[Line]:
    made = [each for each in found.yields[1:] if each.share is not None]
    if made:
        yield "yield", ", ".join(f"{each.step} {_yielded(each.share or 0.0)}" for each in made), found.rows
    cost = found.cost
    if cost.requests is not None and cost.prompt_tokens is not None and cost.completion_tokens is not None:
        tokens = f"{cost.prompt_tokens:,.0f} tokens in, {cost.completion_tokens:,.0f} out"
        usd = f"${cost.usd:,.2f}, " if cost.usd is not None else ""
        yield "per 1,000 rows", f"{usd}{cost.requests:,.0f} requests, {tokens}", cost.n


def _yielded(share: float) -> str:
    return percent(share) if share <= 1 else f"{share:.1f} a row"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def percent(share: float) -> str:
    """A share, 0 to 1, in whole per cent, so that neither nothing nor all is said of what is not.

    >>> percent(0.001), percent(0.999), percent(0.0), percent(0.335)
    ('below 1 %', 'above 99 %', '0 %', '34 %')
    """
    rounded = round(100 * share)
    if rounded == 0 and share > 0:
        return "below 1 %"
    return "above 99 %" if rounded == 100 and share < 1 else f"{rounded} %"
