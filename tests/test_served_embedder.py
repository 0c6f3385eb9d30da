"""Vectors from a server: asked for once, kept, and shared by runs and processes."""

import base64
import hashlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import synth.served_embedder
from synth.backends.openai import OpenAI
from synth.embedder import Embedder
from synth.errors import BackendError, OutputError
from synth.redact import Redacting
from synth.retrieval import Corpus
from synth.served_embedder import Prompts, ServedEmbedder
from synth.types import Document

PROBE = "dimensions"
DIM = 8


def vector_of(text: str, dim: int = DIM) -> NDArray[np.float32]:
    """A vector for each text, not of unit length."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32) * 3


class VectorServer:
    """Serves /v1/embeddings; `seen` counts the texts that it was sent, `before` hears of each request first."""

    def __init__(self, dim: int = DIM, before: Callable[[list[str]], None] = lambda texts: None) -> None:
        self.dim = dim
        self.seen: Counter[str] = Counter()
        self.before = before
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "VectorServer":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
                owner.before(texts)
                owner.seen.update(texts)
                rows = [{"index": n, "embedding": owner.encoded(text)} for n, text in enumerate(texts)]
                raw = json.dumps({"data": rows}).encode()
                self.send_response(200 if self.path == "/v1/embeddings" else 404)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        return Handler

    def encoded(self, text: str) -> str:
        return base64.b64encode(vector_of(text, self.dim).astype("<f4").tobytes()).decode()


@pytest.fixture
def server() -> Iterator[VectorServer]:
    with VectorServer() as serving:
        yield serving


def embedder(server: VectorServer, folder: Path, **options: Any) -> ServedEmbedder:
    prompts = Prompts(**{k: options.pop(k) for k in ("query_prompt", "document_prompt") if k in options})
    warn = options.pop("warn", None)
    backend = OpenAI.model_validate({"model": "tiny", "base_url": server.base_url, "first_wait_s": 0.01, **options})
    return ServedEmbedder(backend, folder / "vectors.sqlite", prompts, warn)


def unit(texts: list[str]) -> NDArray[np.float32]:
    rows = np.stack([vector_of(text) for text in texts])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


TEXTS = [f"text {n}" for n in range(200)]


def test_vectors_have_unit_length_and_stand_in_the_order_of_the_texts(server: VectorServer, tmp_path: Path) -> None:
    with closing(embedder(server, tmp_path)) as embeds:
        vectors = embeds.encode(TEXTS)
        assert vectors.dtype == np.float32
        assert vectors.shape == (200, embeds.dim) == (200, DIM)
        assert np.allclose(vectors, unit(TEXTS), atol=1e-6)
        assert np.allclose(embeds.encode(TEXTS[::-1]), vectors[::-1])


def test_nothing_to_read_is_zeros_and_is_not_sent(server: VectorServer, tmp_path: Path) -> None:
    with closing(embedder(server, tmp_path, document_prompt="passage: ")) as embeds:
        vectors = embeds.encode(["", " \n", "flood"])
        assert vectors[:2].tolist() == [[0.0] * DIM] * 2
        assert embeds.encode([]).shape == (0, DIM)
        assert np.linalg.norm(vectors[2]) == pytest.approx(1)
    assert set(server.seen) == {PROBE, "passage: flood"}


def test_no_text_is_sent_twice_in_one_call_in_two_or_in_another_run(server: VectorServer, tmp_path: Path) -> None:
    with closing(embedder(server, tmp_path)) as embeds:
        first = embeds.encode(TEXTS + TEXTS[:50])
        embeds.encode(TEXTS[100:])
    with closing(embedder(server, tmp_path)) as again:
        assert np.array_equal(again.encode(TEXTS), first[:200])
    assert set(server.seen.values()) == {1}
    with closing(embedder(server, tmp_path)) as again:
        again.encode(["one more"])
    assert server.seen["one more"] == 1
    assert sum(server.seen.values()) == 202


def test_queries_and_documents_have_their_prompts_and_an_instruction_takes_their_place(
    server: VectorServer, tmp_path: Path
) -> None:
    with closing(embedder(server, tmp_path, query_prompt="query: ", document_prompt="passage: ")) as embeds:
        assert np.allclose(embeds.encode(["x"], kind="query"), unit(["query: x"]), atol=1e-6)
        assert np.allclose(embeds.encode(["x"]), unit(["passage: x"]), atol=1e-6)
        assert np.allclose(embeds.encode(["x"], kind="query", instruction="find "), unit(["find x"]), atol=1e-6)


def test_model_revision_prompts_and_redaction_decide_what_it_is_known_by_and_the_server_does_not(
    server: VectorServer, tmp_path: Path
) -> None:
    plain = embedder(server, tmp_path).identity()
    assert embedder(server, tmp_path, base_url="http://127.0.0.1:9/v1", most_concurrent=3).identity() == plain
    others = [{"model": "other"}, {"revision": "2"}, {"query_prompt": "q: "}, {"document_prompt": "q: "}]
    assert len({plain, *(embedder(server, tmp_path, **other).identity() for other in others)}) == 5
    redacting = Redacting.over(OpenAI(model="tiny"))
    assert ServedEmbedder(redacting, tmp_path / "vectors.sqlite").identity() != plain
    assert not list(tmp_path.iterdir())
    assert embedder(server, tmp_path).name == "tiny"


def test_redacted_and_plain_vectors_of_a_text_are_kept_apart(server: VectorServer, tmp_path: Path) -> None:
    texts = ["write to jane@example.org"]
    with closing(embedder(server, tmp_path)) as plain:
        before = plain.encode(texts)
    backend = Redacting.over(OpenAI(model="tiny", base_url=(server.base_url,)))
    with closing(ServedEmbedder(backend, tmp_path / "vectors.sqlite")) as redacted:
        assert np.allclose(redacted.encode(texts), unit(["write to [email]"]), atol=1e-6)
    assert not np.allclose(before, unit(["write to [email]"]), atol=1e-2)


def test_it_serves_wherever_an_embedder_does(server: VectorServer, tmp_path: Path) -> None:
    corpus = Corpus([Document(text, doc_id=text) for text in TEXTS])
    with closing(embedder(server, tmp_path)) as embeds:
        assert isinstance(embeds, Embedder)
        [[found]] = corpus.dense(embeds).search(["text 7"], 1).indices
    assert corpus.documents[found].text == "text 7"


def test_half_a_surrogate_pair_is_no_obstacle(server: VectorServer, tmp_path: Path) -> None:
    with closing(embedder(server, tmp_path)) as embeds:
        assert np.allclose(embeds.encode(["flood \ud83d"]), embeds.encode(["flood ?"]))


def test_a_killed_run_has_lost_the_batch_in_flight_and_no_more(tmp_path: Path) -> None:
    """The server kills its client when the fourth batch comes."""
    pids: list[int] = []
    batches: list[list[str]] = []

    def before(texts: list[str]) -> None:
        batches.append(texts)
        if len(batches) == 5 and pids:  # the first was the text that tells the dimensions
            os.kill(pids[0], signal.SIGKILL)

    with VectorServer(before=before) as server:
        with _child(server, tmp_path, batch=20) as child:
            pids.append(child.pid)
            _let_go([child])
            assert child.wait() == -signal.SIGKILL
        assert len(batches) == 5
        pids.clear()
        with closing(embedder(server, tmp_path)) as embeds:
            assert np.allclose(embeds.encode(TEXTS), unit(TEXTS), atol=1e-6)
    again = {text for text, count in Counter(text for batch in batches for text in batch).items() if count > 1}
    assert again == set(batches[4])


def test_two_processes_at_once_get_the_same_and_keep_all(server: VectorServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(_child(server, tmp_path, batch=5)) for _ in range(3)]
        _let_go(children)
        said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0] * 3
    assert len(set(said)) == 1
    with closing(sqlite3.connect(tmp_path / "vectors.sqlite")) as file:
        assert file.execute("SELECT count(*) FROM vectors").fetchone() == (201,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


_CHILD = """
import sys
import synth.served_embedder as module
from pathlib import Path
from synth.backends.openai import OpenAI
module.BATCH = int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
made = module.ServedEmbedder(OpenAI(model="tiny", base_url=(sys.argv[1],)), Path(sys.argv[2]))
print(made.encode([f"text {n}" for n in range(200)]).tobytes().hex())
made.close()
"""


def _child(server: VectorServer, folder: Path, batch: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _CHILD, server.base_url, str(folder / "vectors.sqlite"), str(batch)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _let_go(children: "list[subprocess.Popen[bytes]]") -> None:
    """Have them begin at the same time."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()


@pytest.mark.parametrize("content", [b"this is no database, and never was one" * 40, b""])
def test_a_file_that_is_no_database_is_kept_aside_and_a_new_one_begun(
    server: VectorServer, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(content)
    warnings: list[str] = []
    with closing(embedder(server, tmp_path, warn=warnings.append)) as embeds:
        assert np.allclose(embeds.encode(TEXTS), unit(TEXTS), atol=1e-6)
    aside = [path for path in tmp_path.iterdir() if ".corrupted-" in path.name]
    if content:  # an empty file is what a new database is
        assert [path.read_bytes() for path in aside] == [content]
        assert aside[0].name in warnings[0]
    else:
        assert not aside
        assert not warnings


def test_a_file_that_turns_out_to_be_damaged_later_is_kept_aside_too(server: VectorServer, tmp_path: Path) -> None:
    path, warnings = tmp_path / "vectors.sqlite", []
    with closing(embedder(server, tmp_path)) as embeds:
        embeds.encode(TEXTS)
    raw = bytearray(path.read_bytes())
    raw[4096 * 2 :] = b"\xff" * (len(raw) - 4096 * 2)
    path.write_bytes(raw)
    with closing(embedder(server, tmp_path, warn=warnings.append)) as embeds:
        assert np.allclose(embeds.encode(TEXTS), unit(TEXTS), atol=1e-6)
        assert np.allclose(embeds.encode(TEXTS), unit(TEXTS), atol=1e-6)
    assert len([p for p in tmp_path.iterdir() if p.name.startswith("vectors.sqlite.corrupted-")]) >= 1
    assert len(warnings) == 1
    assert max(server.seen[text] for text in TEXTS) == 2


def test_a_damaged_file_that_another_process_has_moved_is_not_moved_again(tmp_path: Path) -> None:
    path, moved = tmp_path / "vectors.sqlite", []
    with (
        VectorServer(dim=4096) as server,
        closing(embedder(server, tmp_path, warn=moved.append)) as one,
        closing(embedder(server, tmp_path, warn=moved.append)) as other,
    ):
        assert one.dim == other.dim
        one.encode(TEXTS)
        for part in (path, path.with_name("vectors.sqlite-wal")):
            part.write_bytes(b"\xff" * part.stat().st_size)
        one.encode(TEXTS)
        fresh = path.stat().st_ino
        other.encode(TEXTS)
        assert path.stat().st_ino == fresh
        assert len(moved) == 1
        before = server.seen.copy()
        other.encode(TEXTS)
        assert server.seen == before


def test_where_nothing_can_be_written_is_one_line_with_the_cure(server: VectorServer, tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite").mkdir()
    with pytest.raises(OutputError, match="--replies") as caught:
        embedder(server, tmp_path).encode(["x"])
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        ServedEmbedder(OpenAI(model="tiny"), tmp_path / "file" / "vectors.sqlite").encode(["x"])


def test_a_full_disk_is_one_line_and_loses_nothing_that_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synth.served_embedder, "BATCH", 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with VectorServer(dim=512) as server:
        with closing(embedder(server, tmp_path)) as embeds:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
            try:
                with pytest.raises(OutputError, match="make room"):
                    embeds.encode(TEXTS)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with closing(embedder(server, tmp_path)) as embeds:
            embeds.encode(TEXTS)
        assert 20 <= sum(count == 2 for count in server.seen.values()) <= 40
        assert max(server.seen.values()) == 2


def test_another_model_under_the_same_name_is_told_from_the_one_whose_vectors_are_kept(tmp_path: Path) -> None:
    with VectorServer() as server, closing(embedder(server, tmp_path)) as embeds:
        embeds.encode(["x"])
    with (
        VectorServer(dim=16) as server,
        closing(embedder(server, tmp_path)) as embeds,
        pytest.raises(BackendError, match="vectors of 8 and of 16 numbers.*revision"),
    ):
        embeds.encode(["x", "y"])
    with VectorServer() as server, closing(embedder(server, tmp_path)) as embeds:
        assert np.allclose(embeds.encode(["x", "y"]), unit(["x", "y"]), atol=1e-6)


class Constant(OpenAI):
    """Gives vectors that are all alike."""

    value: float = 3.0

    def embed(self, texts: Any) -> NDArray[np.float32]:
        return np.full((len(texts), 4), self.value, np.float32)


def test_vectors_have_unit_length_whatever_the_backend_gives(tmp_path: Path) -> None:
    with closing(ServedEmbedder(Constant(model="tiny"), tmp_path / "vectors.sqlite")) as embeds:
        assert embeds.encode(["x"]).tolist() == [[0.5] * 4]


def test_what_is_no_vector_is_an_error_and_is_not_kept(server: VectorServer, tmp_path: Path) -> None:
    broken = ServedEmbedder(Constant(model="tiny", value=float("nan")), tmp_path / "vectors.sqlite")
    with closing(broken), pytest.raises(BackendError, match="'tiny' gave no vector"):
        broken.encode(["x"])
    with closing(embedder(server, tmp_path)) as embeds:
        assert np.allclose(embeds.encode(["x"]), unit(["x"]), atol=1e-6)


def test_many_texts_are_asked_for_in_batches(
    server: VectorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synth.served_embedder, "BATCH", 30)
    with closing(embedder(server, tmp_path)) as embeds:
        assert np.allclose(embeds.encode(["", *TEXTS, ""])[1:-1], unit(TEXTS), atol=1e-6)
