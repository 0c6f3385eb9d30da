from dataclasses import replace

from huggingface_hub import DatasetCard

from synth.card import NOTHING, About, Content, Fate, text, with_evaluation, without_secrets
from synth.scores import Difference, Evaluation, Score

ABOUT = About(
    recipe="extract",
    recipe_text="# makes rows\nsteps:\n  - use: from_corpus\n",
    steps=(Fate("from_corpus", 120), Fate("near_dedup", 95, {"near_duplicate": 25, "exact_duplicate": 0})),
    models={"writer": "Qwen/Qwen3-8B"},
    seed=7,
    version="0.1.0",
)
CONTENT = Content({"retrieval": {"train": 1900, "validation": 100}, "sts": {"train": 5}}, {"en": 1500, "de": 505})
SCORE = Score("scifact", "trained", 0.6531, 0.92, 0.61, 0.61, 0.7, True, 300)
EVALUATION = Evaluation(
    (SCORE,), (Difference("scifact", "trained", "bm25", 0.0, -0.1, 0.1, 300),), {"scifact": "BM25 x"}
)


def test_the_header_is_what_the_hub_and_datasets_read() -> None:
    header = DatasetCard(text(ABOUT, CONTENT)).data.to_dict()
    assert header["license"] == "unknown"
    assert header["language"] == ["de", "en"]
    assert header["size_categories"] == ["1K<n<10K"]
    assert header["task_categories"] == ["sentence-similarity", "text-retrieval"]
    retrieval, sts = header["configs"]
    assert retrieval["default"] is True
    assert retrieval["data_files"] == [
        {"split": "train", "path": "retrieval/train.parquet"},
        {"split": "validation", "path": "retrieval/validation.parquet"},
    ]
    assert sts == {"config_name": "sts", "data_files": [{"split": "train", "path": "sts/train.parquet"}]}


def test_the_card_tells_counts_reasons_models_and_the_recipe() -> None:
    card = text(ABOUT, CONTENT)
    for line in (
        "2,005 rows made by synth 0.1.0 with the recipe extract and seed 7",
        "`Qwen/Qwen3-8B` (writer)",
        "| retrieval | 1,900 | 100 |",
        "| sts | 5 | 0 |",
        "| en | 1,500 |",
        "| near_dedup | 95 | near_duplicate 25 |",
        "```yaml\n# makes rows\nsteps:\n  - use: from_corpus\n```",
        "Licence: unknown",
    ):
        assert line in card


def test_the_card_says_whether_test_documents_may_be_in_the_rows() -> None:
    steps = "- {use: decontamination, against: [./sets/a|b, hf://me/c], corpus: blind}\n"
    steps += "- {use: decontamination, name: again, against: [/home/me/d], corpus: seen}\n"
    card = text(replace(ABOUT, recipe_text=f"steps:\n{steps}"), CONTENT)
    assert "- Corpus-blind to a&#124;b, c: rows with a query or a document of it were dropped." in card
    assert "- Corpus-seen for d: rows with a query of it were dropped; its documents may be in the rows." in card
    assert "## Evaluation data" not in text(ABOUT, CONTENT)


def test_a_licence_that_was_told_is_told() -> None:
    card = text(About(licence="cc-by-4.0"), CONTENT)
    assert DatasetCard(card).data.license == "cc-by-4.0"
    assert "Licence: cc-by-4.0." in card
    assert "No language model" in card


def test_what_people_and_models_named_cannot_break_out_of_the_card() -> None:
    evil = "x`|</td>\n## Evil [a](http://b) <script>"
    content = Content({"retrieval": {"train": 3}}, {evil: 1, "no": 1, "": 1, "en\n---": 1})
    card = text(
        About(recipe=evil, recipe_text="````\n# Evil", steps=(Fate(evil, 1, {evil: 2}),), models={evil: evil}), content
    )
    body = card.split("\n---\n", 1)[1]
    assert "<script>" not in card
    assert not [line for line in body.splitlines() if line.startswith("## Evil")]
    assert "`````yaml\n````\n# Evil\n`````" in body
    assert DatasetCard(card).data.language == ["no"]
    assert "| not known | 3 |" in body


def test_norwegian_stays_norwegian_and_an_empty_card_is_one() -> None:
    assert "- 'no'" in text(NOTHING, Content({"retrieval": {"train": 1}}, {"no": 1}))
    assert DatasetCard(text(NOTHING, Content({}, {}))).data.to_dict()["configs"] == []


def test_no_key_of_a_recipe_gets_out() -> None:
    recipe = "\n".join(
        (
            "backends: {writer: {use: openai, api_key: sk-secret1, base_url: 'https://me:secret2@host/v1'}}",
            '  hf_token: "secret3 x"',
            "  most_tokens: 100  # budget.tokens: 5",
        )
    )
    told = without_secrets(recipe)
    assert "secret" not in told
    assert "most_tokens: 100  # budget.tokens: 5" in told
    assert "https://host/v1" in told
    assert "secret" not in text(About(recipe_text=recipe), CONTENT)


def test_the_scores_come_in_place_of_earlier_ones() -> None:
    card = with_evaluation(text(ABOUT, CONTENT), EVALUATION)
    assert "| scifact | 300 | trained | 0.653 | 0.610 to 0.700 | 0.920 | 0.610 | yes |" in card
    assert "no difference between trained and bm25 can be seen" in card
    assert "- bm25: BM25 x" in card
    assert with_evaluation(card, EVALUATION) == card
    assert DatasetCard(card).data.to_dict() == DatasetCard(text(ABOUT, CONTENT)).data.to_dict()


def test_a_heading_inside_the_recipe_is_not_taken_for_the_scores() -> None:
    card = text(About(recipe_text="a: 1\n## What training on it gives\nb: 2"), CONTENT)
    once = with_evaluation(card, EVALUATION)
    assert once.startswith(card.rstrip())
    assert with_evaluation(once, EVALUATION) == once
