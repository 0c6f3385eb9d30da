"""Runs under a budget, against a server whose replies take ten times as much for one row as for another."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from synth.forecast import rehearse
from synth.recipe import load
from tests.conftest import Said as Printed
from tests.conftest import Synth, write_corpus
from tests.servers import Body, ChatServer, Said

DOCUMENTS = 40

RECIPE = """\
corpus: ./corpus
seed: 7
backends:
  writer: {{use: openai, model: tiny, base_url: {url}, sampling: {{most_tokens: 200, temperature: 0}}{more}}}
budget: {budget}
steps:
  - use: from_corpus
  - {{use: generate, prompt: grounded/question}}
  - use: exact_dedup
export: [dataset]
"""


def answered(body: Body) -> Said:
    """A question of its own for each prompt, whose tokens vary by ten from one to the other."""
    raw = json.dumps(body["messages"]).encode()
    drawn = int.from_bytes(hashlib.blake2b(raw, digest_size=4).digest(), "big")
    cost = 1 + drawn % 10
    text = json.dumps({"query": f"what is told of number {drawn}?"})
    return Said(text, prompt_tokens=len(raw) * cost // 20, completion_tokens=20 * cost)


class Counted:
    """What a server has answered, by its own count."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.lock = threading.Lock()

    def __call__(self, body: Body) -> Said:
        said = answered(body)
        with self.lock:
            self.said.append(said)
        return said

    @property
    def tokens(self) -> int:
        return sum(said.prompt_tokens + said.completion_tokens for said in self.said)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def server(counted: Counted) -> Iterator[ChatServer]:
    with ChatServer(counted) as server:
        yield server


@pytest.fixture
def run(synth: Synth, tmp_path: Path, server: ChatServer) -> "Run":
    write_corpus(tmp_path / "corpus", {f"d{n}": f"The gate number {n} opens at noon. " * 4 for n in range(DOCUMENTS)})
    return Run(synth, tmp_path, server)


class Run:
    """A run of the recipe under a budget, always in the same folder."""

    def __init__(self, synth: Synth, folder: Path, server: ChatServer) -> None:
        self.synth = synth
        self.folder = folder
        self.server = server

    def under(self, budget: str, *words: str, more: str = "") -> Printed:
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(RECIPE.format(url=self.server.base_url, budget=budget, more=more))
        return self.synth("run", recipe, "--output", "run", *words)

    @property
    def told(self) -> dict[str, dict[str, object]]:
        """What `run.json` holds."""
        told: dict[str, dict[str, object]] = json.loads((self.folder / "run" / "run.json").read_text())
        return told

    @property
    def asked(self) -> list[str]:
        """What the server was asked, as it came."""
        return [json.dumps(body["messages"]) for body in self.server.seen]


def test_a_budget_of_tokens_is_never_passed_and_the_resumed_run_adds_up(run: Run, counted: Counted) -> None:
    said = run.under("{tokens: 6_000}")
    assert said.code == 3
    [line] = [line for line in said.err.splitlines() if line.startswith("synth:")]
    assert "the budget of 6,000 tokens has no room for the next request" in line
    assert f"{len(counted.said)} requests, {counted.tokens:,} tokens so far" in line
    assert "of the way; finishing takes up to about" in line
    assert 3_000 < counted.tokens <= 6_000
    assert not (run.folder / "run" / "run.json").exists()

    before = len(counted.said)
    assert run.under("{tokens: 9_000}").code == 3
    assert len(counted.said) > before
    assert counted.tokens <= 9_000

    assert run.under("{tokens: 1_000_000}").code == 0
    assert len(set(run.asked)) == len(run.asked) == DOCUMENTS
    assert run.told["requests"] == {"sent": DOCUMENTS, "from_store": 0, "failed": 0}
    prompts, replies = (
        sum(getattr(said, name) for said in counted.said) for name in ("prompt_tokens", "completion_tokens")
    )
    assert run.told["tokens"] == {"prompt": prompts, "completion": replies, "cached": 3 * DOCUMENTS}
    assert run.told["rows"]["kept"] == DOCUMENTS


def test_the_first_replies_of_a_run_tell_what_it_will_take(run: Run) -> None:
    said = run.under("{tokens: 1_000_000}")
    assert said.code == 0
    [line] = said.err.splitlines()
    assert line.startswith("the whole run takes up to about 40 requests, ")
    assert line.endswith("the budget of 1,000,000 tokens covers it")


def test_a_budget_of_requests_is_kept_to_the_request(run: Run, counted: Counted) -> None:
    said = run.under("{requests: 7}")
    assert said.code == 3
    assert "7 requests" in said.err
    assert len(counted.said) == 7
    assert run.under("{requests: 9}").code == 3
    assert len(counted.said) == 9
    assert len(set(run.asked)) == 9


def test_a_budget_of_dollars_is_never_passed_at_the_price_that_is_given(run: Run, counted: Counted) -> None:
    price = ", price: {prompt: 1000, completion: 2000}"
    assert run.under("{usd: 8}", more=price).code == 3
    usd = sum(said.prompt_tokens * 1e-3 + said.completion_tokens * 2e-3 for said in counted.said)
    assert 4 < usd <= 8
    assert run.under("{usd: 1000}", more=price).code == 0
    usd = sum(said.prompt_tokens * 1e-3 + said.completion_tokens * 2e-3 for said in counted.said)
    assert run.told["usd"] == pytest.approx(usd)


def test_a_budget_of_dollars_needs_a_price_before_anything_is_sent(run: Run, synth: Synth) -> None:
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(url="http://models.invalid/v1", budget="{usd: 1}", more=""))
    said = synth("run", recipe)
    assert said.code == 2
    assert "backends.writer.price" in said.err
    assert said.err.count("\n") == 1
    assert not (run.folder / "outputs").exists()


def test_a_budget_of_nothing_is_one_line(run: Run) -> None:
    said = run.under("{tokens: 0}")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "budget.tokens: must be greater than 0, not 0" in said.err
    assert not run.server.seen


def test_a_budget_too_small_for_one_request_sends_none(run: Run) -> None:
    said = run.under("{tokens: 100}")
    assert said.code == 3
    assert "no room for a single request" in said.err
    assert not run.server.seen


def test_a_partial_run_ends_with_what_there_is_and_a_later_one_asks_for_the_rest(run: Run, counted: Counted) -> None:
    said = run.under("{requests: 10}", "--partial", "--json")
    assert said.code == 0, said.err
    assert len(counted.said) == 10
    told = json.loads(said.out)
    assert told["rows"] == {"kept": 10, "dropped": {"generate": {"over_budget": DOCUMENTS - 10}}}
    assert told["requests"] == {"sent": 10, "from_store": 0, "failed": 0}

    assert run.under("{requests: 10}", "--partial").code == 0
    assert len(counted.said) == 10
    assert run.under("{requests: 10}").code == 3
    assert run.under("{requests: 100}").code == 0
    assert run.told["rows"]["kept"] == DOCUMENTS
    assert run.told["requests"]["sent"] == DOCUMENTS
    assert len(set(run.asked)) == len(run.asked) == DOCUMENTS


def test_check_tells_what_a_run_costs_at_most_and_what_the_budget_covers(run: Run, synth: Synth) -> None:
    recipe = run.folder / "recipe.yaml"
    price = ", price: {prompt: 1000, completion: 2000}"
    recipe.write_text(RECIPE.format(url=run.server.base_url, budget="{usd: 8}", more=price))
    told = json.loads(synth("check", recipe, "--json").out)
    assert told["requests"] == DOCUMENTS
    [step] = told["steps"]
    assert told["usd"] == step["usd"] == pytest.approx(step["tokens_in"] * 1e-3 + DOCUMENTS * 200 * 2e-3)
    assert told["budget"] == {"usd": 8}
    assert told["covered"] == pytest.approx(8 / told["usd"], abs=1e-4)
    said = synth("check", recipe).out
    assert f"up to ${told['usd']:,.2f}" in said
    assert f"the budget of $8.00 covers {told['covered']:.0%} of it, every reply as long as it may be" in said
    assert max(map(len, said.splitlines())) <= 80
    recipe.write_text(RECIPE.format(url="http://models.invalid/v1", budget="{tokens: 100}", more=""))
    assert json.loads(synth("check", recipe, "--json").out)["usd"] is None
    assert "its price is not known" in synth("check", recipe).out
    assert not run.server.seen


def test_check_tells_what_a_run_likely_costs_once_there_are_replies_of_its_model(
    run: Run, synth: Synth, counted: Counted
) -> None:
    assert run.under("{usd: 1000}", more=", price: {prompt: 1000, completion: 2000}").code == 0
    told = json.loads(synth("check", run.folder / "recipe.yaml", "--json").out)
    out = sum(said.completion_tokens for said in counted.said)
    assert told["likely_usd"] == pytest.approx(told["steps"][0]["tokens_in"] * 1e-3 + out * 2e-3)
    assert told["likely_usd"] < told["usd"]
    assert "likely $" in synth("check", run.folder / "recipe.yaml").out


def test_a_corpus_is_not_counted_to_its_end_where_that_takes_long(run: Run) -> None:
    recipe = run.folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(url=run.server.base_url, budget="{tokens: 100}", more=""))
    whole, begun = rehearse(load(str(recipe))), rehearse(load(str(recipe)), within_s=0)
    assert (whole.forecast.requests, whole.forecast.more) == (DOCUMENTS, False)
    assert (begun.forecast.requests, begun.forecast.more) == (20, True)


HOARDER = '''\
"""A backend that answers when nothing more comes: as an API for batches does."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from synth.backend import Backend, Completion, Request


class Hoarder(Backend):
    """Grades everything alike."""

    in_batches: ClassVar[bool] = True

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """All of them at once."""
        for request in list(requests):
            text = '{"wanted": "w", "reason": "r", "match": 3, "trust": 3, "score": 3}'
            yield Completion(request=request, text=text, prompt_tokens=10, completion_tokens=10)
'''


def test_a_model_asked_in_batches_and_another_do_not_wait_for_each_others_room(run: Run, counted: Counted) -> None:
    (run.folder / "hoarder.py").write_text(HOARDER)
    recipe = run.folder / "recipe.yaml"
    written = RECIPE.format(url=run.server.base_url, budget="{tokens: 7_000}", more="")
    recipe.write_text(
        written.replace("budget:", "  judge: {use: ./hoarder.py:Hoarder, sampling: {most_tokens: 100}}\nbudget:")
        .replace("most_tokens: 200", "most_tokens: 4000")
        .replace("exact_dedup", "judge")
    )
    command = [sys.executable, "-m", "synth", "run", str(recipe), "--output", "run"]
    done = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3, done.stderr
    assert "has no room for the next request" in done.stderr
    assert counted.tokens <= 7_000
