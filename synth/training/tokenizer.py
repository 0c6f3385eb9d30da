"""A vocabulary learned from the corpus itself, for a static model: no download, any script."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN, INSIDE = "[UNK]", "##"
"""The piece for what no piece fits, and what stands before a piece that begins no word."""
RAREST = 3
"""A piece stands at least so often in the corpus. Without it a small corpus has every word whole, and no word forms."""
LONGEST_WORD = 10_000
"""Characters. Thai and its like write whole phrases without a space, and a longer word would be unknown."""


def learn_tokenizer(texts: Sequence[str], most_pieces: int) -> "Tokenizer":
    """A WordPiece tokenizer of at most `most_pieces` pieces of these texts; the same for the same texts.

    Texts are read in NFKC and lower case. No mark is stripped: the vowel signs of Hindi and Thai and the tones of
    Vietnamese are marks. Han characters are pieces by themselves.
    """
    from tokenizers.trainers import WordPieceTrainer

    learner = _tokenizer({UNKNOWN: 0})
    # The trainer numbers the characters inside words as it meets them, in another order each time, and settles ties by
    # number; named beforehand they keep theirs. As special tokens they are, so the learner itself is not handed out.
    inside = sorted({INSIDE + letter for text in texts for letter in learner.normalizer.normalize_str(text)})
    trainer = WordPieceTrainer(
        vocab_size=max(most_pieces, 1 + len(inside)),
        min_frequency=RAREST,
        special_tokens=[UNKNOWN, *inside],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return _tokenizer(learner.get_vocab())


def _tokenizer(pieces: dict[str, int]) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import NFKC, Lowercase
    from tokenizers.normalizers import Sequence as Normalizers
    from tokenizers.pre_tokenizers import BertPreTokenizer, Split
    from tokenizers.pre_tokenizers import Sequence as PreTokenizers

    model = WordPiece(
        vocab=pieces,
        unk_token=UNKNOWN,
        continuing_subword_prefix=INSIDE,
        max_input_chars_per_word=LONGEST_WORD,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = Normalizers([NFKC(), Lowercase()])
    tokenizer.pre_tokenizer = PreTokenizers([BertPreTokenizer(), Split(Regex(r"\p{Han}"), "isolated")])
    return tokenizer
