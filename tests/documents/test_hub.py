import json
import os
import subprocess
import sys

import pytest

from synth.documents.hub import Dataset, parse, stream_records
from synth.documents.record import Columns
from synth.errors import CorpusError


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("hf://me/mine", Dataset("me/mine")),
        ("hf://datasets/me/mine", Dataset("me/mine")),
        ("hf://me/mine:test", Dataset("me/mine", split="test")),
        ("hf://me/mine/de", Dataset("me/mine", config="de")),
        ("hf://me/my-data.v2/20231101.de:train", Dataset("me/my-data.v2", config="20231101.de", split="train")),
        ("hf://me/mine@v1.0/de", Dataset("me/mine", revision="v1.0", config="de")),
    ],
)
def test_a_name_says_dataset_revision_config_and_split(name, dataset):
    assert parse(name) == dataset


@pytest.mark.parametrize(
    "name", ["hf://", "hf://mine", "hf://me/mine/a/b", "hf://me/mine:a:b", "hf://me/mine?x", "hf://../x"]
)
def test_what_names_no_dataset_is_an_error(name):
    with pytest.raises(CorpusError, match="expected hf://owner/name"):
        parse(name)


@pytest.fixture
def stream(tmp_path):
    """A dataset that is really streamed, from a file."""
    from datasets import load_dataset

    rows = [{"id": n, "headline": f"T{n}", "body": f"text {n}", "n": n} for n in range(300)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_dataset("json", data_files=str(path), split="train", streaming=True, cache_dir=str(tmp_path / "cache"))


def test_the_rows_of_a_stream_are_records(stream):
    found = list(stream_records(stream, Columns(), "me/mine"))
    assert len(found) == 300
    assert (found[7].doc_id, found[7].sections[0].title, found[7].text) == ("7", "T7", "text 7")
    assert str(found[7].place) == "me/mine:8"


def test_a_column_that_a_stream_lacks_is_an_error(stream):
    with pytest.raises(CorpusError, match=r"no column 'bodi'; .*did you mean 'body'"):
        list(stream_records(stream, Columns(text="bodi"), "me/mine"))


def test_without_a_network_the_error_is_one_line_and_the_revision_unknown():
    script = (
        "from synth.documents import hub\n"
        "from synth.documents.record import Columns\n"
        "from synth.errors import CorpusError\n"
        "print(repr(hub.revision_of('hf://me/mine')))\n"
        "try: next(hub.read_hub('hf://me/mine', Columns()))\n"
        "except CorpusError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    first, second = done.stdout.splitlines()
    assert first == "''"
    assert second.startswith("hf://me/mine: cannot be read: ")
    assert second.endswith("look to the network")
