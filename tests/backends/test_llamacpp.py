"""The llamacpp backend: llama.cpp's own server in this process, with a model made on the spot."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import ValidationError

from synth.answers import Answer, read_answer
from synth.backend import Completion, Message, Request, Sampling
from synth.backends.llamacpp import LlamaCpp
from synth.errors import BackendError, MissingExtra
from synth.prompt import Prompt
from tests.contracts import one_completion_a_request
from tests.tiny_gguf import CHATML, tiny_gguf

SHORT = Sampling(most_tokens=8, temperature=0)
LONG = Request(id="long", messages=(Message("user", "mud " * 900),), sampling=SHORT)


@pytest.fixture(scope="module")
def writer(tiny_model: Path) -> Iterator[LlamaCpp]:
    """A backend with 512 tokens for a request and four places, for all that does not close it."""
    with closing(backend(tiny_model)) as made:
        yield made


def backend(model: Path, **options: object) -> LlamaCpp:
    return LlamaCpp.model_validate({"model": str(model), "threads": 1, "context": 512, **options})


def asked(n: int = 1, **changes: object) -> list[Request]:
    made = {"sampling": SHORT, **changes}
    return [Request(id=str(k), messages=(Message("user", f"document {k}"),), **made) for k in range(n)]  # type: ignore[arg-type]


def only(made: LlamaCpp, **changes: object) -> Completion:
    [done] = made.complete(asked(1, **changes))
    return done


def failure(made: LlamaCpp) -> str:
    with closing(made), pytest.raises(BackendError) as caught:
        list(made.complete(asked()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_request_gets_its_own_completion(writer: LlamaCpp) -> None:
    one_completion_a_request(writer)
    first, again, other = writer.complete([asked(2)[n] for n in (0, 0, 1)])
    by_id = {c.request.id: c for c in (first, again, other)}
    assert by_id["0"].text != by_id["1"].text
    assert {c.text for c in (first, again, other) if c.request.id == "0"} == {by_id["0"].text}
    assert all(c.model == "tiny.gguf" and c.completion_tokens == 8 and c.prompt_tokens > 10 for c in by_id.values())


def test_an_answer_has_the_form_that_the_prompt_asks_for(writer: LlamaCpp) -> None:
    prompt = Prompt.load("grounded/question")
    sampling = Sampling(most_tokens=400, temperature=1)
    done = list(writer.complete(asked(20, schema=prompt.schema, sampling=sampling)))
    read = [read_answer(c, prompt.answer) for c in done if c.finish_reason == "stop"]
    assert len(read) > 15
    assert all(isinstance(answer, Answer) for answer in read)


def test_more_samples_than_places_differ_and_a_seed_repeats_them(writer: LlamaCpp) -> None:
    def texts(seed: int | None) -> list[str]:
        sampling = Sampling(most_tokens=12, temperature=1, seed=seed)
        messages = (Message("user", "The Nile floods."),)
        group = [Request(id=str(n), messages=messages, sampling=sampling, sample=n, more=5 - n) for n in range(6)]
        done = {c.request.sample: c for c in writer.complete(group)}
        assert not [c.error for c in done.values() if c.error]
        return [done[n].text for n in range(6)]

    assert len(set(texts(None))) == 6
    assert len(set(texts(1))) == 6
    assert texts(1) == texts(1)


def test_a_prompt_longer_than_the_context_fails_alone_and_says_how_long_it_is(writer: LlamaCpp) -> None:
    done = {c.request.id: c for c in writer.complete([LONG, *asked(3)])}
    assert [done[str(n)].error for n in range(3)] == ["", "", ""]
    assert "tokens and `context:` is 512; raise it, or make the documents shorter" in done["long"].error
    assert int(done["long"].error.split()[3]) > 900


def test_a_model_that_reads_less_than_the_context_says_so(tmp_path: Path) -> None:
    with closing(backend(tiny_gguf(tmp_path / "short.gguf", context=256), context=1024, places=1)) as made:
        [done] = made.complete([LONG])
    assert "`context:` is 1024, but this model reads no more than 256" in done.error


def test_nothing_is_printed(tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(backend(tiny_model)) as made:
        list(made.complete([*asked(2), LONG]))
    (tmp_path / "cut.gguf").write_bytes(tiny_model.read_bytes()[:400_000])
    failure(backend(tmp_path / "cut.gguf"))
    assert capfd.readouterr() == ("", "")


def test_what_is_no_model_is_told(tiny_model: Path, tmp_path: Path) -> None:
    whole = tiny_model.read_bytes()
    file = tmp_path / "model.gguf"
    assert failure(backend(file)).startswith(f"{file}: no such file; expected a GGUF file, or owner/name")
    assert "Is a directory" in failure(backend(tmp_path))
    assert failure(LlamaCpp()).startswith("`model:` is not set; expected a GGUF file")
    for content, said in (
        (b"", "this is no GGUF file: it begins with b''"),
        (b"<html>not found</html>", "this is no GGUF file: it begins with b'<htm'"),
        (whole[:3_000], "llama.cpp cannot run it: failed to read key-value pairs"),
        (whole[:400_000], "data is not within the file bounds, model is corrupted or incomplete"),
        (whole.replace(b"qwen2", b"wombt"), "unknown model architecture: 'wombt'; a newer xllamacpp may know it"),
    ):
        file.write_bytes(content)
        assert said in failure(backend(file))


def test_a_model_that_was_not_made_for_conversations_needs_a_template(tmp_path: Path) -> None:
    bare = tiny_gguf(tmp_path / "bare.gguf", template=None)
    assert failure(backend(bare)).endswith(
        "the model has no chat template; use one that was tuned for chat, or give `chat_template:`"
    )
    (tmp_path / "short.jinja").write_text("{{ messages[0]['content'] }}")
    (tmp_path / "chatml.jinja").write_text(CHATML)
    options = {"model": "bare.gguf", "threads": 1, "context": 512}
    tokens = []
    for template in ("short.jinja", "chatml.jinja"):
        given = options | {"chat_template": template}
        with closing(LlamaCpp.model_validate(given, context={"folder": tmp_path})) as made:
            tokens.append(only(made).prompt_tokens)
    assert 0 < tokens[0] < tokens[1]
    assert "the chat template cannot be read" in failure(backend(bare, chat_template=str(tmp_path / "none.jinja")))
    broken = tiny_gguf(tmp_path / "broken.gguf", template="{% for m in messages %}{{ m }}")
    assert "llama.cpp cannot run it: its chat template: " in failure(backend(broken))


def test_a_thinking_model_can_be_told_not_to(tmp_path: Path) -> None:
    thinking = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    with closing(backend(tiny_gguf(tmp_path / "thinking.gguf", template=thinking))) as made:
        quiet = SHORT.model_copy(update={"extra": {"chat_template_kwargs": {"enable_thinking": False}}})
        assert only(made, sampling=quiet).prompt_tokens > only(made).prompt_tokens


def test_it_gives_vectors_of_unit_length_and_cuts_what_is_too_long(tiny_model: Path) -> None:
    texts = ["the river floods", "bread rises", "", "half \ud800", "mud " * 2_000, "mud " * 3_000]
    with closing(backend(tiny_model, embeddings=True, pooling="mean")) as made:
        vectors = made.embed(texts)
        alone = made.embed(texts[:1])
        assert made.embed([]).shape[0] == 0
    assert vectors.shape == (6, 128)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], alone[0], atol=1e-3)
    assert not np.allclose(vectors[0], vectors[1], atol=1e-2)
    assert np.allclose(vectors[4], vectors[5], atol=1e-3)


def test_without_vectors_it_says_how_to_get_them(tiny_model: Path, writer: LlamaCpp) -> None:
    with pytest.raises(BackendError, match="it gives vectors only with `embeddings: true`"):
        writer.embed(["x"])
    with closing(backend(tiny_model, embeddings=True)) as made, pytest.raises(BackendError) as caught:
        made.embed(["x"])
    assert str(caught.value).startswith(f"{tiny_model}: it gives no vectors: 400: Pooling type 'none'")
    assert str(caught.value).endswith("the model does not say how: give its `pooling:`")


def test_the_content_of_the_file_decides_and_what_only_takes_time_does_not(tiny_model: Path, tmp_path: Path) -> None:
    def identity(file: Path, **options: object) -> str:
        return backend(file, **options).model_identity()

    known = identity(tiny_model)
    assert known.startswith("tiny.gguf@")
    assert known == identity(tiny_model, places=2, threads=2, context=1024, timeout_s=5)
    (tmp_path / "tiny.gguf").write_bytes(tiny_model.read_bytes())
    assert known == identity(tmp_path / "tiny.gguf")
    assert known != identity(tiny_gguf(tmp_path / "tiny.gguf", seed=2))
    (tmp_path / "t.jinja").write_text(CHATML)
    assert known != identity(tiny_model, chat_template=str(tmp_path / "t.jinja"))
    assert known != identity(tiny_model, embeddings=True, pooling="mean")


def test_a_file_that_changes_is_another_model_at_once_and_a_part_counts_as_the_whole(tmp_path: Path) -> None:
    parts = [tmp_path / f"big-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in parts:
        part.write_bytes(b"GGUF" + bytes(9_000_000))
    made = backend(parts[0])
    known = made.model_identity()
    assert known == made.model_identity()
    with parts[1].open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"x")
    os.utime(parts[1], ns=(1, 1))
    assert known != made.model_identity()
    parts[1].unlink()
    with pytest.raises(BackendError, match=r"big-00002-of-00002\.gguf: it cannot be read"):
        made.model_identity()


def test_paths_are_relative_to_the_recipe_and_names_on_the_hub_stay() -> None:
    def model(name: str) -> str:
        return LlamaCpp.model_validate({"model": name}, context={"folder": Path("/r")}).model

    assert model("models/tiny.gguf") == "/r/models/tiny.gguf"
    assert model("/m/tiny") == "/m/tiny"
    assert model("~/tiny.gguf") == str(Path.home() / "tiny.gguf")
    assert model("Qwen/Qwen3-4B-GGUF") == "Qwen/Qwen3-4B-GGUF"
    assert model("Qwen/Qwen3-4B-GGUF:Q8_0") == "Qwen/Qwen3-4B-GGUF:Q8_0"


def test_it_starts_again_after_it_was_closed_and_two_run_side_by_side(tiny_model: Path) -> None:
    with closing(backend(tiny_model)) as one, closing(backend(tiny_model)) as two:
        first = only(one).text
        for _ in range(5):
            one.close()
            assert only(one).text == first == only(two).text


def test_it_closes_at_once_after_it_was_opened_and_while_it_is_asked(tiny_model: Path, tmp_path: Path) -> None:
    bare = tiny_gguf(tmp_path / "bare.gguf", template=None)
    for _ in range(10):
        assert "no chat template" in failure(backend(bare))
    endless = Sampling(most_tokens=4_000, extra={"ignore_eos": True})
    busy = backend(tiny_model, context=4096, places=2)
    first = next(iter(busy.complete([*asked(1), *asked(6, sampling=endless)])))
    busy.close()
    assert first.completion_tokens == 8


LEFT_OPEN = """
import sys
from synth.backend import Message, Request, Sampling
from synth.backends.llamacpp import LlamaCpp
made = LlamaCpp(model=sys.argv[1], threads=1, context=512)
[done] = made.complete([Request(id="", messages=(Message("user", "x"),), sampling=Sampling(most_tokens=2))])
print(made._server.url, flush=True)
sys.stdin.read()
"""


def test_a_process_that_forgets_to_close_it_ends_all_the_same(tiny_model: Path) -> None:
    code = [sys.executable, "-c", LEFT_OPEN, tiny_model]
    done = subprocess.run(code, input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_nothing_is_left_of_it_when_its_process_is_killed(tiny_model: Path) -> None:
    code = [sys.executable, "-c", LEFT_OPEN, tiny_model]
    with subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = urlsplit(running.stdout.readline().strip())
        socket.create_connection((address.hostname, address.port), timeout=10).close()  # type: ignore[arg-type]  # a URL with both
        running.send_signal(signal.SIGKILL)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=10)  # type: ignore[arg-type]  # as above


def test_without_its_package_the_cure_is_told(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"llamacpp needs xllamacpp: pip install 'synth-embed\[cpu\]'"):
        list(backend(tiny_model).complete(asked()))
    assert backend(tiny_model).gpus == 0


def test_it_holds_the_accelerators_that_it_sees_unless_it_may_not_use_them() -> None:
    import xllamacpp

    cards = [device for device in xllamacpp.get_device_info() if "GPU" in device["type"].name]
    assert LlamaCpp().gpus == len([card for card in cards if not card["type"].name.endswith("IGPU")])
    assert LlamaCpp(gpu_layers=0).gpus == 0


@pytest.mark.parametrize("options", [{"places": 0}, {"context": 10}, {"pooling": "max"}, {"threads": 0}, {"n_ctx": 1}])
def test_an_option_out_of_bounds_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LlamaCpp.model_validate(options)


class Hub(http.server.ThreadingHTTPServer):
    """As much of the Hub as a download speaks to: files of one repository by name, some of them behind a gate."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        name = self.path.rpartition("/resolve/main/")[2]
        if self.path.startswith("/api/models/me/gated"):
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif not self.path.startswith(("/api/models/me/tiny", "/me/tiny/resolve/")):
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif self.path.startswith("/api/"):
            tree = [{"type": "file", "path": file, "size": 1, "oid": "0" * 40} for file in self.server.files]
            told = {"id": "me/tiny", "sha": "a" * 40, "siblings": [{"rfilename": file} for file in self.server.files]}
            self.answer(200, json.dumps(tree if "/tree/" in self.path else told).encode(), {})
        elif name in self.server.files:
            headers = {"ETag": f'"{name.encode().hex()[:40]}"', "X-Repo-Commit": "a" * 40}
            self.answer(200, self.server.files[name], headers)
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    def answer(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(raw)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    names = ("tiny-Q4_K_M.gguf", "tiny-Q4_K_S.gguf", "sub/tiny-UD-Q8_0.gguf", "mmproj-F16.gguf", "README.md")
    server = Hub({name: tiny_model.read_bytes() for name in names})
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_on_the_hub_is_downloaded_once(hub: Hub, tiny_model: Path) -> None:
    with closing(backend(Path("me/tiny"))) as made:
        assert only(made).model == "tiny-Q4_K_M.gguf"
        assert made.model_identity().partition("@")[2] == backend(tiny_model).model_identity().partition("@")[2]
    with closing(backend(Path("me/tiny:q8_0"))) as made:
        assert only(made).model == "tiny-UD-Q8_0.gguf"
    fetched = [path for path in hub.asked if path.startswith("GET /me/tiny/resolve/")]
    assert fetched == [
        "GET /me/tiny/resolve/main/tiny-Q4_K_M.gguf",
        "GET /me/tiny/resolve/main/sub/tiny-UD-Q8_0.gguf",
    ]


def test_what_was_downloaded_needs_no_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    known = backend(Path("me/tiny")).model_identity()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert backend(Path("me/tiny")).model_identity() == known
    said = failure(backend(Path("me/tiny:Q8_0")))
    assert said.startswith("me/tiny:Q8_0: no file is of Q8_0; name one after a colon: tiny-Q4_K_M.gguf")
    assert "the Hub cannot be reached, and the model is not in its cache" in failure(backend(Path("me/other")))


def test_what_the_hub_has_not_is_told(hub: Hub) -> None:
    for model, said in (
        ("me/none", "it cannot be had from the Hub: there is no such model, or it wants a token (HF_TOKEN)"),
        ("me/gated", "its owner wants to be asked; accept its terms on its page and set HF_TOKEN"),
        ("me/tiny:other.gguf", "the repository has no such file"),
        ("me/tiny:Q5_K_M", "no file is of Q5_K_M; name one after a colon: sub/tiny-UD-Q8_0.gguf, tiny-Q4_K_M.gguf,"),
        ("me/tiny:Q4_K", "no file is of Q4_K; "),
        ("me/tiny:tiny", "several files fit; name one after a colon: sub/tiny-UD-Q8_0.gguf, tiny-Q4_K_M.gguf,"),
    ):
        assert said in failure(backend(Path(model)))
    hub.files = {"model.safetensors": b""}
    assert "it has no GGUF file; there is often another repository" in failure(backend(Path("me/tiny")))
