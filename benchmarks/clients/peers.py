"""Who is measured, and where each of them is installed: the peers in environments of their own.

They lie in `$SYNTH_BENCH`, or else in `~/.cache/synth-bench`, are made by the first run out of `requirements-*.txt`
(exact pins of everything), and stay. A peer that cannot be installed is a line in the table that says why.
"""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = Path(os.environ.get("SYNTH_BENCH") or Path.home() / ".cache" / "synth-bench")
RECIPE = """\
# One query for each document: what `synth run` is measured by.
corpus: {corpus}
seed: 7
backends:
  writer: {{use: openai, model: bench, base_url: {url}, most_concurrent: {concurrent}}}
steps:
  - {{use: from_corpus, chunk: false}}
  - {{use: generate, prompt: grounded/question}}
export: [dataset]
"""
QUIET = {
    "OPENAI_API_KEY": "bench",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "false",
    "NEMO_TELEMETRY_ENABLED": "false",
}
"""Nothing calls home; nobody measures a proxy."""


class Unavailable(Exception):
    """A client cannot be measured here; says why."""


@dataclass(frozen=True, slots=True)
class Client:
    """One line of the table: a script and the words it gets beside the usual, or synth itself, which has no script."""

    name: str
    package: str
    script: str = ""
    words: tuple[str, ...] = ()
    environment: str = ""
    note: str = ""

    def python(self) -> Path:
        """The interpreter it runs under, installed where it is not yet. Raises Unavailable."""
        return environment(self.environment) if self.environment else Path(sys.executable)

    def command(self, corpus: Path, url: str, concurrent: int, folder: Path) -> list[str]:
        """How it is started. Raises Unavailable."""
        if self.script:
            return [
                str(self.python()), str(HERE / self.script), str(corpus), url, str(concurrent), str(folder), *self.words
            ]  # fmt: skip
        (folder / "bench.yaml").write_text(RECIPE.format(corpus=corpus, url=url, concurrent=concurrent))
        return [
            str(self.python()),
            "-m",
            "synth",
            "run",
            "bench.yaml",
            "--output",
            "outputs/run",
            "--json",
            *self.words,
        ]

    def version(self) -> str:
        """The version of what is measured."""
        code = f"from importlib.metadata import version; print(version({self.package!r}))"
        done = subprocess.run([str(self.python()), "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip()


BARE = Client("bare aiohttp", "aiohttp", "bare_aiohttp.py", note="the floor: nothing kept")
SYNTH = Client("synth run", "synth-embed", note="render, send, parse, validate, store, write")
CLIENTS = (
    BARE,
    Client("openai post (aiohttp)", "openai", "openai_client.py", ("post-aiohttp",)),
    Client("openai create (aiohttp)", "openai", "openai_client.py", ("create-aiohttp",)),
    Client("openai create", "openai", "openai_client.py", ("create",)),
    SYNTH,
    Client("Curator", "bespokelabs-curator", "peer_curator.py", (), "curator", "plain text"),
    Client("Data Designer", "data-designer", "peer_data_designer.py", (), "data-designer", "plain text"),
    Client("distilabel", "distilabel", "peer_distilabel.py", (), "distilabel", "plain text"),
)


def environment(name: str) -> Path:
    """The interpreter of a peer's environment, which is made first where it is missing or of other requirements."""
    folder, wanted = ENVIRONMENTS / name, (HERE / f"requirements-{name}.txt").read_text()
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"installing {name} into {folder} …", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    options = ["--quiet", "--disable-pip-version-check", "--requirement"]
    command = [str(python), "-m", "pip", "install", *options, str(HERE / f"requirements-{name}.txt")]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        said = installed.stderr.strip().splitlines() or ["pip failed"]
        raise Unavailable(f"not installed: {said[-1][:200]}")
    done.write_text(wanted)
    return python
