"""A chat model of about a megabyte in llama.cpp's own format, made on the spot: real in all but what it says.

    tiny_gguf(tmp_path / "tiny.gguf")     # a quarter of a second; its words are noise, and differ with the prompt

It is a Qwen2 with random weights, a vocabulary of all bytes and some English pieces, and a ChatML template. The ends of
a text and of a string are likelier than other pieces, or noise would go on for ever.
"""

from pathlib import Path
from typing import Any

import numpy as np

Weights = np.ndarray[Any, Any]

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD, INNER = 128, 2, 4, 2, 32, 192
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "the river floods each summer and farmers wait for the water that leaves black mud on the fields while owls turn "
    "their heads and bread rises with yeast when salt melts ice where how what why who does do is are in of to from "
)


def tiny_gguf(path: Path, *, template: str | None = CHATML, context: int = 4096, seed: int = 1) -> Path:
    """Write the model; another seed makes another model. `template=None` leaves it without one."""
    import gguf

    pieces, merges = _vocabulary()
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(pieces)
    writer.add_token_types([gguf.TokenType.CONTROL if p in SPECIAL else gguf.TokenType.NORMAL for p in pieces])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(pieces.index("<|im_end|>"))
    writer.add_pad_token_id(pieces.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    for name, weights in _weights(pieces, np.random.default_rng(seed)):
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[str]]:
    """All bytes in the alphabet of GPT-2, the pieces that are commonest in WORDS, and how they come together."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator([WORDS], trainer)
    model: dict[str, Any] = json.loads(learner.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return pieces, [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]


def _weights(pieces: list[str], rng: np.random.Generator) -> list[tuple[str, Weights]]:
    """Noise in the shapes of a Qwen2, but for one dimension that nothing changes: through it `_liking` has its say."""
    inner = HEAD * KV_HEADS
    made: list[tuple[str, Weights]] = []
    for layer in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", inner, WIDTH),
            ("attn_v", inner, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", INNER, WIDTH),
            ("ffn_up", INNER, WIDTH),
            ("ffn_down", WIDTH, INNER),
        ):
            adds = name in ("attn_output", "ffn_down")
            weights = _noise(rng, rows, columns, 0.05 if adds else 0.15)
            if adds:
                weights[0] = 0
            made.append((f"blk.{layer}.{name}.weight", weights))
        made += [
            (f"blk.{layer}.attn_{q}.bias", np.zeros(n, "f4")) for q, n in zip("qkv", (WIDTH, inner, inner), strict=True)
        ]
        made += [(f"blk.{layer}.{part}_norm.weight", np.ones(WIDTH, "f4")) for part in ("attn", "ffn")]
    read, written = _noise(rng, len(pieces), WIDTH, 1.0), _noise(rng, len(pieces), WIDTH, 0.15)
    read[:, 0] = 2.0
    written[:, 0] = [_liking(piece) for piece in pieces]
    ends = [("output.weight", written), ("output_norm.weight", np.ones(WIDTH, "f4"))]
    return [("token_embd.weight", read), *made, *ends]


def _liking(piece: str) -> float:
    """How much likelier than noise a piece is: strings and texts end now and then, half a character never comes."""
    if piece in ("<|im_end|>", '"'):
        return 1.0
    return 0.0 if piece.lstrip("Ġ").isascii() and piece not in SPECIAL else -6.0


def _noise(rng: np.random.Generator, rows: int, columns: int, spread: float) -> Weights:
    return rng.normal(0, spread, (rows, columns)).astype(np.float16)
