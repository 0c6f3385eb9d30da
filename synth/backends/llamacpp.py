"""A GGUF file, run by llama.cpp in this very process: for the many without a GPU.

    backends:
      writer: {use: llamacpp, model: models/qwen3-4b-instruct-q4_k_m.gguf}
      judge: {use: llamacpp, model: "Qwen/Qwen3-4B-GGUF:Q4_K_M", context: 8192, places: 2}

`model` is a file, its path beside the recipe, or a model on the Hugging Face Hub: `owner/name` (its Q4_K_M, or its only
file), `owner/name:Q8_0`, `owner/name:some-file.gguf`; that is downloaded once into the Hub's own cache.

llama.cpp's server comes with xllamacpp (`pip install 'synth-embed[cpu]'`, 34 MB), listens on a free port of this
machine alone, and is asked as any other is. Nothing is left of it when the process ends, however it ends. A model that
thinks aloud is told not to by `sampling: {extra: {chat_template_kwargs: {enable_thinking: false}}}`. Beside other
requests the same seed mostly gives the same words, not always: sums are rounded by what is computed together.
"""

import asyncio
import hashlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from synth.backend import Completion, Request
from synth.errors import BackendError, need
from synth.gguf_files import fingerprint, has_template, is_on_the_hub, model_file, parts_of
from synth.lane import Concurrent

if TYPE_CHECKING:
    import numpy as np
    import xllamacpp
    from numpy.typing import NDArray

    from synth.backends.openai import OpenAI

_TOO_LONG = re.compile(r"\((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")


class LlamaCpp(Concurrent):
    """Completions and vectors from a GGUF file, run by llama.cpp in this process."""

    model: str = Field(default="", description="a GGUF file, or on the Hub: owner/name, owner/name:Q8_0")
    context: int = Field(default=4096, ge=256, le=1 << 20, description="most tokens of a request, its reply included")
    places: int = Field(default=4, ge=1, le=64, description="requests answered at once; memory is taken for each")
    threads: int | None = Field(default=None, ge=1, le=512, description="threads that compute; one a core unless set")
    gpu_layers: int = Field(default=-1, ge=-1, description="layers on the GPU if xllamacpp has one; -1: all that fit")
    chat_template: str = Field(default="", description="a file with a Jinja template, in place of the model's own")
    embeddings: bool = Field(default=False, description="the model gives vectors")
    pooling: Literal["model", "mean", "cls", "last"] = Field(
        default="model", description="how the vectors of words become one; as the model says, or"
    )
    timeout_s: float = Field(default=3600, gt=0, description="seconds that a request may take, waiting included")

    _server: "_Server | None" = PrivateAttr(default=None)
    _served: "OpenAI | None" = PrivateAttr(default=None)
    _found: Path | None = PrivateAttr(default=None)
    _known: dict[tuple[str, int, int], str] = PrivateAttr(default_factory=dict)

    @field_validator("model", "chat_template")
    @classmethod
    def _beside_the_recipe(cls, value: str, info: ValidationInfo) -> str:
        folder = (info.context or {}).get("folder")
        if not value or folder is None or (info.field_name == "model" and is_on_the_hub(value)):
            return value
        return str(Path(folder, Path(value).expanduser()))

    @cached_property
    def gpus(self) -> int:  # type: ignore[override]  # a number that options decide, as Backend says
        """Accelerators that llama.cpp sees and may use; none with the wheel from PyPI, but on a Mac."""
        if self.gpu_layers == 0 or find_spec("xllamacpp") is None:
            return 0
        import xllamacpp

        gpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
        return sum(device["type"] == gpu for device in xllamacpp.get_device_info())

    def model_identity(self) -> str:
        """The file's name and a hash of its size and of 64 pieces of it, and the template given in place of its own.

        Raises BackendError where the model cannot be had; one on the Hub is downloaded.
        """
        file = self._file()
        known = [f"{file.name}@{self._hash_of(file)}"]
        if self.chat_template:
            known.append(f"template {_digest(self._template().encode())}")
        if self.embeddings and self.pooling != "model":
            known.append(self.pooling)
        return ", ".join(known)

    async def start(self) -> None:
        """Load the model and wait until it answers.

        Raises MissingExtra without xllamacpp, BackendError for a file that is none, that llama.cpp cannot run, or that
        is not made for conversations.
        """
        from synth.backends.openai import OpenAI

        need("xllamacpp", "cpu", "llamacpp")
        file = await asyncio.to_thread(self._file)
        server = await asyncio.to_thread(_Server, self._settings(file), file)
        if not (self.embeddings or self.chat_template or has_template(file)):
            server.close()
            raise BackendError(
                f"{file}: the model has no chat template; use one that was tuned for chat, or give `chat_template:`"
            )
        served = OpenAI(
            model=file.name,
            base_url=(f"{server.url}/v1",),
            key_env="SYNTH_LLAMACPP_TAKES_NO_KEY",
            most_concurrent=self.places,
            first_concurrent=self.places,
            timeout_s=self.timeout_s,
            deadline_s=2 * self.timeout_s,
            most_tries=3,
            first_wait_s=0.05,
        )
        await served.start()
        self._server, self._served = server, served

    async def stop(self) -> None:
        """Close the connections, end what is computed and free the model."""
        served, self._served = self._served, None
        server, self._server = self._server, None
        if served is not None:
            await served.stop()
        if server is not None:
            server.close()

    async def ask(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """The completions of samples of one request, at most `places` of them together."""
        done: list[Completion] = []
        for start in range(0, len(requests), self.places):
            done += await self._asked().ask(requests[start : start + self.places])
        return [replace(each, error=_with_cure(each.error, self.context)) for each in done]

    def ahead(self) -> int:
        """The places there are, and some to follow."""
        return self._served.ahead() if self._served is not None else self.places

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of unit length, float32 of shape (len(texts), dim); a text longer than `context` is cut.

        Raises BackendError without `embeddings: true`, and for a model that gives none.
        """
        if not self.embeddings:
            raise BackendError(f"{self.model}: it gives vectors only with `embeddings: true`")
        return self.do(self._vectors(texts))

    async def _vectors(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        if self._server is None:
            raise BackendError("llamacpp: it was closed while it was asked")
        fitting = await asyncio.to_thread(self._server.cut, texts)
        try:
            return await self._asked().ask_vectors(fitting)
        except BackendError as error:
            said = str(error).removeprefix(f"{self._server.url}/v1: ")
            cure = "; the model does not say how: give its `pooling:`" if "ooling type 'none'" in said else ""
            raise BackendError(f"{self.model}: it gives no vectors: {said}{cure}") from error

    def _asked(self) -> "OpenAI":
        if self._served is None:
            raise BackendError("llamacpp: it was closed while it was asked")
        return self._served

    def _file(self) -> Path:
        """The file; the Hub is asked for it once."""
        if self._found is None or not is_on_the_hub(self.model):
            self._found = model_file(self.model, self.revision)
        return self._found

    def _hash_of(self, file: Path) -> str:
        """A hash of the file, or of all its parts; found once as long as it stays as it is."""
        digests = []
        for part in [file.with_name(name) for name in parts_of(file.name)]:
            try:
                told = part.stat()
                seen = (str(part), told.st_mtime_ns, told.st_size)
                if seen not in self._known:
                    self._known[seen] = fingerprint(part)
            except OSError as error:
                raise BackendError(f"{part}: it cannot be read: {error.strerror}") from error
            digests.append(self._known[seen])
        return digests[0] if len(digests) == 1 else _digest("".join(digests).encode())

    def _template(self) -> str:
        try:
            return Path(self.chat_template).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BackendError(f"{self.chat_template}: the chat template cannot be read: {error}") from error

    def _settings(self, file: Path) -> dict[str, Any]:
        """What llama.cpp is told, by its own names."""
        told = {
            "path": str(file),
            "n_threads": self.threads,
            "pooling": self.pooling,
            "n_ctx": self.context * self.places,
            "n_parallel": self.places,
            "n_threads_http": 2 * self.places + 4,
            "n_gpu_layers": self.gpu_layers,
            "chat_template": self._template() if self.chat_template else "",
        }
        if self.embeddings:  # a text is read at once; in a cache for each place, means were taken of parts of texts
            told |= {"embedding": True, "n_batch": self.context, "n_ubatch": self.context}
            told |= {"kv_unified": True, "kv_unified_per_slot": self.context}
        return told


class _Server:
    """llama.cpp's server, listening at `url`."""

    def __init__(self, settings: Mapping[str, Any], file: Path) -> None:
        import xllamacpp

        try:
            self._inner: xllamacpp.Server | None = xllamacpp.Server(_params(settings, verbosity=-1))
        except RuntimeError as error:
            raise BackendError(f"{file}: llama.cpp cannot run it: {_reason(settings)}") from error
        self._inner.handle_metrics()  # its loop runs once this is answered; ended before that it would never end
        self.url: str = self._inner.listening_address

    def close(self) -> None:
        """End it; what it was still computing is lost."""
        self._inner = None

    def cut(self, texts: Sequence[str]) -> list[str]:
        """The texts, the longest of them cut to what the model can read. A token has at least one byte."""
        told = self._ask("GET", "/props", None)
        most = int(told["default_generation_settings"]["n_ctx"])
        return [text if len(text.encode("utf-8", "replace")) < most - 8 else self._cut(text, most) for text in texts]

    def _cut(self, text: str, most: int) -> str:
        plain = text.encode("utf-8", "replace").decode()
        tokens = self._ask("POST", "/tokenize", {"content": plain})["tokens"]
        kept = tokens[: most - 8]  # the model's own marks come on top
        return text if len(kept) == len(tokens) else str(self._ask("POST", "/detokenize", {"tokens": kept})["content"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            given: dict[str, Any] = json.loads(connection.getresponse().read())
            return given
        finally:
            connection.close()


def _params(settings: Mapping[str, Any], verbosity: int) -> "xllamacpp.CommonParams":
    """llama.cpp's own settings. It says nothing at verbosity -1, and what went wrong at 1."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    own = dict(settings)
    params.model.path = own.pop("path")
    params.model_alias = {Path(params.model.path).name}
    threads, pooling = own.pop("n_threads"), own.pop("pooling")
    if threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    if pooling != "model":
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    own |= {"verbosity": verbosity, "endpoint_metrics": True, "endpoint_slots": False, "ui": False}
    own |= {"warmup": False, "cache_ram_mib": 0, "cache_idle_slots": False, "cors_origins": "http://127.0.0.1"}
    for name, value in own.items():
        setattr(params, name, value)
    return params


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _reason(settings: Mapping[str, Any]) -> str:
    """Why llama.cpp cannot run it, in its own words: it tells them to its log alone, so another process tries again."""
    code = (
        "import json, sys, xllamacpp; from synth.backends.llamacpp import _params;"
        "xllamacpp.Server(_params(json.loads(sys.stdin.read()), verbosity=1))"
    )
    guess = "is there memory enough for `places:` times `context:`?"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(settings),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return guess
    first = re.search(r"^\S+ E (\S+)\s+(?:error loading model: |error: )?(.+)$", done.stderr, re.MULTILINE)
    if first is None:
        return guess
    where = "its chat template: " if "chat_template" in first[1] else ""
    newer = "; a newer xllamacpp may know it" if "unknown model architecture" in first[2] else ""
    return f"{where}{first[2][:300]}{newer}"


def _with_cure(error: str, context: int) -> str:
    """What llama.cpp says of a prompt that is too long, in a recipe's words; all else as it is.

    >>> _with_cure("400: request (817 tokens) exceeds the available context size (512 tokens), try increasing it", 512)
    'the prompt has 817 tokens and `context:` is 512; raise it, or make the documents shorter'
    """
    long = _TOO_LONG.search(error)
    if long is None:
        return error
    most = int(long[2])
    cure = "; raise it, or" if most >= context else f", but this model reads no more than {most};"
    return f"the prompt has {long[1]} tokens and `context:` is {context}{cure} make the documents shorter"
