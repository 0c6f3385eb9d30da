"""revise: what a prompt returns stands in the place of what a row had, or the row is given up."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Backend, Completion, Request
from synth.backends.scripted import Scripted
from synth.errors import RecipeError
from synth.recorder import Recorder
from synth.stage import Context, Source
from synth.stages.revise import Revise
from synth.types import Document, Dropped, Example, row_id

NILE = Document("The Nile floods each summer.", doc_id="nile", language="en")


def row(query: str = "when flood nile", **changes: Any) -> Example:
    plain: dict[str, Any] = {"query": query, "positives": (NILE,), "language": "en"}
    return Example(id=row_id("make", 0, query), **{**plain, **changes})


def script(folder: Path, *lines: dict[str, Any]) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


def says(folder: Path, **reply: Any) -> Scripted:
    return script(folder, {"when": "", "reply": reply})


def prompt(folder: Path, returns: str, reads: str = "query") -> dict[str, Any]:
    body = "".join(f"{{{{ {name} }}}} " for name in reads.split(", "))
    text = f"---\nabout: mine\nreads: [{reads}]\nreturns: {returns}\n---\n[user]\n{body}"
    (folder / "mine.jinja").write_text(text, encoding="utf-8")
    return {"source": Source(folder=folder)}


def revised(stage: Revise, rows: Iterable[Example], backend: Backend, **context: Any) -> list[Example | Dropped]:
    return list(stage.run(rows, Context(step="revise", seed=7, backends={"writer": backend}, **context)))


def test_a_query_is_rewritten_and_the_old_one_is_kept_in_meta(tmp_path: Path) -> None:
    old = row(meta={"path": "nile.md"})
    backend = says(tmp_path, reason="no grammar", keep=True, query="when does the Nile flood?")
    [new] = revised(Revise(), [old], backend)
    assert isinstance(new, Example)
    assert (new.query, new.positives, new.parents) == ("when does the Nile flood?", old.positives, (old.id,))
    assert new.meta["path"] == "nile.md"
    told = new.meta["revise"]
    assert told["before"] == {"query": "when flood nile"}
    assert told["answer"] == {"reason": "no grammar", "keep": True}
    assert (told["prompt"], told["model"], told["draw"]) == ("revise/query", "scripted", 0)
    assert new.meta["given"] == {"reason": "no grammar", "keep": True}


def test_what_is_returned_as_it_was_has_no_before(tmp_path: Path) -> None:
    [same] = revised(Revise(), [row()], says(tmp_path, reason="fine", keep=True, query="when flood nile"))
    assert isinstance(same, Example)
    assert (same.query, same.meta["revise"]["before"]) == ("when flood nile", {})


def test_a_false_verdict_drops_the_row_with_its_reason(tmp_path: Path) -> None:
    old = row()
    [lost] = revised(Revise(), [old], says(tmp_path, reason="it asks nothing", keep=False, query="when flood nile"))
    assert isinstance(lost, Dropped)
    assert (lost.example.id, lost.reason, lost.detail) == (old.id, "rejected", "it asks nothing")
    assert lost.example.query == "when flood nile"


def test_the_verdict_may_have_another_name_and_rewrite_nothing(tmp_path: Path) -> None:
    context = prompt(tmp_path, "{is_true: {type: boolean}}", "query, document")
    stage = Revise(prompt="mine", verdict="is_true")
    [kept] = revised(stage, [row()], says(tmp_path, is_true=True), **context)
    assert isinstance(kept, Example)
    assert (kept.query, kept.positives) == ("when flood nile", (NILE,))
    [lost] = revised(stage, [row()], says(tmp_path, is_true=False), **context)
    assert isinstance(lost, Dropped)
    assert lost.reason == "rejected"


@pytest.mark.parametrize(
    ("returns", "verdict", "said"),
    [
        ("{query: {}, keep: {}}", "keep", "returns 'keep' as string; make it a boolean"),
        ("{positive: {further: true}}", "keep", "returns 'positive' as a further positive"),
        ("{query: {}, fine: {type: boolean}}", "fined", "returns no 'fined'; did you mean 'fine'"),
    ],
)
def test_a_verdict_that_the_prompt_does_not_give_is_told_before_anything_is_asked(
    tmp_path: Path, returns: str, verdict: str, said: str
) -> None:
    context = prompt(tmp_path, returns)
    with pytest.raises(RecipeError, match=said):
        Revise(prompt="mine", verdict=verdict).content_read(Context(**context))


def test_written_documents_are_rewritten_and_those_of_the_corpus_and_mined_ones_stay(tmp_path: Path) -> None:
    mined = Document("The Rhine is long.", "rhine", origin="mined")
    old = row(
        positives=(NILE, Document("It rises.", "w1", "Nile", language="en", origin="written", relevance=0.8)),
        negatives=(Document("Not.", "w2", origin="written", scores={"judge": 1.0}), mined),
    )
    context = prompt(tmp_path, "{positive: {type: text}, negatives: {type: list}}")
    backend = says(tmp_path, positive="It rises in July.", negatives=["Never.", "Ever."])
    [new] = revised(Revise(prompt="mine"), [old], backend, **context)
    assert isinstance(new, Example)
    first, second = new.positives
    assert first == NILE
    assert (second.text, second.title, second.origin, second.relevance) == ("It rises in July.", "Nile", "written", 0.8)
    assert [document.text for document in new.negatives] == ["Never.", "Ever.", "The Rhine is long."]
    assert new.negatives[2] == mined
    assert new.negatives[0].scores == {}
    assert new.query == "when flood nile"
    assert new.meta["revise"]["before"] == {"positives": ["Nile\nIt rises."], "negatives": ["Not."]}


def test_a_title_and_an_instruction_are_rewritten(tmp_path: Path) -> None:
    written = Document("It rises.", "w1", "nile", origin="written")
    context = prompt(tmp_path, "{title: {}, instruction: {}}")
    backend = says(tmp_path, title="The Nile", instruction="Find what answers.")
    [new] = revised(Revise(prompt="mine"), [row(positives=(written,), instruction="find")], backend, **context)
    assert isinstance(new, Example)
    assert (new.positive.full_text, new.instruction) == ("The Nile\nIt rises.", "Find what answers.")
    assert new.meta["revise"]["before"] == {"instruction": "find", "positives": ["nile\nIt rises."]}
    [bare] = revised(Revise(prompt="mine"), [row(instruction="find")], backend, **context)
    assert isinstance(bare, Example)
    assert bare.positives == (NILE,)


@pytest.mark.parametrize(
    ("returns", "unsuited"),
    [
        ("{query: {}}", row("")),
        ("{instruction: {}}", row()),
        ("{positive: {type: text}}", row()),
        ("{title: {}}", row()),
        ("{negative: {type: text}}", row(negatives=(Document("x", origin="mined"),))),
    ],
)
def test_a_row_that_has_nothing_of_what_is_rewritten_passes_unasked(
    tmp_path: Path, returns: str, unsuited: Example
) -> None:
    asked = Recorder()
    assert revised(Revise(prompt="mine"), [unsuited], asked, **prompt(tmp_path, returns)) == [unsuited]
    assert asked.asked == []


def test_what_a_row_has_not_is_not_written_beside_what_is_rewritten(tmp_path: Path) -> None:
    context = prompt(tmp_path, "{query: {}, positive: {type: text}, negative: {type: text}, instruction: {}}")
    backend = says(tmp_path, query="when?", positive="In July.", negative="Never.", instruction="find")
    [new] = revised(Revise(prompt="mine"), [row()], backend, **context)
    assert isinstance(new, Example)
    assert (new.query, new.positives, new.negatives, new.instruction) == ("when?", (NILE,), (), "")
    [other] = revised(Revise(prompt="mine"), [row("", instruction="seek")], backend, **context)
    assert isinstance(other, Example)
    assert (other.query, other.instruction) == ("", "find")


def test_a_row_without_the_document_that_is_read_is_dropped() -> None:
    [lost] = revised(Revise(), [row(positives=())], Scripted())
    assert isinstance(lost, Dropped)
    assert lost.reason == "no_document"


class Broken(Backend):
    """Every request fails, or ends with the budget."""

    finish: str = ""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            yield Completion(request=request, error="planted", finish_reason=self.finish)


def test_an_answer_that_cannot_be_read_drops_the_row_or_keeps_it_as_it_was(tmp_path: Path) -> None:
    backend, old = script(tmp_path, {"when": "", "text": "hm"}), row()
    [lost] = revised(Revise(attempts=1), [old], backend)
    assert isinstance(lost, Dropped)
    assert (lost.example.id, lost.reason) == (old.id, "unreadable_answer")
    [kept] = revised(Revise(attempts=1, keep_unreadable=True), [old], backend)
    assert isinstance(kept, Example)
    assert (kept.id, kept.query, kept.positives, kept.parents) == (old.id, old.query, old.positives, ())
    assert kept.meta["revise"]["reply"] == "hm"


@pytest.mark.parametrize(("finish", "reason"), [("", ""), ("budget", "over_budget")])
def test_a_row_that_the_budget_ended_for_is_dropped_in_any_case(finish: str, reason: str) -> None:
    [fate] = revised(Revise(keep_unreadable=True), [row()], Broken(finish=finish))
    assert (fate.reason if isinstance(fate, Dropped) else "") == reason


def test_the_request_is_one_a_row_and_named_as_generate_names_its_first() -> None:
    asked, rows = Recorder(), [row("a b c"), row("d e f")]
    revised(Revise(), rows, asked)
    assert [(request.id, request.sample) for request in asked.asked] == [(f"{each.id}:0", 0) for each in rows]


def test_what_it_gives_and_reads_is_known_before_it_runs(tmp_path: Path) -> None:
    assert Revise().gives(Context()) == ["reason", "keep"]
    assert Revise().backends_used() == ("writer",)
    first = Revise(prompt="mine").content_read(Context(**prompt(tmp_path, "{query: {}}")))
    assert Revise(prompt="mine").content_read(Context(**prompt(tmp_path, "{query: {}, why: {}}"))) != first
