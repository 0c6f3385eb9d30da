"""What the README tells a newcomer to write works as it stands there."""

import json
import re
import textwrap
from pathlib import Path

from tests.conftest import Synth, write_corpus

README = Path(__file__).parent.parent / "README.md"


def written(name: str) -> str:
    """The file of this name, as the README shows it."""
    found = re.search(rf"^{re.escape(name)}\n\n((?:    .*\n)+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[1])


def test_a_recipe_a_prompt_and_a_step_of_ones_own_work(tmp_path: Path, synth: Synth) -> None:
    folder = tmp_path / "my"
    folder.mkdir()
    write_corpus(folder / "letters")
    lines = 0
    for name in ("recipe.yaml", "complaint.jinja", "short.py"):
        text = written(f"my/{name}")
        lines += sum(bool(line.strip()) for line in text.splitlines())
        (folder / name).write_text(text)
    assert lines < 20
    checked = synth("check", "my/recipe.yaml")
    assert checked.code == 0, checked.err
    assert "generate" in checked.out
    said = synth("run", "my/recipe.yaml", "--set", "backends.writer={use: scripted}", "--output", "run", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["rows"]["kept"] + told["rows"]["dropped"].get("short", {}).get("short", 0) == 8
    assert told["rows"]["kept"] > 0
