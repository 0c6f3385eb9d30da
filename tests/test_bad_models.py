"""What can be wrong with a model is one clear line with the cure, exit code 2 or 3, and nothing paid for is lost."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.runs import open_run
from tests.conftest import CORPUS, Said, Synth, write_corpus
from tests.servers import ChatServer, Fault
from tests.test_bad_input import assert_one_line

RECIPE = """\
corpus: ./corpus
backends:
  writer: {{use: openai, model: {model}, base_url: "{url}", first_wait_s: 0.01, most_tries: 2}}
steps:
  - {{use: from_corpus, chunk: false}}
  - {{use: generate, attempts: 1}}
"""


@pytest.fixture
def written(tmp_path: Path, corpus: Path) -> Callable[..., Path]:
    def write(url: str, model: str = "tiny", more: str = "") -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(url=url, model=model) + more)
        return path

    return write


def without_writer(path: Path) -> Path:
    text = path.read_text()
    path.write_text(text[: text.index("backends:")] + text[text.index("steps:") :])
    return path


def test_a_recipe_without_a_writer_is_told_four_ways_to_get_one(synth: Synth, written: Callable[..., Path]) -> None:
    said = synth("run", without_writer(written("http://x/v1")))
    ways = ["OPENAI_API_KEY", "base_url: http://localhost:8000/v1", "use: vllm", "llamacpp", "`extract` needs no model"]
    assert_one_line(said, "no backend is called 'writer'", *ways)


def test_an_unknown_model_is_told_with_the_list_of_the_server(synth: Synth, written: Callable[..., Path]) -> None:
    with ChatServer(models=("qwen3-8b", "tiny")) as server:
        assert_one_line(
            synth("run", written(server.base_url, "qwen3-b8")), "did you mean 'qwen3-8b'", "there are qwen3-8b, tiny"
        )


def test_a_wrong_key_is_told_and_never_shown(
    synth: Synth, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-4411")
    with ChatServer(key="another") as server:
        said = synth("run", written(server.base_url))
    assert_one_line(said, "it refuses the key in OPENAI_API_KEY (401)")
    assert "sk-planted" not in said.err + said.out
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"sk-planted" not in path.read_bytes(), path


def test_a_key_may_stand_in_a_file_that_the_environment_names(
    synth: Synth, written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "key.txt").write_text("sk-planted-5522\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key.txt"))
    with ChatServer(key="sk-planted-5522") as server:
        assert synth("run", written(server.base_url)).code == 0
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "gone.txt"))
    assert_one_line(synth("run", written("http://127.0.0.1:1/v1", "other")), "OPENAI_API_KEY_FILE", "cannot be read")


def test_no_server_there_is_one_line(synth: Synth, written: Callable[..., Path]) -> None:
    with ChatServer() as server:
        url = server.base_url
    assert_one_line(synth("run", written(url)), "no server answers there")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(400, "As of transformers v4.44, default chat template is no longer allowed"), "has no chat template"),
        (Fault(429, "You exceeded your quota", code="insufficient_quota"), "is used up"),
    ],
)
def test_what_no_request_survives_ends_the_run_in_one_line(
    fault: Fault, words: str, synth: Synth, written: Callable[..., Path]
) -> None:
    with ChatServer(refuses=lambda body: fault) as server:
        assert_one_line(synth("run", written(server.base_url)), words)


def test_a_schema_that_the_server_refuses_is_left_to_the_prompt(synth: Synth, written: Callable[..., Path]) -> None:
    def refuses(body: dict[str, Any]) -> Fault | None:
        wanted = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        bad = "description" in json.dumps(wanted)
        return Fault(400, "Invalid schema for response_format 'answer': no description is supported") if bad else None

    with ChatServer(refuses=refuses) as server:
        assert synth("run", written(server.base_url)).code == 0
        assert len(server.seen) == len(CORPUS) + 1
        assert server.seen[-1]["response_format"] == {"type": "json_object"}


def test_a_context_too_small_for_a_prompt_drops_its_row_and_says_how_many_tokens(
    synth: Synth, written: Callable[..., Path], tmp_path: Path
) -> None:
    long = "This model's maximum context length is 128 tokens. However, your messages resulted in 412 tokens."
    with ChatServer(refuses=lambda body: Fault(400, long) if "yeast" in json.dumps(body) else None) as server:
        assert synth("run", written(server.base_url), "--output", "run").code == 0
    [gone] = open_run(tmp_path / "run").step("generate").dropped()
    assert (gone.reason, gone.example.positive.doc_id) == ("failed_request", "bread")
    assert "128 tokens" in gone.detail
    assert "412 tokens" in gone.detail


@pytest.mark.parametrize("budget", ["{tokens: 0}", "{usd: 0}", "{requests: -1}", "{tokins: 5}"])
def test_a_budget_of_nothing_is_a_mistake(budget: str, synth: Synth, written: Callable[..., Path]) -> None:
    word = "did you mean 'tokens'" if "tokins" in budget else "greater than 0"
    assert_one_line(synth("run", written("http://127.0.0.1:1/v1", more=f"budget: {budget}\n")), "budget", word)


def test_a_damaged_reply_store_is_kept_aside_and_the_run_goes_on(
    synth: Synth, written: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "replies.sqlite").write_bytes(b"no database at all" * 500)
    with ChatServer() as server:
        said = synth("run", written(server.base_url), "--json")
        assert said.code == 0
    [aside] = (tmp_path / "outputs").glob("replies.sqlite.corrupted-*")
    assert aside.read_bytes().startswith(b"no database at all")
    assert any("is kept as" in warning for warning in json.loads(said.out)["warnings"])


def test_a_reply_store_that_is_a_folder_is_one_line(synth: Synth, written: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with ChatServer() as server:
        assert_one_line(synth("run", written(server.base_url), "--replies", tmp_path / "store"), "store", "--replies")


def test_a_disk_that_fills_up_in_the_middle_is_one_line_and_the_next_run_goes_on(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    count = 900  # many more than are in flight when the first of them find no room
    write_corpus(tmp_path / "corpus", {f"d{n}": f"Document {n} says little." for n in range(count)})
    long = '{"query": "' + "what does it say of the river and the mud? " * 6 + '"}'
    with ChatServer(lambda body: long) as server:
        path = written(server.base_url)
        small = run_with_room(path, 120_000)
        assert 0 < len(server.seen) < count
        assert (small.code, small.err.count("\n")) == (2, 1), small.err
        assert "space" in small.err or "reply store" in small.err
        sent = len(server.seen)
        assert run_with_room(path, resource.RLIM_INFINITY).code == 0
        assert len(server.seen) < count + sent, "what was stored before is not sent again"


def run_with_room(path: Path, most_bytes: int) -> Said:
    """A run that may write no file larger than that: what the system refuses then, a full disk refuses too."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes})); "
        "from synth.cli import main; sys.argv = ['synth', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", code, "run", str(path), "--output", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent, check=False)
    return Said(done.returncode, done.stdout, done.stderr)
