"""Models in llama.cpp's format: where the file is, whether it is one, and what it is known by.

    model_file("Qwen/Qwen3-4B-GGUF:Q4_K_M")   -> the file in the Hub's cache, downloaded where it is not there yet
    fingerprint(path)                         -> "9f0c…", from 4 MiB of it, however big it is

`owner/name` alone is its Q4_K_M, or its only file; after a colon stands another quantisation or a file's name.
"""

import hashlib
import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path

from synth.errors import BackendError

SAMPLES, SAMPLE_BYTES = 64, 1 << 16
"""A file is known by its size and so many pieces of it, spread evenly from its first byte to its last."""
MOST_HEADER = 64 << 20
"""Bytes at the beginning of a file in which its chat template stands, behind its vocabulary."""
USUAL_QUANT = "Q4_K_M"

_ON_THE_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*(:.+)?")
_PART = re.compile(r"(.*-)(\d{5})(-of-)(\d{5})(\.gguf)")
_EXPECTED = "expected a GGUF file, or owner/name of a model on the Hub"


def is_on_the_hub(model: str) -> bool:
    """True for what names a model on the Hub, and no file here.

    >>> [is_on_the_hub(model) for model in ("Qwen/Qwen3-4B-GGUF", "a/b:c.gguf", "models/tiny.gguf", "/models/tiny")]
    [True, True, False, False]
    """
    return _ON_THE_HUB.fullmatch(model) is not None and (":" in model or not model.endswith(".gguf"))


def model_file(model: str, revision: str = "") -> Path:
    """The file of a model given by its path or its name on the Hub; the first where there are several.

    Raises BackendError where it cannot be had, or is no GGUF file.
    """
    if not model:
        raise BackendError(f"`model:` is not set; {_EXPECTED}")
    file = _downloaded(model, revision) if is_on_the_hub(model) else Path(model).expanduser()
    if not file.exists():
        raise BackendError(f"{file}: no such file; {_EXPECTED}")
    try:
        with file.open("rb") as opened:
            first = opened.read(4)
    except OSError as error:
        raise BackendError(f"{file}: it cannot be read: {error.strerror}; {_EXPECTED}") from error
    if first != b"GGUF":
        raise BackendError(f"{file}: this is no GGUF file: it begins with {first!r}")
    return file


def parts_of(name: str) -> list[str]:
    """The files of a model by the name of its first.

    >>> parts_of("tiny-00001-of-00002.gguf")
    ['tiny-00001-of-00002.gguf', 'tiny-00002-of-00002.gguf']
    """
    part = _PART.fullmatch(name)
    if part is None:
        return [name]
    return [f"{part[1]}{number:05}{part[3]}{part[4]}{part[5]}" for number in range(1, int(part[4]) + 1)]


def has_template(file: Path) -> bool:
    """True where the model says how a conversation is written for it."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(b"tokenizer.chat_template", 0, MOST_HEADER) >= 0


def fingerprint(file: Path) -> str:
    """32 hex digits of a file's size and of 64 pieces of it: the whole of a file of up to 4 MiB. Raises OSError."""
    size = file.stat().st_size
    found = hashlib.blake2b(str(size).encode(), digest_size=16)
    with file.open("rb") as opened:
        for number in range(SAMPLES):
            opened.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            found.update(opened.read(SAMPLE_BYTES))
    return found.hexdigest()


def _downloaded(model: str, revision: str) -> Path:
    """The first file of a model on the Hub, and all others of it, in the Hub's cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HTTPError  # type: ignore[attr-defined]  # its client's

    repo, _, wanted = model.partition(":")
    cache, endpoint = os.environ.get("HF_HUB_CACHE"), os.environ.get("HF_ENDPOINT")
    try:
        names, reached = _names(repo, revision)
        name = wanted if wanted.endswith(".gguf") else _choice(model, names, wanted or USUAL_QUANT)
        got = [
            hf_hub_download(
                repo,
                part,
                revision=revision or None,
                cache_dir=cache,
                endpoint=endpoint,
                local_files_only=not reached,
            )
            for part in parts_of(name)
        ]
    except (EntryNotFoundError, HTTPError, OSError, ValueError) as error:
        raise BackendError(f"{model}: it cannot be had from the Hub: {_hub_says(error)}") from error
    return Path(got[0])


def _names(repo: str, revision: str) -> tuple[list[str], bool]:
    """The files of a repository, and whether the Hub told them; those in its cache where it cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]  # its client's

    try:
        told = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(repo, revision=revision or None, timeout=10)
    except HfHubHTTPError:
        raise
    except (HTTPError, OSError):
        cache = os.environ.get("HF_HUB_CACHE")
        here = Path(snapshot_download(repo, revision=revision or None, cache_dir=cache, local_files_only=True))
        return [path.relative_to(here).as_posix() for path in here.rglob("*.gguf")], False
    return [file.rfilename for file in told.siblings or ()], True


def _choice(model: str, names: Sequence[str], quant: str) -> str:
    """The first file of the one model among these that is of this quantisation, or that is the only one."""
    files = [n for n in sorted(names) if n.endswith(".gguf") and "mmproj" not in n and parts_of(n)[0] == n]
    fitting = [n for n in files if re.search(rf"(?<![a-z0-9_]){re.escape(quant.lower())}(?![a-z0-9_])", n.lower())]
    chosen = fitting or (files if ":" not in model else [])
    if len(chosen) == 1:
        return chosen[0]
    if not files:
        raise BackendError(f"{model}: it has no GGUF file; there is often another repository whose name ends in -GGUF")
    found = "several files fit" if chosen else f"no file is of {quant}"
    raise BackendError(f"{model}: {found}; name one after a colon: {', '.join(chosen or files)[:500]}")


def _hub_says(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "its owner wants to be asked; accept its terms on its page and set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such `revision:`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such model, or it wants a token (HF_TOKEN)"
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError):
        return "the Hub cannot be reached, and the model is not in its cache"
    if isinstance(error, errors.EntryNotFoundError):
        return "the repository has no such file"
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
