import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from synth.errors import CorpusError, OutputError
from synth.export import export
from synth.hub import push
from synth.scores import Difference, Evaluation, Score
from synth.store import write_json
from synth.types import Document, Example


class Hub(ThreadingHTTPServer):
    """As much of the Hub as a push speaks to: it keeps what is committed, and can refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: list[dict[str, object]] = []
        self.files: dict[str, bytes] = {}
        self.commits: list[str] = []
        self.tokens: set[str | None] = set()
        self.refuse = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers["Authorization"])
        if self.server.refuse:
            return self.answer({"error": "You do not own this name"}, self.server.refuse)
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            self.server.repos.append(asked)
            prefix = "datasets/" if asked.get("type") == "dataset" else ""
            return self.answer({"url": f"{self.server.url}/{prefix}{asked['organization']}/{asked['name']}"})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self.answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if "/commit/" in self.path:
            self.server.commits.append(self.path)
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer({"commitUrl": f"{self.server.url}/me/x/commit/0", "commitOid": "0" * 40})
        return self.answer({"error": f"no such place: {self.path}"}, 404)

    def answer(self, value: object, status: int = 200) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args: object) -> None:
        pass


def is_private(repo: dict[str, object]) -> bool:
    """As huggingface_hub 1 or 2 asks for it."""
    return repo.get("private") is True or repo.get("visibility") == "private"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "extract-1a2b"
    rows = [
        Example(id=f"{i:x}", query=f"query {i}", positives=(Document(f"text {i}", doc_id=str(i)),)) for i in range(3)
    ]
    export(rows, folder)
    return folder


def test_a_dataset_is_pushed_in_one_commit_with_its_card(hub: Hub, run_folder: Path) -> None:
    url = push(run_folder, "me/my-data")
    assert url == f"{hub.url}/datasets/me/my-data"
    assert sorted(hub.files) == ["README.md", "retrieval/train.parquet"]
    assert hub.files["retrieval/train.parquet"] == (run_folder / "dataset/retrieval/train.parquet").read_bytes()
    assert hub.files["README.md"] == (run_folder / "dataset/README.md").read_bytes()
    assert hub.commits == ["/api/datasets/me/my-data/commit/main"]
    assert is_private(hub.repos[0])
    assert hub.tokens == {"Bearer hf_of_a_test"}


def test_the_pushed_card_tells_the_scores_and_the_local_one_stays(hub: Hub, run_folder: Path) -> None:
    before = (run_folder / "dataset/README.md").read_bytes()
    score = Score("scifact", "trained", 0.6531, 0.92, 0.61, 0.61, 0.7, True, 300)
    difference = Difference("scifact", "trained", "bm25", 0.02, 0.01, 0.03, 300)
    write_json(
        run_folder / "evaluation.json", Evaluation((score,), (difference,), {"scifact": "BM25 k1=1.2"}).to_json()
    )
    push(run_folder, "me/my-data")
    card = hub.files["README.md"].decode()
    assert "| scifact | 300 | trained | 0.653 | 0.610 to 0.700 |" in card
    assert "trained beats bm25 by 0.02" in card
    assert (run_folder / "dataset/README.md").read_bytes() == before


def test_a_model_is_pushed_without_hidden_files_and_public_when_asked(hub: Hub, run_folder: Path) -> None:
    (run_folder / "model" / "1_Pooling").mkdir(parents=True)
    (run_folder / "model" / "README.md").write_text("---\nlicense: unknown\n---\n# A model\n")
    (run_folder / "model" / "1_Pooling" / "config.json").write_text("{}")
    (run_folder / "model" / ".lock").write_text("")
    assert push(run_folder, "me/my-model", private=False, what="model") == f"{hub.url}/me/my-model"
    assert sorted(hub.files) == ["1_Pooling/config.json", "README.md"]
    assert not is_private(hub.repos[0])
    assert hub.commits == ["/api/models/me/my-model/commit/main"]


@pytest.mark.parametrize(("status", "cure"), [(401, "token is not valid"), (403, "write access"), (500, "500")])
def test_what_the_hub_refuses_is_told_with_the_cure(hub: Hub, run_folder: Path, status: int, cure: str) -> None:
    hub.refuse = status
    with pytest.raises(OutputError, match=cure) as told:
        push(run_folder, "me/my-data")
    assert "\n" not in str(told.value)
    assert "hf_of_a_test" not in str(told.value)


def test_a_name_that_cannot_be_is_told(hub: Hub, run_folder: Path) -> None:
    with pytest.raises(OutputError, match="owner/name"):
        push(run_folder, "me/my/data")


def test_a_run_without_a_model_has_none_to_push(hub: Hub, run_folder: Path) -> None:
    with pytest.raises(CorpusError, match="no model to push"):
        push(run_folder, "me/my-model", what="model")


def test_without_a_token_nothing_is_sent(
    hub: Hub, run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(OutputError, match="HF_TOKEN"):
        push(run_folder, "me/my-data")
    assert not hub.tokens


def test_a_hub_that_cannot_be_reached_is_told(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OutputError, match="cannot be reached"):
        push(run_folder, "me/my-data")
