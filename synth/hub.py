"""Put a dataset with its card, or a model, on the Hugging Face Hub.

    push(Path("outputs/extract-2b7c9d10"), "me/my-dataset")   ->  "https://huggingface.co/datasets/me/my-dataset"

The token is the one that `hf auth login` stored or HF_TOKEN holds; it is never read from a recipe nor shown.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from synth.card import with_evaluation
from synth.errors import CorpusError, OutputError
from synth.scores import Evaluation
from synth.store import read_json

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

What = Literal["dataset", "model"]


def push(run_folder: Path, repo: str, *, private: bool = True, what: What = "dataset") -> str:
    """Upload `dataset/` or `model/` of a run in one commit; the repo is made if it is not there. Returns its address.

    The dataset's card gets the scores of `evaluation.json`, where there is one. Raises CorpusError without the folder,
    OutputError without a token or a network, for a name that cannot be, and for what the Hub refuses.
    """
    from huggingface_hub import HfApi, get_token

    folder = run_folder / what
    if not any(path.is_file() for path in folder.rglob("*")):
        raise CorpusError(f"{folder}: no {what} to push; run the recipe first" + _MAKES[what])
    if get_token() is None:
        raise OutputError("push: no Hugging Face token is known; set HF_TOKEN or run `hf auth login` first")
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    with _told(repo):
        url = api.create_repo(repo, repo_type=what, private=private, exist_ok=True)
        api.create_commit(
            url.repo_id,
            _operations(run_folder, folder),
            commit_message=f"Add the {what} of {run_folder.resolve().name}",
            repo_type=what,
        )
    return str(url)


_MAKES = {"dataset": ", with `export: [dataset]`", "model": ", with `train:` in it"}


def _operations(run_folder: Path, folder: Path) -> "list[CommitOperationAdd]":
    """A file each, in the order of their names; hidden ones stay here."""
    from huggingface_hub import CommitOperationAdd

    found = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    card = _card(run_folder) if folder.name == "dataset" else None
    return [
        CommitOperationAdd(path.as_posix(), card if card and path.as_posix() == "README.md" else folder / path)
        for path in files
    ]


def _card(run_folder: Path) -> bytes | None:
    """The dataset's card with the scores of the run; None where there is no card or no score."""
    card, told = run_folder / "dataset" / "README.md", read_json(run_folder / "evaluation.json")
    if told is None or not card.is_file():
        return None
    return with_evaluation(card.read_text(encoding="utf-8"), Evaluation.from_json(told)).encode()


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """Turn what the Hub or the network refuses into an OutputError."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # httpx's or httpx2's HTTPError, whichever the installed version stands on; the type of a base is just `type`
    network_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except HFValidationError as error:
        raise OutputError(
            f"push: {repo!r} cannot be a repo's name; expected owner/name, of letters, digits, -_."
        ) from error
    except HfHubHTTPError as error:
        status, said = error.response.status_code, " ".join((error.server_message or str(error)).split())[:200]
        raise OutputError(f"push: the Hub refused {repo} ({status}): {said}{_CURES.get(status, '')}") from error
    except (network_error, ConnectionError) as error:
        kind = type(error).__name__
        raise OutputError(f"push: the Hub cannot be reached ({kind}); check the network and push again") from error


_CURES = {
    401: "; the token is not valid: make one at huggingface.co/settings/tokens",
    403: "; the token may not write there: use one with write access, or your own name as owner",
}
