"""Real engines on the CPU, each started once, and tiny models for them. `run.sh` makes the venv they need.

Every test of this folder bears the mark `engine`. A session in which none of them passed has failed: see run.sh.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synth.backends.vllm import VLLM
from tests.engine import tiny_models

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
}
"""No process for a single worker, no spinning threads, no compiling."""

SMALL: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": 64 << 20}
TIGHT = {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}
"""Noise would fill a schema's gaps with spaces."""


HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder. vLLM and what it brings may warn, ours may not."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.engine)
            item.add_marker(pytest.mark.filterwarnings("error:::synth"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A session that was to run these tests and skipped one, or saw none pass, has failed."""
    session = terminalreporter._session
    meant = any(item.path.is_relative_to(HERE) for item in session.items)
    said = terminalreporter.stats
    if meant and not config.option.collectonly and (said.get("skipped") or not said.get("passed")):
        terminalreporter.write_line("a test of the real engine was skipped, or none passed", red=True)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What vLLM and its children are told, and where what they say is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("logs")))
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Path:
    return tiny_models.chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="session")
def engine(chat_model: Path) -> Iterator[VLLM]:
    """A chat model in this process."""
    backend = VLLM(
        model=str(chat_model),
        dtype="float32",
        max_model_len=tiny_models.CONTEXT,
        max_num_seqs=64,
        engine=SMALL | TIGHT,
    )
    yield backend
    backend.close()
