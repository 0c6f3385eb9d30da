"""What is installed from a wheel is what stands in the checkout: filters, prompts and recipes inside the package."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WANTED = {
    "synth/cli.py",
    "synth/filters/near_dedup.py",
    "synth/prompts/grounded/question.jinja",
    "synth/recipes/extract.yaml",
    "synth/recipes/quickstart/recipe.yaml",
    "synth/recipes/quickstart/questions/qrels/test.tsv",
}


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path)) as wheel:
        names = set(wheel.namelist())
    assert names >= WANTED
    assert {name.split("/")[0] for name in names} <= {"synth", f"synth_embed-{version()}.dist-info"}
    assert not [name for name in names if "__pycache__" in name or "outputs" in name]


@pytest.mark.slow
def test_a_wheel_from_the_sdist_is_the_same(tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as sdist:
        sdist.extraction_filter = getattr(tarfile, "data_filter", None)  # not in the first releases of Python 3.11
        sdist.extractall(tmp_path)
    again = build(tmp_path / f"synth_embed-{version()}", "wheel", tmp_path / "again")
    first = build(ROOT, "wheel", tmp_path / "first")
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(again) as two:
        assert {i.filename: i.CRC for i in one.infolist() if "dist-info" not in i.filename} == {
            i.filename: i.CRC for i in two.infolist() if "dist-info" not in i.filename
        }


@pytest.mark.slow
def test_an_installed_wheel_runs_from_another_folder_without_the_train_extra(tmp_path: Path) -> None:
    wheel = build(ROOT, "wheel", tmp_path / "dist")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    empty = tmp_path / "elsewhere"
    (empty / "docs").mkdir(parents=True)
    for number in range(30):
        (empty / "docs" / f"{number}.txt").write_text(
            f"Page {number} tells of topic {number * 7}. It says much more of it."
        )
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def synth(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [str(tmp_path / "venv" / "bin" / "synth"), *words]
        return subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, check=False)

    assert synth("list").returncode == 0
    bare = ["--set", "train=null", "--set", "evaluate=[]"]
    done = synth("run", "extract", "--set", f"corpus={empty / 'docs'}", *bare)
    assert done.returncode == 0, done.stderr
    assert list(empty.glob("outputs/extract-*/dataset/retrieval/train.parquet"))
    refused = synth("run", "extract", "--set", f"corpus={empty / 'docs'}")
    assert refused.returncode == 2
    assert "pip install 'synth-embed[train]'" in refused.stderr


def version() -> str:
    from synth import __version__

    return __version__
