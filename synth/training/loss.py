"""The loss of a training: multiple negatives ranking, for several lengths of the vectors at once where asked."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module

    from synth.training import TrainOptions


def ranking_loss(model: "SentenceTransformer", options: "TrainOptions") -> "Module":
    """Each query must find its positive among all documents of the batch (van den Oord et al. 2018, 1807.03748).

    With Matryoshka lengths (Kusupati et al. 2022, 2205.13147) it must do so with its vectors cut short, too. Cosines
    are of the cut vectors, made unit length again.
    """
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

    schedule = options.schedule()
    directions: tuple[Literal["query_to_doc", "doc_to_query"], ...] = ("query_to_doc",)
    if options.symmetric:
        directions = ("query_to_doc", "doc_to_query")
    loss: Module = MultipleNegativesRankingLoss(
        model, scale=schedule.scale, directions=directions, partition_mode="per_direction"
    )
    dims = model.get_embedding_dimension() or 0
    shorter = sorted({length for length in schedule.matryoshka if 0 < length < dims}, reverse=True)
    return MatryoshkaLoss(model, loss, [dims, *shorter]) if shorter else loss
