"""A whole run whose writer and judge are one engine, in the run's own process; and that process killed."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

from tests.conftest import CORPUS, write_corpus
from tests.engine.conftest import SMALL, TIGHT

ASK = """\
---
about: One query.
reads: [document]
returns: {query: {type: string, least: 3, most: 60, about: a query}}
---
[user]
{{ document }}
"""
GRADE = """\
---
about: A grade.
reads: [query, document]
returns: {score: {type: integer, least: 0, most: 3, about: how well the document answers the query}}
---
[user]
{{ query }} {{ document }}
"""
RECIPE = """\
# A writer and a judge, and nothing trained.
corpus: ./corpus
seed: 7
backends:
  writer: {ENGINE, sampling: {most_tokens: 150, temperature: 1.0}}
  judge: {ENGINE, sampling: {most_tokens: 20, temperature: 0}}
steps:
  - use: from_corpus
  - {use: generate, prompt: ask, attempts: 1, per_document: 4}
  - {use: judge, prompt: grade, attempts: 1, least: 0}
export: [pairs]
"""


HOLDER = """
import json, multiprocessing, sys
from synth.backend import Message, Request
from synth.backends.vllm import VLLM

if __name__ == "__main__":
    backend = VLLM.model_validate(json.loads(sys.argv[1]))
    list(backend.complete([Request(id="1", messages=(Message("user", "hello"),))]))
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    sys.stdin.read()
"""


def test_the_engine_ends_with_a_process_that_is_killed(chat_model: Path, tmp_path: Path) -> None:
    options = {"model": str(chat_model), "dtype": "float32", "max_model_len": 512, "engine": SMALL}
    (tmp_path / "holder.py").write_text(HOLDER)
    command = [sys.executable, str(tmp_path / "holder.py"), json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        engine = os.pidfd_open(int(holder.stdout.readline()))
        holder.kill()
    assert select.select([engine], [], [], 30)[0] == [engine]
    os.close(engine)


def test_a_run_whose_writer_and_judge_share_an_engine_prints_its_rows_alone_and_asks_nothing_the_second_time(
    chat_model: Path, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus")
    (tmp_path / "ask.jinja").write_text(ASK)
    (tmp_path / "grade.jinja").write_text(GRADE)
    options = {"use": "vllm", "model": str(chat_model), "dtype": "float32", "max_model_len": 512}
    engine = json.dumps(options | {"max_num_seqs": 64, "engine": SMALL | TIGHT})[1:-1]
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("ENGINE", engine))
    first, second = run(tmp_path, "one/run"), run(tmp_path, "another/run")
    rows = first["rows"]
    assert rows["kept"] + sum(sum(why.values()) for why in rows["dropped"].values()) == 4 * len(CORPUS)
    assert rows["kept"] > 2 * len(CORPUS)
    assert first["requests"]["sent"] > 4 * len(CORPUS)
    assert second["rows"] == rows
    assert (second["requests"]["sent"], second["requests"]["from_store"]) == (0, first["requests"]["sent"])


def run(folder: Path, output: str) -> dict[str, dict[str, int]]:
    """What a run says of itself: all that it prints."""
    command = [sys.executable, "-m", "synth", "run", "recipe.yaml", "--output", output, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # what the command promises
