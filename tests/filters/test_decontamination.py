"""What decontamination keeps and drops."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from synth.errors import CorpusError, RecipeError, SynthError
from synth.filters.decontamination import Decontamination
from synth.stage import Context, RowList, Source
from synth.types import Document, Dropped, Example
from tests import letters

RIVER = (
    "The Nile rises in July when the rains of the Ethiopian highlands reach it and floods the fields along both of its "
    "banks until October. Farmers once waited for the black mud that it leaves behind, since nothing else fed their "
    "wheat. A dam at Aswan holds the water back today, and fertilizer has taken the place of the mud."
)
VIOLIN = (
    "A violin is made of spruce and maple. The maker carves the front from a split log, tunes it by tapping, and glues "
    "it to the ribs with hide glue, which a later hand can open with a warm knife when a crack has to be mended."
)
QUERIES = {
    "q1": "how long is the river Nile",
    "q2": "which wood is the front of a violin carved from",
    "q3": "vitamin D",
}


@pytest.fixture
def against(tmp_path: Path) -> Path:
    """A test set of three queries and two documents, and its split `dev` of one query."""
    folder = tmp_path / "exam"
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "queries.jsonl", [{"_id": key, "text": text} for key, text in QUERIES.items()])
    documents = [{"_id": "d1", "title": "The Nile", "text": RIVER}, {"_id": "d2", "title": "", "text": VIOLIN}]
    write_lines(folder / "corpus.jsonl", documents)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t1\n")
    return tmp_path


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def context(folder: Path, said: list[str] | None = None, *, embeds: bool = False) -> Context:
    return Context(
        step="decontamination",
        source=Source(folder=folder),
        embedders={"words": letters.embedder([*QUERIES.values(), "of what length"])} if embeds else {},
        warn=[].append if said is None else said.append,
    )


def fate(row: Example, folder: Path, said: list[str] | None = None, **options: object) -> tuple[str, str]:
    """The reason why the row goes and the detail; two empty texts where it stays."""
    stage = Decontamination.model_validate({"against": ["exam"], **options})
    (outcome,) = stage.run(RowList([row]), context(folder, said, embeds=bool(stage.embedder)))
    return (outcome.reason, outcome.detail) if isinstance(outcome, Dropped) else ("", "")


def asks(query: str, *texts: str, **options: object) -> Example:
    return Example(id="r", query=query, positives=tuple(map(Document, texts)), **options)  # type: ignore[arg-type]


def edited(text: str, every: int) -> str:
    """The text with one word in so many replaced."""
    return " ".join("perhaps" if n % every == every // 2 else word for n, word in enumerate(text.split()))


@pytest.mark.parametrize(
    ("query", "how"),
    [
        ("how long is the river Nile", "the same words"),
        ("  How long is the river NILE?! ", "the same words"),
        ("how long was the river Nile", "1 of 6 words differs"),
        ("how long is the Nile", "1 of 6 words differs"),
        ("the Nile river is how long", "0 of 6 words differ"),
        ("how loong is the river Nile", "0.8"),
        ("vitamin d", "the same words"),
        (f"answer this for me: {QUERIES['q2']}, please", "it holds 100% of the runs of 8 words"),
        ("which wood is the top of the violin carved from", "2 of 10 words differ"),
        ("how high is the mountain Elbrus", ""),
        ("who swims in the river Nile", ""),
        ("vitamin B", ""),
        ("", ""),
        ("?!", ""),
    ],
)
@pytest.mark.parametrize("corpus", ["blind", "seen"])
def test_a_query_of_the_test_set_goes_however_it_is_written(against: Path, query: str, how: str, corpus: str) -> None:
    reason, detail = fate(asks(query), against, corpus=corpus)
    assert reason == ("contaminated_query" if how else "")
    assert how in detail


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        (RIVER, True),
        (RIVER.upper().replace(",", " -"), True),
        (" ".join(RIVER.split()[20:50]), True),
        (f"{VIOLIN} {' '.join(RIVER.split()[5:19])}", True),
        (edited(RIVER, 20), True),
        (edited(RIVER * 3, 10), True),
        (f"Somebody asked {QUERIES['q2']} and nobody knew.", True),
        ("The Danube rises in the Black Forest and reaches the Black Sea after ten countries.", False),
        (" ".join(RIVER.split()[20:27]), False),
        ("vitamin D", False),
    ],
)
def test_a_document_of_the_test_set_goes_unless_its_corpus_is_seen(against: Path, text: str, dropped: bool) -> None:
    assert fate(asks("", text), against)[0] == ("contaminated_document" if dropped else "")
    assert fate(asks("", text), against, corpus="seen")[0] == ""


@pytest.mark.parametrize(("most_run", "reason"), [(12, "contaminated_document"), (13, "")])
def test_the_longest_run_that_is_kept_is_as_long_as_the_option_says(against: Path, most_run: int, reason: str) -> None:
    copied = " ".join(RIVER.split()[5:18])
    text = f"Nobody in the village of the two mills by the bridge had ever heard it said that {copied} of the year."
    assert fate(asks("", text), against, most_run=most_run)[0] == reason


def test_a_reason_names_the_reference_and_quotes_little_of_it(against: Path) -> None:
    reason, detail = fate(asks("", RIVER), against)
    assert reason == "contaminated_document"
    assert detail.startswith("0.99 of the letters (Jaccard): exam/corpus.jsonl d1 “The Nile The Nile rises in July")
    assert len(detail.partition("“")[2]) < 100


def test_titles_count_as_the_rest_of_a_document_does(against: Path) -> None:
    row = Example(id="r", positives=(Document(" ".join(RIVER.split()[:6]), title="The Nile"),))
    assert fate(row, against)[0] == "contaminated_document"
    assert fate(asks("", row.positive.text), against)[0] == ""


def test_negatives_count_unless_they_are_not_looked_at(against: Path) -> None:
    row = Example(id="r", query="what is mud", positives=(Document("dirt"),), negatives=(Document(RIVER),))
    assert fate(row, against)[0] == "contaminated_document"
    assert fate(row, against, negatives=False)[0] == ""


def test_a_frame_that_many_rows_share_makes_no_copy(tmp_path: Path) -> None:
    (tmp_path / "exam.txt").write_text("Is kimchi good for you?\nWhere does the wandering albatross breed?\n")
    foods = ["kale", "beets", "oats", "rye", "plums", "figs", "dates", "leeks", "garlic", "carrots"]
    rows = [Example(id=food, query=f"is {food} good for you") for food in foods]
    leak = Example(id="leak", query="where does the wandering albatross nest?")
    stage = Decontamination(against=("exam.txt",))
    gone = [each for each in stage.run([*rows, leak], context(tmp_path)) if isinstance(each, Dropped)]
    assert [(each.example.id, each.reason) for each in gone] == [("leak", "contaminated_query")]


def test_a_list_of_texts_and_tables_are_references_too(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("when do swallows fly south\n\nwhy do leaves turn red in autumn\n")
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2\na man plays a flute,someone is peeling an onion\n")
    write_lines(tmp_path / "asked.jsonl", [{"question": "who invented the steam engine", "answer": "several"}])
    write_lines(tmp_path / "odd.jsonl", [{"prompt": "where is Timbuktu on the map", "reply": "in Mali"}])
    for name, query, options in [
        ("list.txt", "Why do leaves turn red in autumn?", {}),
        ("pairs.csv", "A man plays a flute.", {}),
        ("pairs.csv", "Someone is peeling an onion.", {}),
        ("asked.jsonl", "who invented the steam engine?", {}),
        ("odd.jsonl", "Where is Timbuktu on the map?", {"columns": ["prompt"]}),
    ]:
        reason, detail = fate(asks(query), tmp_path, against=[name], **options)
        assert (reason, detail.partition(": ")[0]) == ("contaminated_query", "the same words"), name
        assert name in detail


def test_a_split_stands_for_its_own_queries(against: Path) -> None:
    assert fate(asks(QUERIES["q1"]), against, against=["exam:dev"])[0] == ""
    assert fate(asks(QUERIES["q2"]), against, against=["exam:dev"])[0] == "contaminated_query"
    assert fate(asks(QUERIES["q1"]), against, against=["exam:test"])[0] == "contaminated_query"


def test_an_embedder_finds_what_says_the_same_in_other_words(against: Path) -> None:
    query = "of what length is the river Nile is the river Nile"
    assert fate(asks(query), against)[0] == ""
    options = {"against": ["exam/corpus.jsonl", "exam"], "embedder": "words"}
    reason, detail = fate(asks(query), against, least_cosine=0.6, **options)
    assert reason == "contaminated_query"
    assert detail.startswith("cosine 0.")
    assert "q1" in detail
    assert fate(asks(query), against, embedder="words", least_cosine=0.99)[0] == ""
    assert fate(asks("vitamin"), against, embedder="words", least_cosine=-1)[0] == ""


def test_its_embedder_is_part_of_its_key_where_it_asks_one() -> None:
    assert list(Decontamination().embedders_used()) == []
    assert list(Decontamination(embedder="words").embedders_used()) == ["words"]


def test_without_references_all_rows_pass_and_the_user_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    assert fate(asks("how long is the river Nile"), tmp_path, said, against=[]) == ("", "")
    assert said == ["decontamination: `against` names nothing, so every row passed unchecked"]


def test_references_without_a_text_are_told(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "empty.txt").write_text("\n\n")
    assert fate(asks("how long is the river Nile"), tmp_path, said, against=["empty.txt"]) == ("", "")
    assert said == ["decontamination: nothing to hold rows against in empty.txt"]


def test_a_folder_without_queries_is_an_error_unless_its_documents_are_checked(against: Path) -> None:
    (against / "exam" / "queries.jsonl").unlink()
    said: list[str] = []
    assert fate(asks("", RIVER), against, said)[0] == "contaminated_document"
    assert said[0] == "against exam: no queries.jsonl in this folder, so documents alone are checked"
    with pytest.raises(RecipeError, match=r"^against exam: no queries.jsonl in this folder; expected a BEIR folder"):
        fate(asks("", RIVER), against, corpus="seen")
    (against / "exam" / "corpus.jsonl").unlink()
    with pytest.raises(RecipeError, match="no queries.jsonl"):
        fate(asks("", RIVER), against)


def test_a_folder_of_queries_alone_is_fine(against: Path) -> None:
    (against / "exam" / "corpus.jsonl").unlink()
    assert fate(asks(QUERIES["q1"]), against)[0] == "contaminated_query"
    assert fate(asks("", RIVER), against)[0] == ""


def test_that_most_rows_go_for_their_documents_is_told(against: Path) -> None:
    said: list[str] = []
    fate(asks("", RIVER), against, said)
    assert len(said) == 1
    assert "say `corpus: seen`" in said[0]


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("nowhere", None, RecipeError, "against nowhere: no such file or folder"),
        ("exam:tset", None, CorpusError, "exam:tset: no split 'tset'; found dev, test; did you mean 'test'"),
        ("a.pdf", "x", RecipeError, "against a.pdf: expected a BEIR folder, a table"),
        ("a.jsonl", '{"prompt": "x", "reply": "y"}\n', RecipeError, "against a.jsonl: .*set `columns`"),
        ("a.jsonl", 'not JSON\n{"text": "x"}\n', CorpusError, "against a.jsonl:1: not JSON"),
        ("a.txt", b"caf\xe9", CorpusError, "against a.txt: not UTF-8"),
        ("hf://nothing", None, CorpusError, "expected hf://owner/name"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_before_anything_runs(
    against: Path, name: str, content: str | bytes | None, kind: type[SynthError], message: str
) -> None:
    if content is not None:
        (against / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=message) as told:
        Decontamination(against=(name,)).content_read(context(against))
    assert "\n" not in str(told.value)
    with pytest.raises(kind, match=message):
        list(Decontamination(against=(name,)).run([asks("x")], context(against)))


def test_a_line_that_cannot_be_read_is_an_error_so_that_nothing_slips_through(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": ""}\nnot JSON\n')
    with pytest.raises(CorpusError, match="against a.jsonl:3: not JSON"):
        fate(asks("x"), tmp_path, against=["a.jsonl"])


def test_its_key_changes_with_what_it_reads_and_with_nothing_else(against: Path) -> None:
    def key(**options: object) -> str:
        return Decontamination.model_validate({"against": ["exam"], **options}).content_read(context(against))

    blind, seen, split = key(), key(corpus="seen"), key(against=["exam:dev"])
    assert len({blind, seen, split, key(against=[])}) == 4
    with (against / "exam" / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d3", "text": "more"}\n')
    assert key() != blind
    assert key(corpus="seen") == seen
    (against / "exam" / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    changed = key(against=["exam:dev"])
    (against / "exam" / "qrels" / "dev.tsv").write_text("q3\td2\t1\n")
    assert key(against=["exam:dev"]) != changed


@pytest.mark.parametrize(
    "options", [{"corpus": "unseen"}, {"threshold": 0}, {"edits": -1}, {"most_run": 3}, {"most_share": 0}]
)
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Decontamination.model_validate(options)
