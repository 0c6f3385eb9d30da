"""What synth costs beside a hand-written loop over the same real vLLM engine, and whether it keeps that engine full.

    bash tests/engine/run.sh --co && .venv-engine/bin/python benchmarks/engine.py --requests 1500 --pairs 5

`http`: the `openai` backend and a bare aiohttp client ask vLLM's own server, with the same requests, as many at the
same time. `in process`: the `vllm` backend and a loop over `AsyncLLM` use one engine. The two take turns at beginning.
Full is the share of the time, from the first request to the last that is sent, in which as many were in flight as may
be at that moment (the `openai` backend finds out how many may be), `occupied` the mean share of those places, and
`at_64` the share of the time in which all 64 were.
The model is tiny and made on the spot, so that an engine on a CPU is fast and what is around it counts most.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from synth.backend import Message, Request, Sampling
from synth.backends.openai import OpenAI
from synth.backends.vllm import VLLM
from synth.pace import Pace
from tests.engine import tiny_models
from tests.engine.conftest import ENVIRONMENT, SMALL

PLACES = 64
SENTENCES = tiny_models.TEXTS[:3]


@dataclass
class Watch:
    """How many requests were in flight from when on."""

    moments: list[tuple[float, int, int, bool]] = field(default_factory=list)
    flying: int = 0

    def step(self, change: int, places: int = PLACES) -> None:
        """One more in flight, or one less, where there are so many places."""
        self.flying += change
        self.moments.append((time.perf_counter(), self.flying, places, change > 0))

    def shares(self) -> tuple[float, float, float]:
        """Of the time until the last request was sent: the share in which all places there were were taken, the mean
        share of them that was, and the share in which PLACES were in flight.
        """
        last_sent = max(n for n, moment in enumerate(self.moments) if moment[3])
        until = self.moments[: last_sent + 1]
        spans = [(later[0] - now[0], now[1], now[2]) for now, later in itertools.pairwise(until)]
        whole = sum(span for span, _, _ in spans)
        full = sum(span for span, flying, places in spans if flying >= places)
        occupied = sum(span * min(1.0, flying / places) for span, flying, places in spans)
        return full / whole, occupied / whole, sum(span for span, flying, _ in spans if flying >= PLACES) / whole


@dataclass(frozen=True)
class Took:
    """One arm of one pair."""

    rows_per_s: float
    cpu_ms_per_row: float
    full: float
    occupied: float
    at_64: float

    def __str__(self) -> str:
        return f"{self.rows_per_s:.1f} rows/s (full {self.full:.1%}, {self.at_64:.1%} at 64)"


def requests(many: int) -> list[Request]:
    """Prompts of some 60 tokens, and replies of 16 to 48: no two end together."""
    made = []
    for n in range(many):
        sampling = Sampling(most_tokens=16 + n * 7 % 33, temperature=1.0, extra={"ignore_eos": True})
        text = f"{n}: {SENTENCES[n % 3]} {SENTENCES[(n + 1) % 3]}"
        made.append(Request(id=str(n), messages=(Message("user", text),), sampling=sampling))
    return made


def timed(work: Callable[[Watch], int], many: int) -> Took:
    watch = Watch()
    cpu, wall = time.process_time(), time.perf_counter()
    done = work(watch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if done != many:
        raise RuntimeError(f"{done} of {many} rows came back")
    return Took(many / wall, 1000 * cpu / many, *watch.shares())


def asked(backend: OpenAI | VLLM, rows: list[Request]) -> int:
    return sum(not done.error and bool(done.text) for done in backend.complete(iter(rows)))


@contextmanager
def watching_pace(watch: Watch) -> Iterator[None]:
    """See each request of the `openai` backend begin and end."""
    begin, end = Pace.begin, Pace.end

    def begun(self: Pace) -> None:
        begin(self)
        watch.step(1, self.limit)

    def ended(self: Pace, *how: Any) -> None:
        end(self, *how)
        watch.step(-1, self.limit)

    Pace.begin, Pace.end = begun, ended  # type: ignore[method-assign]  # measured from outside
    try:
        yield
    finally:
        Pace.begin, Pace.end = begin, end  # type: ignore[method-assign]  # as it was


def through_http(backend: OpenAI, rows: list[Request]) -> Callable[[Watch], int]:
    def work(watch: Watch) -> int:
        with watching_pace(watch):
            return asked(backend, rows)

    return work


def bare_http(base_url: str, model: str, rows: list[Request]) -> Callable[[Watch], int]:
    """PLACES workers over one aiohttp session."""

    async def all_of_it(watch: Watch) -> int:
        import aiohttp

        source, texts = iter(rows), list[str]()

        async def worker(session: aiohttp.ClientSession) -> None:
            for row in source:
                body = {
                    "model": model,
                    "messages": [{"role": "user", "content": row.messages[0].content}],
                    "max_tokens": row.sampling.most_tokens,
                    "temperature": 1.0,
                    "ignore_eos": True,
                }
                watch.step(1)
                async with session.post(f"{base_url}/chat/completions", json=body) as answer:
                    plain = json.loads(await answer.read())
                watch.step(-1)
                texts.append(plain["choices"][0]["message"]["content"])

        connector = aiohttp.TCPConnector(limit=PLACES)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
            await asyncio.gather(*(worker(session) for _ in range(PLACES)))
        return len([text for text in texts if text])

    return lambda watch: asyncio.run(all_of_it(watch))


@contextmanager
def watching_engine(engine: Any, watch: Watch) -> Iterator[None]:
    """See each request of an AsyncLLM begin and end."""
    plain = engine.generate

    async def generate(*given: Any, **more: Any) -> AsyncIterator[Any]:
        watch.step(1)
        try:
            async for output in plain(*given, **more):
                yield output
        finally:
            watch.step(-1)

    engine.generate = generate
    try:
        yield
    finally:
        engine.generate = plain


def through_engine(backend: VLLM, engine: Any, rows: list[Request]) -> Callable[[Watch], int]:
    def work(watch: Watch) -> int:
        with watching_engine(engine, watch):
            return asked(backend, rows)

    return work


def by_hand(backend: VLLM, engine: Any, rows: list[Request]) -> Callable[[Watch], int]:
    """All requests at once, as a script over AsyncLLM does it."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    async def one(row: Request) -> str:
        messages = [{"role": "user", "content": row.messages[0].content}]
        prompt = engine.get_tokenizer().apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        drawn = SamplingParams(
            temperature=1.0,
            max_tokens=row.sampling.most_tokens,
            ignore_eos=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        text = ""
        async for output in engine.generate(prompt, drawn, f"by-hand-{row.id}"):
            text = output.outputs[0].text
        return text

    async def all_of_it() -> int:
        return len([text for text in await asyncio.gather(*map(one, rows)) if text])

    def work(watch: Watch) -> int:
        with watching_engine(engine, watch):
            return backend.do(all_of_it())

    return work


def compare(name: str, ours: Callable[[Watch], int], theirs: Callable[[Watch], int], given: argparse.Namespace) -> Any:
    """Pairs in turn after one of each that does not count; medians, and the median of the pairs' ratios."""
    timed(ours, given.requests)
    timed(theirs, given.requests)
    pairs = []
    for number in range(given.pairs):
        arms = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        first, second = timed(arms[0], given.requests), timed(arms[1], given.requests)
        pair = (first, second) if number % 2 == 0 else (second, first)
        pairs.append(pair)
        print(f"{name} pair {number + 1}: synth {pair[0]}, bare {pair[1]}", file=sys.stderr)
    return summary(name, pairs)


def summary(name: str, pairs: list[tuple[Took, Took]]) -> dict[str, Any]:
    ratios = sorted(ours.rows_per_s / theirs.rows_per_s for ours, theirs in pairs)
    told: dict[str, Any] = {"what": name, "ratio": round(statistics.median(ratios), 3)}
    told["ratios"] = [round(ratio, 3) for ratio in ratios]
    for place, arm in enumerate(("synth", "bare")):
        for measure, digits in (("rows_per_s", 1), ("cpu_ms_per_row", 2), *SHARES):
            told[f"{arm}_{measure}"] = round(statistics.median(getattr(pair[place], measure) for pair in pairs), digits)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1500, help="rows of each arm of each pair")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of each comparison")
    parser.add_argument("--only", choices=("http", "in-process"), default="", help="one of the two comparisons")
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    rows = requests(given.requests)
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_models.chat(Path(folder)))
        options = {"model": model, "dtype": "float32", "max_model_len": 512, "max_num_seqs": PLACES, "engine": SMALL}
        found = [work(options, rows, given) for name, work in WAYS.items() if given.only in ("", name)]
    print(json.dumps(found, indent=1))


def over_http(options: dict[str, Any], rows: list[Request], given: argparse.Namespace) -> Any:
    with closing(VLLM.model_validate({**options, "serve": True})) as served:
        asked(served, rows[:1])
        base_url = f"{served.children[0].url}/v1"
        places = {"most_concurrent": PLACES, "first_concurrent": PLACES, "key_env": "NO_KEY_IS_NEEDED"}
        with closing(OpenAI.model_validate({"model": options["model"], "base_url": base_url, **places})) as ours:
            bare = bare_http(base_url, options["model"], rows)
            return compare("http", through_http(ours, rows), bare, given)


def in_process(options: dict[str, Any], rows: list[Request], given: argparse.Namespace) -> Any:
    with closing(VLLM.model_validate(options)) as ours:
        asked(ours, rows[:1])
        opened = ours._engine
        if opened is None:
            raise RuntimeError("the engine is not open")
        engine = opened._engine
        return compare("in process", through_engine(ours, engine, rows), by_hand(ours, engine, rows), given)


SHARES = (("full", 4), ("occupied", 4), ("at_64", 4))
WAYS = {"http": over_http, "in-process": in_process}

if __name__ == "__main__":
    main()
