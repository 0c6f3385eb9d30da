"""Models of a megabyte with random weights and a tokenizer trained on the spot: what a real engine runs without a hub.

chat(folder)   a Qwen2 with a ChatML template; its words are noise
embed(folder)  a BERT that gives vectors of 64 numbers
score(folder)  a BERT that gives a pair one number
"""

from pathlib import Path
from typing import Any

CONTEXT = 512
"""Most tokens of a prompt and its reply."""

CHATML = (
    "{% if shout %}SHOUT{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = (
    "The Nile floods each summer. Farmers wait for the water, which leaves black mud on the fields.",
    "Ein Kessel Wasser kocht auf dem Berg schneller. Dort oben ist der Luftdruck nämlich geringer.",
    "A bicycle chain needs oil every few weeks. Wipe it clean first, then add one drop to each link.",
    '{"query": "when does the river flood?", "score": 2, "reason": "it says so"}',
)


def chat(folder: Path, *, template: str | None = CHATML, context: int = CONTEXT) -> Path:
    """A chat model of a context of so many tokens; `template=None` leaves it without a chat template."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = _byte_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.15,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def embed(folder: Path) -> Path:
    """An embedder."""
    import torch
    from transformers import BertModel

    torch.manual_seed(2)
    BertModel(_bert(folder)).save_pretrained(folder)
    return folder


def score(folder: Path) -> Path:
    """A cross-encoder."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(3)
    config = _bert(folder)
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=learner, eos_token="<|im_end|>", pad_token="<|im_end|>")


def _bert(folder: Path) -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertTokenizerFast

    learner = BertWordPieceTokenizer()
    learner.train_from_iterator(TEXTS * 3, vocab_size=400, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learner.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=128)
    tokenizer.save_pretrained(folder)
    return BertConfig(
        vocab_size=400,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=128,
        initializer_range=0.15,
    )
