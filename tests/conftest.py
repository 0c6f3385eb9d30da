"""What tests share: the command line in this process, and small real corpora on disk."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from synth.cli import main
from tests.tiny_gguf import tiny_gguf


class Said(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Synth = Callable[..., Said]

CORPUS = {
    "nile": "The Nile floods each summer. Farmers wait for the water, which leaves black mud on the fields.",
    "kettle": "Water boils sooner on a mountain. The air presses less on it up there, so it needs less heat.",
    "chain": "A bicycle chain needs oil every few weeks. Wipe it clean first, then add a drop to each link.",
    "bridge": "The bridge was opened in spring. The road to the city takes an hour now and used to take three.",
    "bread": "Bread rises because yeast eats sugar and breathes out gas. The gas is caught in the dough.",
    "owl": "An owl turns its head almost all the way round. Its eyes cannot move, so the neck must do the work.",
    "salt": "Salt melts ice because salty water freezes at a lower temperature. Below minus twenty it fails.",
    "moss": "Moss has no roots. It drinks through its leaves and can dry out for months without dying.",
}


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C reaches the tests and what they start, also where they run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def synth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Synth:
    """Run a command in `tmp_path`: `synth("check", "recipe.yaml").code`."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["synth", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A BEIR corpus of eight documents."""
    return write_corpus(tmp_path / "corpus")


def write_corpus(folder: Path, texts: dict[str, str] | None = None) -> Path:
    """A BEIR folder that holds only documents."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"_id": k, "title": k.title(), "text": v}) for k, v in (texts or CORPUS).items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return folder


RECIPE = """\
# A small recipe.
corpus: ./corpus
seed: 7
steps:
  - use: from_corpus
  - {use: extract, per_document: 3}
  - use: exact_dedup
  - use: near_dedup
export: [dataset, pairs, beir]
"""


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path) -> Path:
    """A recipe without models over the small corpus."""
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of a megabyte, whose words are noise."""
    return tiny_gguf(tmp_path_factory.mktemp("model") / "tiny.gguf")
