"""Train an embedder on rows: a static model from nothing, or any sentence-transformers model further.

    train(rows, TrainOptions(), Path("outputs/extract-3f/model"), seed=7, corpus=documents)
    ->  TrainResult(model=…/model, untrained=…/model-untrained, rows=29499, steps=58, seconds=41.2, loss=0.71)

The trainer and the losses are those of sentence-transformers; what is written holds its stock modules only, so the
model loads anywhere with `SentenceTransformer(path)`.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synth.embedder import load_model
from synth.errors import CorpusError, need
from synth.training import STATIC, Before, TrainOptions, TrainResult
from synth.training.data import Pair, by_negatives, columns, drawn, pairs_of, shared_instruction
from synth.types import Document, Example

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.sampler import DefaultBatchSampler

LEAST_STEPS = 16
"""Steps of an epoch that a small set is cut into, with smaller batches."""


def train(
    rows: Iterable[Example], options: TrainOptions, output: Path, seed: int, corpus: Iterable[Document] = ()
) -> TrainResult:
    """Train `options.base` on the rows and write the model to the folder `output`.

    A static base learns its vocabulary and its start from `corpus`, or from the rows' positives where that is empty;
    its twin of random weights is written beside it, to `<output>-untrained`, and what it was before it saw a row, which
    knows what the corpus alone tells (`start: lsa`), to `<output>-start`. The same rows,
    in any order, with the same options and seed give the same model. Rows without a query or a positive are passed
    over. Raises CorpusError where fewer than two rows are left, BackendError where the base cannot be loaded,
    MissingExtra without sentence-transformers.
    """
    need("sentence_transformers", "train", "train")
    begun = time.monotonic()
    kept = _usable(rows)
    _seed_all(seed)
    model, before = _begin(kept, options, output, seed, corpus)
    learned = train_further(model, kept, options, output, seed)
    return TrainResult(output, before, learned.rows, learned.steps, time.monotonic() - begun, learned.loss)


class Learned(NamedTuple):
    """The rows of a training, its steps, and the mean loss of these."""

    rows: int
    steps: int
    loss: float


def train_further(
    model: "SentenceTransformer", rows: Iterable[Example], options: TrainOptions, output: Path, seed: int
) -> Learned:
    """Train a model in place on the rows and write it to the folder `output`; else as `train` does."""
    kept = _usable(rows)
    if instruction := shared_instruction(kept):
        model.prompts["query"] = instruction
    pairs = drawn(pairs_of(kept, model.prompts), options.schedule().most_rows, seed)
    steps, loss = _fit(model, pairs, options, seed)
    _save(model, output)
    return Learned(len(pairs), steps, loss)


def starts(options: TrainOptions, seed: int, documents: Iterable[Document]) -> "Iterator[SentenceTransformer]":
    """The model that training starts from, as often as it is asked for; a static one learns from these documents once.

    Raises as `train` does.
    """
    if options.base != STATIC:
        while True:
            yield _pretrained(options)
    from synth.training.static import static_models

    _, model = static_models(sorted({document.full_text for document in documents}), options, seed)
    while True:
        yield deepcopy(model)


def _usable(rows: Iterable[Example]) -> list[Example]:
    """The rows that have a query and a positive. Raises CorpusError where there are fewer than two to tell apart."""
    kept = [row for row in rows if row.query and row.positives]
    if len(kept) < 2:
        raise CorpusError(
            f"train: {len(kept)} rows have a query and a positive; at least 2 are needed: look at what the steps "
            "dropped, or give the recipe more documents"
        )
    for what, many in (("query", {row.query for row in kept}), ("document", {_family(row) for row in kept})):
        if len(many) < 2:
            raise CorpusError(
                f"train: all {len(kept)} rows have one {what}, and each row is to be a negative of the others: give "
                "the recipe more documents"
            )
    return kept


def _family(row: Example) -> str:
    return row.positive.family or row.id


def _seed_all(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed)


def _begin(
    rows: Sequence[Example], options: TrainOptions, output: Path, seed: int, corpus: Iterable[Document]
) -> "tuple[SentenceTransformer, Before]":
    """The model to train, and where what it was before is to be found."""
    if options.base != STATIC:
        return _pretrained(options), Before(options.base)
    from synth.training.static import static_models

    texts = {document.full_text for document in corpus} or {row.positive.full_text for row in rows}
    random, model = static_models(sorted(texts), options, seed)
    untrained, start = (output.with_name(f"{output.name}-{what}") for what in ("untrained", "start"))
    _save(random, untrained)
    if options.start == "random":
        return model, Before(str(untrained))
    _save(model, start)
    return model, Before(str(untrained), str(start))


def _save(model: "SentenceTransformer", folder: Path) -> None:
    """Write a model. Raises OSError for what the disk refuses, which safetensors tells by an error of its own."""
    from safetensors import SafetensorError

    try:
        model.save_pretrained(str(folder), create_model_card=False)
    except SafetensorError as error:
        raise OSError(f"{folder}: {error}") from error


def _pretrained(options: TrainOptions) -> "SentenceTransformer":
    model = load_model(options.base)
    if options.most_tokens is not None:
        model.max_seq_length = min(model.max_seq_length or options.most_tokens, options.most_tokens)
    return model


def _fit(model: "SentenceTransformer", pairs: Sequence[Pair], options: TrainOptions, seed: int) -> tuple[int, float]:
    """Train in place; the steps taken and the mean loss."""
    from datasets import Dataset, DatasetDict
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import PrinterCallback

    from synth.training.loss import ranking_loss

    groups = {name: Dataset.from_dict(columns(group)) for name, group in _alike(pairs).items()}
    model.model_card_data.widget = [{"text": pairs[0].query}]
    with tempfile.TemporaryDirectory() as folder:
        trainer = SentenceTransformerTrainer(
            model=model,
            args=_arguments(folder, pairs, options, seed),
            train_dataset=DatasetDict(groups) if len(groups) > 1 else next(iter(groups.values())),
            loss=ranking_loss(model, options),
        )
        trainer.remove_callback(PrinterCallback)
        _remember_tokens(trainer, model, options)
        told = trainer.train()
    return told.global_step, round(float(told.training_loss), 5)


def _alike(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The pairs by how many negatives they have. Raises CorpusError where no two have equally many."""
    groups = by_negatives(pairs)
    if max(map(len, groups.values())) < 2:
        raise CorpusError(
            f"train: no two of its {len(pairs)} rows have equally many negatives, and only such stand in a batch: give "
            "the recipe more documents"
        )
    return groups


def _arguments(folder: str, pairs: Sequence[Pair], options: TrainOptions, seed: int) -> Any:
    """The trainer's arguments. A GPU is used where there is one; a static model is too small to gain from it."""
    from sentence_transformers import SentenceTransformerTrainingArguments

    schedule = options.schedule()
    return SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=min(schedule.batch, max(2, len(pairs) // LEAST_STEPS)),
        learning_rate=schedule.learning_rate,
        warmup_steps=options.warmup,
        batch_sampler=_sampler_of(pairs),
        seed=seed,
        use_cpu=options.base == STATIC,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def _sampler_of(pairs: Sequence[Pair]) -> Any:
    """What makes the batch sampler of each data set, as the trainer calls it."""
    families = {(pair.query, pair.positive): pair.family for pair in pairs}

    def sampler(dataset: Any, **given: Any) -> "DefaultBatchSampler":
        from synth.training.sampler import FamilySampler

        return FamilySampler(dataset, families, **given)

    return sampler


def _remember_tokens(trainer: Any, model: "SentenceTransformer", options: TrainOptions) -> None:
    from synth.training.tokens import RememberedTokens

    if options.base == STATIC and options.schedule().epochs > 1:
        trainer.data_collator.preprocess_fn = RememberedTokens(model)
