"""retrieve: pools of candidates, and texts for prompts to read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import CorpusError, RecipeError
from synth.retrieval import Corpus
from synth.stage import Context, Source
from synth.stages.retrieve import Retrieve
from synth.types import Document, Example
from synth.values import given_to
from tests.conftest import RECIPE, Synth
from tests.letters import embedder

PERSONAS = (
    "a hydrologist who measures rivers near the sea",
    "a nurse on night shifts",
    "a ferry captain who crosses the river each day",
    "a violin maker",
)


def rivers(count: int = 40) -> list[Document]:
    return [
        Document(
            f"the river number{n} crosses country{n % 8} and meets the sea near town{n} after {n} miles",
            doc_id=f"r{n:02}",
            parent_id=f"p{n // 2}",
        )
        for n in range(count)
    ]


def row(positive: Document, query: str = "which river crosses country3", born: str = "a", **more: Any) -> Example:
    return Example(id=born, query=query, positives=(positive,), **more)


def found(rows: list[Example], corpus: list[Document], folder: Path = Path(), **options: Any) -> list[Example]:
    held, model = Corpus(corpus), embedder([*(document.text for document in corpus), *PERSONAS])
    counts.clear()

    def count(name: str, by: float = 1) -> None:
        counts[name] = counts.get(name, 0) + by

    ctx = Context(
        step="retrieve",
        source=Source(folder=folder, strict=bool(options.pop("strict", False))),
        embedders={"words": model},
        corpus_of=lambda: held,
        count=count,
        warn=warned.append,
    )
    outcomes = list(Retrieve.model_validate(options).run(rows, ctx))
    made = [outcome for outcome in outcomes if isinstance(outcome, Example)]
    assert [each.id for each in made] == [each.id for each in rows]
    return made


counts: dict[str, float] = {}
warned: list[str] = []


def ids(row: Example) -> list[str]:
    return [document.doc_id for document in row.negatives]


@pytest.mark.parametrize(
    ("retriever", "score"), [("bm25", "bm25"), ("dense", "cosine"), ("fused", "rrf")], ids=["bm25", "dense", "fused"]
)
def test_a_pool_is_what_a_search_ranks_first_with_score_and_rank(retriever: str, score: str) -> None:
    corpus = rivers()
    more = {} if retriever == "bm25" else {"embedder": "words"}
    [pool] = found([row(corpus[3])], corpus, retriever=retriever, k=4, **more)
    assert set(ids(pool)) == {"r11", "r19", "r27", "r35"}
    assert pool.tags == {"pool"}
    assert pool.positives == (corpus[3],)
    for candidate in pool.negatives:
        assert (candidate.origin, set(candidate.scores)) == ("mined", {score})
        assert candidate.meta["rank"] in {1, 2, 3, 4, 5}


def test_a_pool_keeps_back_nothing_but_what_the_row_has_and_near_copies_of_its_positive() -> None:
    corpus = rivers()
    sibling = replace(corpus[3], doc_id="sibling", text="country3 has one river, and it crosses country3 twice")
    copy = replace(corpus[3], doc_id="copy", parent_id="other", text=corpus[3].text.replace("miles", "Miles!"))
    other = row(corpus[11], born="b")  # the same query is another row's, and its positive may be the better one
    before = replace(row(corpus[3]), negatives=(corpus[19],))
    pool, _ = found([before, other], [*corpus, sibling, copy], k=20)
    assert {"sibling", "r11"} <= set(ids(pool))
    assert {"r03", "copy"}.isdisjoint(ids(pool))
    assert ids(pool).count("r19") == 1
    assert pool.negatives[0] == corpus[19]


def test_ranks_begin_where_they_are_told_to() -> None:
    corpus = rivers()
    [every] = found([row(corpus[3])], corpus, k=8)
    [later] = found([row(corpus[3])], corpus, k=8, first_rank=4)
    assert later.negatives[0].meta["rank"] >= 4
    ranks = {candidate.doc_id: candidate.meta["rank"] for candidate in every.negatives}
    assert {ranks[name] for name in ids(later) if name in ranks} <= {4, 5, 6, 7, 8, 9}


def test_rows_are_searched_for_by_query_document_or_instruction() -> None:
    corpus = rivers()
    one = row(corpus[3], "who crosses country5", instruction="find what is near town21")
    [by_query] = found([one], corpus, k=3)
    [by_document] = found([one], corpus, k=3, by="document")
    [by_instruction] = found([one], corpus, k=1, by="instruction")
    assert ids(by_instruction) == ["r21"]
    assert ids(by_query) == ["r05", "r13", "r21"]
    assert ids(by_document) == ["r11", "r19", "r27"]
    assert "r03" not in ids(by_document)


@pytest.mark.parametrize("by", ["query", "document", "instruction"])
def test_a_row_without_what_is_searched_by_passes_and_is_no_pool(by: str) -> None:
    bare = Example(id="bare", query="" if by == "query" else "x", positives=())
    assert found([bare], rivers(), by=by) == [bare]
    assert counts == {"rows for which nothing was found": 1}
    [listed] = found([bare], rivers(), by=by, makes="neighbours")
    assert given_to(listed) == {"neighbours": []}


def test_a_pool_in_which_nothing_was_found_is_one_and_is_counted() -> None:
    [pool] = found([row(rivers()[0], "zzz")], rivers())
    assert (pool.negatives, pool.tags) == ((), {"pool"})
    assert counts == {"rows for which nothing was found": 1}


@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("personas.txt", "\n".join(PERSONAS) + "\n\n", ""),
        ("personas.jsonl", "\n".join(f'{{"persona": "{each}"}}' for each in PERSONAS), ""),
        ("personas.jsonl", "\n".join(f'{{"id": {n}, "who": "{each}"}}' for n, each in enumerate(PERSONAS)), "who"),
        ("personas.csv", "who,age\n" + "\n".join(f"{each},3" for each in PERSONAS), "who"),
    ],
)
def test_texts_of_a_file_are_given_to_prompts(tmp_path: Path, name: str, text: str, column: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    options = {"source": name, "column": column, "makes": "personas", "k": 2, "by": "document"}
    [child] = found([row(rivers()[3])], [], tmp_path, **options)
    assert set(given_to(child)["personas"]) == {PERSONAS[0], PERSONAS[2]}
    assert (child.negatives, child.tags) == ((), frozenset())
    [near] = found([row(rivers()[3])], [], tmp_path, **options, retriever="dense", embedder="words")
    assert len(given_to(near)["personas"]) == 2


def test_texts_of_the_corpus_are_others_than_the_rows_own() -> None:
    corpus = rivers()
    mined = replace(row(corpus[3]), negatives=(corpus[11],))
    [child] = found([mined], corpus, makes="neighbours", k=4)
    assert set(given_to(child)["neighbours"]) == {corpus[n].text for n in (11, 19, 27, 35)}
    assert child.negatives == (corpus[11],)


def test_lines_that_cannot_be_read_are_told_and_end_a_strict_run(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"text": "{PERSONAS[0]}"}}\n{{"text": \n{{"text": 3}}\n', encoding="utf-8")
    warned.clear()
    found([row(rivers()[3])], [], tmp_path, source="t.jsonl", makes="personas")
    assert warned == ["retrieve: 2 lines of t.jsonl hold no text that can be read, and are left out"]
    with pytest.raises(CorpusError, match=r"t.jsonl:2: not JSON"):
        found([row(rivers()[3])], [], tmp_path, source="t.jsonl", makes="personas", strict=True)


@pytest.mark.parametrize(
    ("text", "said"), [('{"a": "x", "b": "y"}', "no column 'text'"), ("", "it holds nothing"), (None, "nowhere")]
)
def test_a_file_that_holds_no_texts_is_told_before_anything_runs(tmp_path: Path, text: str | None, said: str) -> None:
    name = "nowhere.jsonl" if text is None else "t.jsonl"
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    stage = Retrieve(source=name, makes="personas")
    with pytest.raises(CorpusError, match=said):
        stage.content_read(Context(step="retrieve", source=Source(folder=tmp_path)))


def test_a_changed_file_is_another_key_and_is_read_anew(tmp_path: Path) -> None:
    ctx, stage = Context(source=Source(folder=tmp_path)), Retrieve(source="t.txt", makes="personas")
    (tmp_path / "t.txt").write_text(PERSONAS[0], encoding="utf-8")
    first = stage.content_read(ctx)
    [child] = found([row(rivers()[3])], [], tmp_path, source="t.txt", makes="personas")
    (tmp_path / "t.txt").write_text(PERSONAS[2], encoding="utf-8")
    [again] = found([row(rivers()[3])], [], tmp_path, source="t.txt", makes="personas")
    assert stage.content_read(ctx) != first
    assert given_to(child)["personas"] != given_to(again)["personas"] == [PERSONAS[2]]


def test_what_it_reads_and_gives_depends_on_what_it_makes() -> None:
    pool, texts = Retrieve(), Retrieve(source="p.txt", makes="personas", retriever="dense", embedder="m")
    assert (pool.reads_corpus(), pool.gives(Context()), pool.embedders_used(), pool.finds()) == (True, [], [], 20)
    assert (texts.reads_corpus(), texts.gives(Context()), texts.embedders_used()) == (False, ["personas"], ["m"])
    assert texts.finds() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retriever": "dense"}, "retriever: dense needs an embedder"),
        ({"source": "p.txt"}, "a pool is made of documents of the corpus"),
        ({"column": "text", "makes": "x"}, "column: it is for a file of texts"),
        ({"makes": "Documents"}, "is no name"),
        ({"makes": "documents"}, "what every row has by itself"),
        ({"k": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Retrieve.model_validate(options)


def test_an_embedder_that_is_not_named_is_told() -> None:
    with pytest.raises(RecipeError, match="no embedder is called 'nobody'"):
        found([row(rivers()[3])], rivers(), retriever="dense", embedder="nobody")


def test_a_run_whose_rows_are_still_pools_is_not_exported(synth: Synth, corpus: Path, tmp_path: Path) -> None:
    pools = RECIPE.replace("  - use: near_dedup\n", "  - {use: retrieve, k: 3}\n")
    (tmp_path / "recipe.yaml").write_text(pools, encoding="utf-8")
    told = synth("run", "recipe.yaml")
    assert told.code == 2
    assert "rows are still pools" in told.err
    assert "add `relabel` after `retrieve`" in told.err
    steps = "  - {use: retrieve, k: 3}\n  - {use: score, by: bm25}\n  - {use: relabel, scores: bm25, negatives: 1}\n"
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("  - use: near_dedup\n", steps), encoding="utf-8")
    told = synth("run", "recipe.yaml")
    assert told.code == 0
    assert "relabel: positives kept" in told.out
