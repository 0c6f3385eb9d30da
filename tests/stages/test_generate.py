"""generate: prompts filled in for rows, replies made into rows, and no reply without its fate."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Backend, Sampling
from synth.backends.openai import OpenAI
from synth.backends.scripted import Scripted
from synth.errors import BackendError, RecipeError
from synth.filters.judge import Judge
from synth.prompt import Prompt
from synth.recorder import Recorder
from synth.stage import Context, RowList, Source
from synth.stages.generate import Generate
from synth.types import Document, Dropped, Example, row_id
from synth.values import with_given
from tests.servers import ChatServer, Fault, scripted_answer

REPLIES = Path(__file__).parent.parent / "replies"
LANGUAGES = dict(
    zip(
        ("bread", "kettle", "olives", "tram", "well", "ration", "library", "futon", "market", "ferry", "goats", "rice"),
        ("en", "de", "es", "ru", "ar", "hi", "zh", "ja", "th", "el", "sw", "vi"),
        strict=True,
    )
)


def row(text: str, **changes: Any) -> Example:
    document = Document(text, doc_id=text[:8], title=changes.pop("title", ""), language=changes.pop("speaks", ""))
    return Example(id=row_id("from_test", 0, text), positives=(document,), **changes)


def corpus() -> list[Example]:
    lines = [json.loads(line) for line in (REPLIES / "domain-corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        replace(row(line["text"], title=line["title"], speaks=LANGUAGES[line["_id"]]), meta={"name": line["_id"]})
        for line in lines
    ]


def made(stage: Generate, rows: Iterable[Example], backend: Backend, **context: Any) -> list[Example | Dropped]:
    return list(stage.run(rows, Context(step="generate", seed=7, backends={"writer": backend}, **context)))


def kept(outcomes: Iterable[Example | Dropped]) -> list[Example]:
    return sorted((o for o in outcomes if isinstance(o, Example)), key=lambda o: o.id)


def dropped(outcomes: Iterable[Example | Dropped]) -> list[Dropped]:
    return sorted((o for o in outcomes if isinstance(o, Dropped)), key=lambda o: o.example.id)


def script(folder: Path, *lines: dict[str, Any]) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


def prompt(folder: Path, text: str, name: str = "mine") -> dict[str, Any]:
    (folder / f"{name}.jinja").write_text(text, encoding="utf-8")
    return {"source": Source(folder=folder)}


def test_a_query_makes_a_child_with_its_document(tmp_path: Path) -> None:
    parent = row("The Nile floods.", speaks="en", meta={"path": "nile.md"}, tags=frozenset({"river"}))
    backend = script(tmp_path, {"when": "The Nile floods.", "reply": {"query": "when does the Nile rise?"}})
    [child] = kept(made(Generate(), [parent], backend))
    assert (child.query, child.language, child.positives, child.tags) == (
        "when does the Nile rise?",
        "en",
        parent.positives,
        parent.tags,
    )
    assert child.parents == (parent.id,)
    assert child.meta["path"] == "nile.md"
    told = child.meta["generate"]
    assert (told["prompt"], told["model"], told["finish"], told["draw"]) == ("grounded/question", "scripted", "stop", 0)
    assert set(told["axes"]) == {"form", "angle"}
    assert told["completion_tokens"] > 0


def test_each_draw_and_sample_is_a_row_of_its_own() -> None:
    outcomes = made(
        Generate(per_document=3, samples=2), [row(f"text number {n}, about {n}") for n in range(4)], Scripted()
    )
    children = kept(outcomes)
    assert len(children) == len(outcomes) == 4 * 3 * 2
    assert len({child.id for child in children}) == 24
    for parent in {child.parents for child in children}:
        draws = [child.meta["generate"] for child in children if child.parents == parent]
        assert sorted(told["draw"] for told in draws) == list(range(6))
        axes = {told["draw"]: told["axes"] for told in draws}
        assert all(axes[n] == axes[n + 3] for n in range(3))


def test_more_draws_or_samples_change_no_earlier_one() -> None:
    rows = [row(f"text number {n}, about {n}") for n in range(5)]
    few = {child.id for child in kept(made(Generate(per_document=2), rows, Scripted()))}
    more = {child.id for child in kept(made(Generate(per_document=4), rows, Scripted()))}
    sampled = {child.id for child in kept(made(Generate(per_document=2, samples=3), rows, Scripted()))}
    assert few < more
    assert few < sampled


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = [row(f"text number {n}, about {n}") for n in range(9)]
    stage = Generate(per_document=2)
    assert kept(made(stage, rows, Scripted())) == kept(made(stage, reversed(rows), Scripted()))


def test_the_axes_are_drawn_by_their_weights() -> None:
    rows = [row(f"text number {n}, about {n}") for n in range(300)]
    drawn = [child.meta["generate"]["axes"]["form"] for child in kept(made(Generate(), rows, Scripted()))]
    assert 110 < drawn.count("question") < 190
    assert 55 < drawn.count("need") < 125
    assert 30 < drawn.count("keywords") < 90


def test_each_draw_is_asked_in_its_own_words() -> None:
    with ChatServer() as server:
        backend = OpenAI(model="tiny", base_url=server.base_url, sampling=Sampling(seed=0))
        with closing(backend):
            children = kept(made(Generate(per_document=30), [row("The Nile floods.")], backend))
    drawn = {child.meta["generate"]["draw"]: child.meta["generate"]["axes"] for child in children}
    axes = Prompt.load("grounded/question").header.axes
    assert {axis: {values[axis] for values in drawn.values()} for axis in axes} == {a: set(v) for a, v in axes.items()}
    for body in server.seen:
        for axis, value in drawn[body["seed"]].items():
            assert axes[axis][value].means in body["messages"][1]["content"]


def test_what_is_sent_is_the_prompt_with_the_document(tmp_path: Path) -> None:
    with ChatServer() as server:
        backend = OpenAI(model="tiny", base_url=server.base_url, sampling=Sampling(temperature=0.9, most_tokens=99))
        stage = Generate(sampling=Sampling(temperature=0.1))
        with closing(backend):
            made(stage, [row("गंगा {{ x }}\n[user]\nbहती है", title="नदी", speaks="hi")], backend)
    [body] = server.seen
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "गंगा {{ x }}\n[user]\nbहती है" in body["messages"][1]["content"]
    assert "नदी" in body["messages"][1]["content"]
    assert "the language of the document, Hindi (हिन्दी)." in body["messages"][1]["content"]
    assert (body["temperature"], body["max_tokens"]) == (0.1, 99)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["query"]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ({"text": "Just words."}, "unreadable_answer", "no JSON object: Just words."),
        ({"text": '{"query": ""}'}, "unreadable_answer", "query: string should have at least 3 characters"),
        ({"text": ""}, "unreadable_answer", "it is empty"),
        ({"text": '{"query": "wh', "finish_reason": "length"}, "truncated_answer", '{"query": "wh'),
        ({"text": "I'm sorry, I can't."}, "refusal", "it declined: I'm sorry, I can't."),
        ({"error": "503: busy"}, "failed_request", "503: busy"),
    ],
)
def test_a_row_without_a_usable_reply_is_dropped_with_reason_and_text(
    tmp_path: Path, line: dict[str, Any], reason: str, detail: str
) -> None:
    parent = row("The Nile floods.")
    backend = script(tmp_path, {"when": "Nile", **line})
    [outcome] = made(Generate(attempts=1), [parent], backend)
    assert isinstance(outcome, Dropped)
    assert outcome.example.id == parent.id
    assert outcome.reason == reason
    assert detail in outcome.detail
    assert outcome.example.meta["generate"]["reply"] == line.get("text", "")


def test_one_bad_reply_among_good_ones_is_a_dropped_child(tmp_path: Path) -> None:
    parent = row("The Nile floods.")
    backend = script(tmp_path, {"when": "Nile", "reply": {"query": "when?"}}, {"when": "Nile", "text": "x" * 5000})
    outcomes = made(Generate(per_document=2, attempts=1), [parent], backend)
    [child], [lost] = kept(outcomes), dropped(outcomes)
    assert child.parents == lost.example.parents == (parent.id,)
    assert (lost.example.query, lost.reason) == ("", "unreadable_answer")
    assert lost.example.id != child.id
    assert len(lost.example.meta["generate"]["reply"]) == 2000
    assert len(lost.detail) < 300


def test_where_all_replies_are_bad_each_has_its_fate_and_one_is_the_rows(tmp_path: Path) -> None:
    parent = row("The Nile floods.")
    outcomes = made(Generate(per_document=3), [parent], script(tmp_path, {"when": "Amazon", "text": "x"}))
    assert [o.reason for o in dropped(outcomes)] == ["failed_request"] * 3
    ids = [o.example.id for o in dropped(outcomes)]
    assert ids.count(parent.id) == 1
    assert len(set(ids)) == 3


def test_an_unreadable_answer_is_asked_for_again(tmp_path: Path) -> None:
    backend = script(tmp_path, {"when": "Nile", "text": "hm"}, {"when": "Nile", "turn": 1, "reply": {"query": "when?"}})
    [child] = kept(made(Generate(attempts=2), [row("The Nile floods.")], backend))
    assert child.query == "when?"
    assert child.meta["generate"]["attempts"] == 2


def test_a_row_without_a_document_is_dropped_unasked() -> None:
    outcomes = made(Generate(), [Example(id="bare"), row("The Nile floods, each summer.")], Scripted())
    [lost] = dropped(outcomes)
    assert (lost.example.id, lost.reason) == ("bare", "no_document")
    assert len(kept(outcomes)) == 1
    assert [o.example.id for o in dropped(made(Generate(), [Example(id="bare")], Scripted()))] == ["bare"]


def test_an_own_prompt_beside_the_recipe_is_used_and_what_it_returns_beyond_the_query_is_kept(tmp_path: Path) -> None:
    header = "---\nabout: mine\nreads: [document, task]\nreturns: {query: {}, why: {}}\n---\n"
    context = prompt(tmp_path, header + "[user]\n{{ task }} {{ document }}")
    backend = script(tmp_path, {"when": "retrieval The Nile", "reply": {"query": "when?", "why": "because"}})
    [child] = kept(made(Generate(prompt="mine"), [row("The Nile floods.")], backend, **context))
    assert child.query == "when?"
    assert child.meta["generate"]["answer"] == {"why": "because"}


def test_the_wording_of_the_prompt_is_part_of_what_it_reads(tmp_path: Path) -> None:
    text = "---\nabout: mine\nreads: [document]\nreturns: {query: {}}\n---\n[user]\n{{ document }}"
    hashes = {Generate(prompt="mine").content_read(Context(**prompt(tmp_path, text + end))) for end in ("", ".", "")}
    assert len(hashes) == 2
    assert Generate().backends_used() == ("writer",)


def test_a_prompt_that_reads_what_nothing_gives_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    reads_more = "---\nabout: mine\nreads: [docment]\nreturns: {query: {}}\n---\n[user]\n{{ docment }}"
    with pytest.raises(RecipeError, match="reads 'docment', which nothing here fills; did you mean 'document'"):
        made(Generate(prompt="mine"), [], Scripted(), **prompt(tmp_path, reads_more))


WRITES = """---
about: mine
reads: [persona]
axes: {grade: {"4": {means: close, relevance: 0.8}, "5": {means: the same, relevance: 1}}}
probability: {grade: 0.5}
returns:
  query: {}
  positive: {type: text, relevance: grade}
  wrong: {type: list, part: negative, relevance: 0.2}
  title: {}
  plan: {}
---
[user]
{{ persona }} {{ grade }}
"""


def test_what_a_prompt_returns_becomes_the_parts_of_a_row(tmp_path: Path) -> None:
    reply = {"query": "when?", "positive": "In July.", "wrong": ["Never.", " "], "title": "Nile", "plan": "ask"}
    backend = script(tmp_path, {"when": "a nurse", "reply": reply})
    context = prompt(tmp_path, WRITES)
    parent = with_given(Example(id="a", language="sw"), {"persona": "a nurse", "document_language": "fr"})
    stage = Generate(prompt="mine")
    [child] = kept(made(stage, [parent], backend, given=frozenset({"persona"}), **context))
    assert (child.query, child.language) == ("when?", "sw")
    [positive], [negative] = child.positives, child.negatives
    drawn = child.meta["generate"]["axes"].get("grade")
    assert (positive.text, positive.title, positive.origin, positive.language) == ("In July.", "Nile", "written", "fr")
    assert positive.relevance == {None: None, "4": 0.8, "5": 1.0}[drawn]
    assert (negative.text, negative.origin, negative.relevance) == ("Never.", "written", 0.2)
    assert child.meta["given"] == {"persona": "a nurse", "document_language": "fr", "plan": "ask"}
    assert stage.gives(Context(given=frozenset({"persona"}), **context)) == ["plan"]


NOTES = """---
about: mine
reads: [document]
returns:
  query: {}
  needs: {type: list}
  titles: {type: list, optional: true}
  negatives: {type: list, notes: {broken: needs, title: titles}}
---
[user]
{{ document }}
"""


def test_each_document_of_a_list_keeps_what_another_list_says_of_it(tmp_path: Path) -> None:
    reply = {"query": "when?", "needs": ["a date", "a river"], "negatives": ["Never.", "On the Rhine."]}
    uneven = {"when": "The Nile", "reply": reply | {"needs": ["a date"]}}
    backend = script(tmp_path, uneven, {"when": "The Nile", "turn": 1, "reply": reply})
    [child] = kept(made(Generate(prompt="mine"), [row("The Nile floods.")], backend, **prompt(tmp_path, NOTES)))
    assert [dict(each.meta) for each in child.negatives] == [{"broken": "a date"}, {"broken": "a river"}]
    assert child.meta["generate"]["attempts"] == 2
    titled = script(tmp_path, {"when": "The Nile", "reply": reply | {"titles": ["Nile", ""]}})
    [child] = kept(made(Generate(prompt="mine"), [row("The Nile floods.")], titled, **prompt(tmp_path, NOTES)))
    assert [each.title for each in child.negatives] == ["Nile", ""]


FURTHER = """---
about: mine
reads: [document]
returns:
  query: {}
  heading: {}
  more: {type: text, part: positive, further: true, notes: {title: heading}}
---
[user]
{{ document }}
"""


def test_a_further_positive_joins_those_that_the_row_has(tmp_path: Path) -> None:
    reply = {"query": "when?", "heading": "Floods", "more": "High water comes in July."}
    backend = script(tmp_path, {"when": "The Nile", "reply": reply})
    [child] = kept(made(Generate(prompt="mine"), [row("The Nile floods.")], backend, **prompt(tmp_path, FURTHER)))
    assert [(each.title, each.text, each.origin) for each in child.positives] == [
        ("", "The Nile floods.", "corpus"),
        ("Floods", "High water comes in July.", "written"),
    ]


def test_what_is_made_gets_the_tags_that_are_wanted_beside_its_own(tmp_path: Path) -> None:
    backend = script(tmp_path, {"when": "The Nile", "reply": {"query": "when?"}})
    [child] = kept(made(Generate(tags="counterfactual"), [row("The Nile floods.", tags=frozenset({"human"}))], backend))
    assert child.tags == {"human", "counterfactual"}


def test_an_axis_is_drawn_as_often_as_its_probability_says(tmp_path: Path) -> None:
    stage, rows = Generate(prompt="mine", per_document=400), [with_given(Example(id="a"), {"persona": "x"})]
    children = kept(made(stage, rows, Scripted(), given=frozenset({"persona"}), **prompt(tmp_path, WRITES)))
    drawn = [child.meta["generate"]["axes"].get("grade") for child in children]
    assert 160 < drawn.count(None) < 240
    assert 70 < drawn.count("4") < 130


def test_a_row_that_was_not_given_what_is_read_is_dropped(tmp_path: Path) -> None:
    context = prompt(tmp_path, WRITES)
    [lost] = dropped(made(Generate(prompt="mine"), [Example(id="a")], Scripted(), given={"persona"}, **context))
    assert lost.reason == "missing_value"
    assert "'persona'" in lost.detail


EXAMPLES = [
    {"query": "ni lini?", "document": "Mto hufurika.", "language": "sw"},
    {"query": "wann?", "document": "Er steigt.", "language": "de"},
    {"query": "when?", "document": "It rises.", "language": "en"},
]
SHOWS = """---
about: mine
reads: [examples, document]
returns: {query: {}}
---
[user]
{% for example in examples %}
{{ example.document }} -> {{ example.query }}
{% endfor %}
{{ document }}
"""


def test_examples_are_shown_those_of_the_rows_language_first(tmp_path: Path) -> None:
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, EXAMPLES)))
    stage, context = Generate(prompt="mine", examples="examples.jsonl", shots=1), prompt(tmp_path, SHOWS)
    asked = Recorder()
    made(stage, [row("Nile", language="de"), row("Nil", language="sw")], asked, **context)
    assert [request.messages[0].content for request in asked.asked] == [
        "Er steigt. -> wann?\nNile",
        "Mto hufurika. -> ni lini?\nNil",
    ]
    assert set(stage.shows(Context(**context))) == {"ni lini?", "wann?", "when?"}
    before = stage.content_read(Context(**context))
    (tmp_path / "examples.jsonl").write_text(json.dumps(EXAMPLES[0]))
    assert stage.content_read(Context(**context)) != before


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "it holds no examples"), ("{", "this is no JSON"), ('{"q": 1}', "it has no query"), (None, "cannot be read")],
)
def test_examples_that_cannot_be_read_are_told(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "examples.jsonl").write_text(text)
    with pytest.raises(RecipeError, match=said):
        Generate(prompt="mine", examples="examples.jsonl").content_read(Context(**prompt(tmp_path, SHOWS)))


def test_examples_of_a_test_set_are_known_so_that_they_can_be_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "asked"
    (folder / "qrels").mkdir(parents=True)
    pairs = [(f"q{n}", f"question {n}", f"d{n}", f"text {n}") for n in range(9)]
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": q, "text": t}) for q, t, _, _ in pairs))
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps({"_id": d, "text": t}) for _, _, d, t in pairs))
    lines = ["query-id\tcorpus-id\tscore", *(f"{q}\t{d}\t1" for q, _, d, _ in pairs)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines))
    stage, asked = Generate(prompt="mine", examples="asked:train", shots=3), Recorder()
    context = prompt(tmp_path, SHOWS)
    made(stage, [row("Nile", language="de"), row("Nil", language="sw")], asked, **context)
    shown = stage.shows(Context(step="generate", seed=7, **context))
    assert len(shown) == 3
    for request in asked.asked:
        assert {f"question {n}" for n in range(9) if f"question {n}" in request.messages[0].content} == set(shown)


def test_points_come_in_an_order_of_their_own_for_each_request(tmp_path: Path) -> None:
    points = "".join(f"- point {n}\n" for n in range(4))
    header = "---\nabout: x\nreads: [document]\nreturns: {query: {}}\n---\n"
    text = header + "[user]\n[shuffled]\n" + points + "[end]\n{{ document }}"
    asked = [Recorder(), Recorder()]
    for recorder in asked:
        made(Generate(prompt="mine", per_document=20), [row("Nile")], recorder, **prompt(tmp_path, text))
    orders = [[request.messages[0].content for request in recorder.asked] for recorder in asked]
    assert orders[0] == orders[1]
    assert len(set(orders[0])) > 8
    assert all(order.endswith("Nile") and order.count("- point") == 4 for order in orders[0])


def test_without_a_writer_the_ways_to_get_one_are_told() -> None:
    with pytest.raises(RecipeError) as caught:
        list(Generate().run([row("x")], Context(step="generate")))
    for said in ("no backend is called 'writer'", "base_url", "OPENAI_API_KEY", "`extract`", "needs no model"):
        assert said in str(caught.value)


def test_rows_come_out_while_others_are_in_flight() -> None:
    released = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        if "slow document" in json.dumps(body):
            assert released.wait(20)
        return '{"query": "what is it?"}'

    drawn: list[int] = []

    def rows() -> Iterator[Example]:
        for n in range(300):
            drawn.append(n)
            yield row("slow document" if n == 0 else f"document {n}")

    with ChatServer(answer) as server:
        backend = OpenAI(model="tiny", base_url=server.base_url, most_concurrent=4)
        with closing(backend):
            outcomes = Generate().run(rows(), Context(step="generate", backends={"writer": backend}))
            for _ in range(10):
                next(outcomes)
            assert len(drawn) <= 4 + 32 + 14, "no more is drawn than can be sent soon"
            released.set()
            assert len(list(outcomes)) == 290


def test_a_server_with_faults_loses_no_row() -> None:
    rows = [row(f"document {n}") for n in range(60)]
    faults = (
        Fault(500, "x"),
        None,
        Fault(breaks=True),
        Fault(body=b"?"),
        None,
        Fault(429, "x"),
        Fault(400, "too long"),
    )
    with ChatServer(faults=faults * 2) as server:
        backend = OpenAI(model="tiny", base_url=server.base_url, first_wait_s=0.01)
        with closing(backend):
            outcomes = made(Generate(), rows, backend)
    assert len(kept(outcomes)) == 58
    assert [o.reason for o in dropped(outcomes)] == ["failed_request"] * 2
    settled = {o.example.id for o in dropped(outcomes)} | {p for child in kept(outcomes) for p in child.parents}
    assert settled == {r.id for r in rows}


def test_no_server_ends_the_step_with_one_line() -> None:
    with ChatServer() as server:
        url = server.base_url
    backend = OpenAI(model="tiny", base_url=url, first_wait_s=0.01)
    with closing(backend), pytest.raises(BackendError, match="no server answers there"):
        made(Generate(), [row("x")], backend)


def test_hand_written_replies_in_twelve_languages_go_through_writer_and_judge() -> None:
    with ChatServer(scripted_answer(str(REPLIES / "domain.jsonl"))) as server:
        writer = OpenAI(model="tiny", base_url=server.base_url, sampling=Sampling(seed=0))
        judge = OpenAI(model="tiny", base_url=server.base_url)
        with closing(writer), closing(judge):
            wrote = made(Generate(per_document=2), corpus(), writer)
            context = Context(step="judge", backends={"judge": judge})
            judged = list(Judge().run(RowList(kept(wrote)), context))
    assert len(kept(wrote)) == 22
    assert len(kept(judged)) == 20
    assert {(o.example.meta["name"], o.reason) for o in dropped(wrote)} == {
        ("well", "refusal"),
        ("ration", "truncated_answer"),
    }
    assert {(o.example.meta["name"], o.reason) for o in dropped(judged)} == {
        ("futon", "unreadable_answer"),
        ("rice", "irrelevant"),
    }
    assert {child.language for child in kept(judged)} == set(LANGUAGES.values())
    assert "¿En qué mes toca cortar los olivares si en mi zona hiela?" in {child.query for child in kept(judged)}
    assert all(child.positive.scores["judge"] >= 2 for child in kept(judged))


def test_a_row_may_stay_beside_what_is_made_of_it_or_fails_to_be(tmp_path: Path) -> None:
    backend = script(
        tmp_path,
        {"when": "The Nile floods.", "reply": {"query": "when does the Nile rise?"}},
        {"when": "The Rhine", "text": "I'm sorry, I cannot."},
    )
    rows = [row("The Nile floods."), row("The Rhine."), Example(id="no document")]
    outcomes = made(Generate(keep_row=True, attempts=1), rows, backend)
    assert {each.id for each in kept(outcomes)} > {each.id for each in rows}
    assert [each.query for each in kept(outcomes) if each.parents] == ["when does the Nile rise?"]
    [lost] = dropped(outcomes)
    assert (lost.reason, lost.example.parents) == ("refusal", (rows[1].id,))
    assert len(outcomes) == len({each.id for each in kept(outcomes)}) + 1
