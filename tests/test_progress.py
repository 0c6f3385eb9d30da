"""What a person sees of the models while a run works, in eighty columns, from the counts of real completions."""

import io

import pytest
from rich.console import Console

from synth.backend import Completion, Message, Price, Request
from synth.budget import Budget, Caps
from synth.estimate import Asked, Forecast
from synth.progress import Activity, Show
from synth.usage import Usage, told_usage

ASKED = Request(id="a", messages=(Message("user", "x" * 400),))
PRICE = Price(prompt=1, completion=4)


def reply(**more: object) -> Completion:
    told = {"text": "…", "prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 40, **more}
    return Completion(request=ASKED, **told)  # type: ignore[arg-type]


def models(budget: Budget, replies: int, a_second: int = 50) -> Activity:
    """So many replies, all answered at the same pace, every tenth from the store."""
    usage = Usage()
    seen = Activity([usage, Usage()], budget)
    for number in range(replies + 1):
        if number % 10 == 0:
            seen.look(number / a_second)
            if number:
                usage.count(reply(from_store=True))
        if number < replies:
            reservation = budget.reserve(ASKED, PRICE, 0, wait=False)
            assert reservation is not None
            budget.settle(reservation, reply())
            usage.count(reply())
    return seen


def drawn(seen: Activity) -> str:
    """The bars and the lines below them, as a terminal of eighty columns shows them."""
    from synth.progress import _bars

    console = Console(width=80, force_terminal=True, file=io.StringIO())
    bars = _bars(console, seen)
    bars.add_task("01-generate", total=4000, completed=100, counts="100 kept", rate="50/s")
    paper = Console(width=80, record=True, file=io.StringIO())
    paper.print(bars.get_renderable())
    return paper.export_text()


def test_rates_shares_and_money_are_told_below_the_bars() -> None:
    expected = Forecast((Asked("generate", 4_000, 4_000 * 432, 4_000 * 1024, PRICE),))
    budget = Budget(Caps(usd=2), expected=expected)
    seen = models(budget, 1000)
    for _ in range(12):
        budget.reserve(ASKED, PRICE, 0, wait=False)
    assert seen.lines() == [
        "models  50 requests/s · 5,000 tokens/s in, 1,000 out · 12 under way",
        "        9% from the store · 40% cached · $0.18 of $2.00 · up to 0:00:58 left",
    ]
    text = drawn(seen)
    assert "01-generate" in text
    assert all(line in text for line in seen.lines())
    assert max(map(len, text.splitlines())) <= 80


def test_failures_are_told_by_kind_the_most_frequent_first() -> None:
    seen = models(Budget(), 20)
    errors = ["429: slow down"] * 3 + ["it took longer than `timeout_s:` allows", "503: busy", "503: busy"]
    for error in errors:
        seen.usages[1].count(reply(error=error))
    assert seen.lines()[-1] == "        6 failed: 3 of 429, 2 of 503, 1 of timeout"


def test_the_cap_that_is_nearest_is_the_one_that_is_told() -> None:
    seen = models(Budget(Caps(usd=100, tokens=20_000)), 100)
    assert "12,000 of 20,000 tokens" in seen.lines()[1]
    seen = models(Budget(Caps(requests=110, tokens=10_000_000)), 100)
    assert "100 of 110 requests" in seen.lines()[1]


def test_without_a_budget_the_dollars_so_far_are_told() -> None:
    assert "$0.0180" in models(Budget(), 100).lines()[1]


def test_the_pace_is_that_of_the_last_seconds() -> None:
    seen = models(Budget(), 100, a_second=10)
    for now_s in range(10, 31):
        seen.look(float(now_s))
    assert "0.0 requests/s" in seen.lines()[0]


def test_nothing_is_told_before_a_model_is_asked_nor_when_all_is_over() -> None:
    assert Activity([Usage()], Budget()).lines() == []
    seen = models(Budget(), 10)
    seen.over = True
    assert seen.lines() == []


@pytest.mark.parametrize("width", [40, 60, 80])
def test_figures_of_any_size_stay_within_the_width(width: int) -> None:
    usage = Usage(sent=10**9, from_store=10**9, prompt_tokens=10**13, completion_tokens=10**13, cached_tokens=10**12)
    usage.errors.update({f"{number}": 10**6 for number in range(400, 430)})
    seen = Activity([usage], Budget(Caps(tokens=10**15)))
    seen.look(0.0)
    usage.sent *= 3
    seen.look(1.0)
    assert max(map(len, seen.lines(width))) <= width


def test_a_run_ends_with_one_line_about_its_models() -> None:
    usage = Usage(sent=5000, from_store=1200, failed=3, prompt_tokens=600_000, completion_tokens=90_000, usd=0.42)
    usage.cached_tokens = 72_000
    assert told_usage(usage.plain()) == (
        "models: 5,000 requests sent, 1,200 from the store, 3 failed · 600,000 tokens in (12% cached), 90,000 out · "
        "$0.42"
    )
    assert told_usage(Usage(sent=1, prompt_tokens=8, completion_tokens=2).plain()) == (
        "models: 1 request sent · 8 tokens in, 2 out"
    )
    assert told_usage(Usage().plain()) == ""


def test_what_a_budget_left_unasked_counts_nowhere() -> None:
    usage = Usage()
    usage.count(reply(finish_reason="budget", error="no room"))
    assert usage.plain() == Usage().plain()


def test_nobody_who_does_not_watch_is_shown_anything() -> None:
    paper = Console(width=80, file=io.StringIO(), force_terminal=False)
    with Show(paper).steps([], Budget()):
        pass
    assert paper.file.getvalue() == ""  # type: ignore[attr-defined]
