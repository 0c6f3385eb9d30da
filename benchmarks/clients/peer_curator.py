"""Bespoke Labs' Curator: a class with `prompt` and `parse`, called with a dataset; the result is written as JSONL.

Plain text is asked for and read by `parse`: with a schema it sends one request more beforehand and does more per row.
Its tokenizer comes from the net; where that is out of reach, a count of characters stands in for it (cheaper than it).
"""

import json
import sys
import time

import task


class Letters:
    """Counts a token for every four characters, as Curator itself does where its tokenizer fails."""

    def encode(self, text: str, **options: object) -> range:
        """As many numbers as there are tokens."""
        return range(len(text) // 4)


def stub_tokenizer() -> str:
    """Put `Letters` in the place of a tokenizer that cannot be had. Returns what the table says of that."""
    import tiktoken

    try:
        tiktoken.get_encoding("cl100k_base")
    except Exception:  # noqa: BLE001  whatever the net fails with
        tiktoken.get_encoding = lambda name: Letters()
        return "its tokenizer stubbed: no net"
    return ""


def main() -> None:
    given = task.given()
    note = stub_tokenizer()
    from bespokelabs import curator

    class Query(curator.LLM):
        def prompt(self, row: dict) -> list[dict]:
            return [
                {"role": "system", "content": task.SYSTEM},
                {"role": "user", "content": task.user_message(row["text"])},
            ]

        def parse(self, row: dict, response: str) -> dict:
            return {"text": row["text"], "query": json.loads(response)["query"]}

    limits = {"max_requests_per_minute": 10**9, "max_tokens_per_minute": 10**12}
    writer = Query(
        model_name=task.MODEL,
        backend="openai",
        generation_params={"max_tokens": 1024},
        backend_params={"base_url": given.url, "max_concurrent_requests": given.concurrent, **limits},
    )
    begun = time.perf_counter()
    made = writer([{"text": text} for text in given.texts()], working_dir=str(given.folder / "curator"))
    seconds = time.perf_counter() - begun
    made.dataset.to_json(str(given.folder / "rows.jsonl"))
    print(f"note: {note}", file=sys.stderr)
    task.tell(sum(bool(query) for query in made.dataset["query"]), seconds)


main()
