"""score: what stands on documents afterwards, and what becomes of rows that nothing can be said of."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from synth.backend import Backend, Completion, Request, Sampling, Token
from synth.backends.scripted import Scripted
from synth.errors import BackendError, RecipeError
from synth.recorder import Recorder
from synth.retrieval import Corpus
from synth.stage import Context, Source
from synth.stages.score import Score
from synth.types import Document, Dropped, Example
from tests.conftest import RECIPE, Synth
from tests.letters import embedder

NILE = "when does the nile flood"
FLOOD, BARGE = "the nile floods in july", "barges carry stone"


def row(*negatives: str, query: str = NILE, name: str = "r1", positive: str = FLOOD) -> Example:
    wrong = tuple(Document(text, doc_id=text, origin="mined", scores={"bm25": 3.0}) for text in negatives)
    return Example(id=name, query=query, positives=(Document(positive, doc_id="p"),), negatives=wrong)


def script(folder: Path, *lines: dict[str, Any]) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


def scored(stage: Score, rows: Iterable[Example], **more: Any) -> list[Example | Dropped]:
    counts.clear()

    def count(name: str, by: float = 1) -> None:
        counts[name] = counts.get(name, 0) + by

    return list(stage.run(rows, Context(step="score", count=count, **more)))


counts: dict[str, float] = {}


def notes(row: Example, name: str) -> list[float | None]:
    return [document.scores.get(name) for document in (*row.positives, *row.negatives)]


def yes(text: str, chance: float) -> dict[str, Any]:
    return {
        "when": f"<document>\n{text}\n",
        "reply": {"answer": "yes" if chance >= 0.5 else "no"},
        "chances": {"yes": chance, "no": round(1 - chance, 5)},
    }


def test_relevance_is_the_probability_of_yes(tmp_path: Path) -> None:
    judge = script(tmp_path, yes(FLOOD, 0.9), yes(BARGE, 0.05))
    before = row(BARGE)
    [kept] = scored(Score(), [before], backends={"judge": judge})
    assert isinstance(kept, Example)
    assert notes(kept, "relevance") == [0.9, 0.05]
    assert counts == {"documents scored": 2}
    assert kept.negatives[0].scores == {"bm25": 3.0, "relevance": 0.05}
    assert all(document.relevance is None for document in (*kept.positives, *kept.negatives))
    bare = [Document(d.text, d.doc_id, origin=d.origin) for d in (*kept.positives, *kept.negatives)]
    assert bare == [Document(d.text, d.doc_id, origin=d.origin) for d in (*before.positives, *before.negatives)]


def test_a_graded_prompt_keeps_its_own_scale_and_several_judges_vote(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one = script(tmp_path, {"when": FLOOD, "reply": {"score": 3}}, {"when": BARGE, "reply": {"score": 0}})
    two = script(tmp_path / "b", {"when": FLOOD, "reply": {"score": 2}}, {"when": BARGE, "reply": {"score": 1}})
    stage = Score(prompt="judge/relevance", backend=("one", "two"), under="grade")
    [kept] = scored(stage, [row(BARGE)], backends={"one": one, "two": two})
    assert isinstance(kept, Example)
    assert notes(kept, "grade") == [2.5, 0.5]
    assert set(kept.positive.scores) == {"grade"}


def test_query_likelihood_is_the_mean_of_the_querys_own_words(tmp_path: Path) -> None:
    writer = script(
        tmp_path,
        {"when": [FLOOD, NILE], "logprob": -0.5},
        {"when": [BARGE, NILE], "logprob": -4},
    )
    [kept] = scored(Score(by="query_likelihood"), [row(BARGE)], backends={"judge": writer})
    assert isinstance(kept, Example)
    assert notes(kept, "query_likelihood") == [-0.5, -4.0]


class Weighing(Backend):
    """Weighs a conversation of which the query's words are the last, as vLLM does."""

    weighs_prompts: ClassVar[bool] = True

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            assert request.is_weighed
            assert request.sampling.most_tokens == 1
            assert request.messages[-1].content == NILE
            assert NILE not in "".join(message.content for message in request.messages[:-1])
            words = [Token("<user>", None), Token("barges", -9.0), Token("<assistant>", -9.0), Token("\n", -9.0)]
            own = [Token("when", -1.0), Token(" does", -2.0), Token(" the", -3.0), Token(" nile", -1.0)]
            yield Completion(request=request, prompt_logprobs=(*words, *own, Token(" flo", -2.0), Token("od", -3.0)))


def test_the_document_and_the_marks_of_the_template_do_not_count() -> None:
    stage = Score(by="query_likelihood", sampling=Sampling(most_tokens=900))
    [kept] = scored(stage, [row(query=f" {NILE}\n")], backends={"judge": Weighing()})
    assert isinstance(kept, Example)
    assert notes(kept, "query_likelihood") == [-2.0]


def test_a_prompt_for_the_likelihood_of_a_query_may_not_read_it(tmp_path: Path) -> None:
    stage = Score(by="query_likelihood", prompt="judge/relevance")
    with pytest.raises(RecipeError, match="reads 'query', which nothing here fills"):
        stage.content_read(Context(step="score", source=Source(folder=tmp_path)))


def test_a_backend_that_tells_no_weights_ends_the_run_in_one_line() -> None:
    class Mute(Weighing):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            yield from (Completion(request=request, text="x") for request in requests)

    with pytest.raises(BackendError, match="step score: backend judge: .* vLLM's server and the `vllm` backend do"):
        scored(Score(by="query_likelihood"), [row()], backends={"judge": Mute()})


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        ("{use: openai, model: m}", 2),
        ("{use: openai_batch, model: m}", 2),
        ("{use: llamacpp, model: m.gguf}", 2),
        ("[{use: scripted}, {use: openai, model: m}]", 2),
        ("{use: openai, model: m, base_url: http://localhost:1/v1}", 0),
        ("{use: openai_batch, model: m, offline: there}", 0),
        ("{use: vllm, model: m}", 0),
        ("{use: scripted}", 0),
    ],
)
def test_check_and_run_say_which_backend_cannot_weigh(
    synth: Synth, corpus: Path, tmp_path: Path, backend: str, code: int
) -> None:
    steps = "  - {use: score, by: query_likelihood}\n"
    text = RECIPE.replace("steps:\n", f"backends:\n  judge: {backend}\nsteps:\n").replace(
        "  - use: near_dedup\n", steps
    )
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    for command in ("check", "run") if code else ("check",):
        told = synth(command, "recipe.yaml")
        assert told.code == code, told.err
        if code:
            [line] = [each for each in told.err.splitlines() if each.startswith("synth:")]
            assert "step score: backend judge: it tells no log-probabilities of a prompt; `use: vllm` does" in line


class Reranker(Scripted):
    """Scores pairs by the length of the document; of an empty one it says nothing."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Any:
        return np.array([len(text) or np.nan for _, text in pairs], np.float32)


def test_a_cross_encoder_scores_pairs_and_what_it_says_nothing_of_has_no_score() -> None:
    stage = Score(by="cross_encoder", backend="reranker", under="teacher")
    [kept] = scored(stage, [row(BARGE, "")], backends={"reranker": Reranker()})
    assert isinstance(kept, Example)
    assert notes(kept, "teacher") == [float(len(FLOOD)), float(len(BARGE)), None]
    assert counts == {"documents scored": 2, "documents without a score": 1}


def test_an_embedder_and_words_score_too() -> None:
    letters = embedder([NILE, FLOOD, BARGE])
    [near] = scored(Score(by="cosine", embedder="letters"), [row(BARGE)], embedders={"letters": letters})
    assert isinstance(near, Example)
    right, wrong = near.positive.scores["cosine"], near.negatives[0].scores["cosine"]
    assert 1 > right > wrong
    corpus = Corpus([Document(FLOOD, doc_id="p"), Document(BARGE, doc_id="b")])
    [by_words] = scored(Score(by="bm25"), [row(BARGE)], corpus_of=lambda: corpus)
    assert isinstance(by_words, Example)
    assert by_words.positive.scores["bm25"] == pytest.approx(float(corpus.bm25().score([NILE], [by_words.positive])[0]))
    assert by_words.negatives[0].scores["bm25"] == 0.0  # the search's earlier 3.0 is gone


@pytest.mark.parametrize(
    ("of", "found"), [("all", [1, 2, 3]), ("positives", [1, None, None]), ("negatives", [None, 2, 3])]
)
def test_only_the_wanted_documents_are_scored(of: Any, found: list[float | None]) -> None:
    stage = Score(by="cross_encoder", of=of)
    [kept] = scored(stage, [row("bb", "ccc", positive="a")], backends={"judge": Reranker()})
    assert isinstance(kept, Example)
    assert notes(kept, "cross_encoder") == found


def test_a_document_that_cannot_be_judged_has_no_score_and_a_row_of_such_is_dropped(tmp_path: Path) -> None:
    judge = script(tmp_path, yes(FLOOD, 0.9), {"when": "<document>\nmist\n", "text": "hard to say"})
    rows = [row("mist", name="r1"), row("mist", name="r2", positive="mist"), row(query=" ", name="r3")]
    rows.append(Example(id="r4", query=NILE))
    found = {
        outcome.example.id if isinstance(outcome, Dropped) else outcome.id: outcome
        for outcome in scored(Score(attempts=1), rows, backends={"judge": judge})
    }
    kept = found["r1"]
    assert isinstance(kept, Example)
    assert notes(kept, "relevance") == [0.9, None]
    reasons = {name: (each.reason, each.detail) for name, each in found.items() if isinstance(each, Dropped)}
    assert reasons == {
        "r2": ("unscored", "unreadable_answer: no JSON object: hard to say"),
        "r3": ("unscored", "there is no query"),
        "r4": ("unscored", "it has no document to score"),
    }


def test_a_score_that_could_not_be_had_again_is_gone(tmp_path: Path) -> None:
    before = Example(id="r", query=NILE, positives=(Document("a", scores={"cross_encoder": 5.0}), Document("")))
    [kept] = scored(Score(by="cross_encoder"), [before], backends={"judge": Reranker()})
    assert isinstance(kept, Example)
    assert notes(kept, "cross_encoder") == [1.0, None]


@pytest.mark.parametrize("by", ["relevance", "query_likelihood"])
@pytest.mark.parametrize(("finish", "reason"), [("budget", "over_budget"), ("", "unscored")])
def test_a_row_that_the_budget_ended_for_says_so(by: Any, finish: str, reason: str) -> None:
    class Spent(Weighing):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request=request, error="it is spent", finish_reason=finish)

    [lost] = scored(Score(by=by), [row(BARGE)], backends={"judge": Spent()})
    assert isinstance(lost, Dropped)
    assert lost.reason == reason
    assert "it is spent" in lost.detail


def test_rows_never_mix_and_their_order_changes_nothing(tmp_path: Path) -> None:
    judge = script(tmp_path, *(yes(f"text {n}.", (n + 1) / 100) for n in range(60)))
    rows = [row(f"text {n}.", f"text {n + 1}.", positive=f"text {n + 2}.", name=f"r{n:02}") for n in range(50)]
    found = sorted(scored(Score(), rows, backends={"judge": judge}), key=repr)
    assert [notes(each, "relevance") for each in found if isinstance(each, Example)] == [
        [(n + 3) / 100, (n + 1) / 100, (n + 2) / 100] for n in range(50)
    ]
    assert sorted(scored(Score(), rows[::-1], backends={"judge": judge}), key=repr) == found


@pytest.mark.parametrize("by", ["relevance", "query_likelihood", "cross_encoder"])
def test_a_rehearsal_scores_without_a_model(by: Any) -> None:
    [kept] = scored(Score(by=by), [row(BARGE)], backends={"judge": Recorder()})
    assert isinstance(kept, Example)
    assert None not in notes(kept, by)


def test_what_it_uses_depends_on_what_scores() -> None:
    both = Score(backend="a", then="b")
    assert (both.backends_used(), both.weighs_with(), both.reads_corpus()) == (("a", "b"), (), False)
    likely = Score(by="query_likelihood", backend="a")
    assert (likely.backends_used(), likely.weighs_with()) == (("a",), ("a",))
    near, words = Score(by="cosine", embedder="m"), Score(by="bm25")
    assert (near.backends_used(), near.embedders_used(), near.reads_corpus()) == ((), ["m"], False)
    assert (words.backends_used(), words.embedders_used(), words.reads_corpus()) == ((), [], True)
    ctx = Context(step="score")
    assert likely.content_read(ctx) != both.content_read(ctx) != words.content_read(ctx) == ""
    assert (both.prompt, likely.prompt, words.prompt) == ("judge/yes_no", "score/query_likelihood", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "cosine"}, "by: cosine needs an embedder"),
        ({"embedder": "m"}, "relevance asks none; set `by: cosine`"),
        ({"by": "query_likelihood", "backend": ["a", "b"]}, "query_likelihood asks one"),
        ({"by": "cross_encoder", "then": "b"}, "cross_encoder asks one"),
        ({"by": ["relevance"]}, "by"),
    ],
)
def test_options_that_do_not_agree_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Score.model_validate(options)


def test_a_forecast_counts_the_documents_that_a_search_will_add(synth: Synth, corpus: Path, tmp_path: Path) -> None:
    steps = (
        "  - {use: retrieve, k: 20}\n  - {use: score}\n  - {use: relabel}\n"
        "  - {use: retrieve, name: near, makes: neighbours}\n  - {use: judge}\n"
    )
    text = RECIPE.replace("steps:\n", "backends:\n  judge: {use: scripted}\nsteps:\n")
    text = text.replace("{use: extract, per_document: 3}", "{use: extract, per_document: 1}")
    (tmp_path / "recipe.yaml").write_text(text.replace("  - use: near_dedup\n", steps), encoding="utf-8")
    told = synth("check", "recipe.yaml", "--json")
    assert told.code == 0, told.err
    asked = {step["step"]: step["requests"] for step in json.loads(told.out)["steps"]}
    assert asked == {"score": 8 * 21, "judge": 8}
