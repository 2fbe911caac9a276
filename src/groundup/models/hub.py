"""Models of the Hugging Face hub: a folder with a configuration, safetensors and a tokenizer."""

from pathlib import Path

from groundup.errors import GroundupError
from groundup.home import home

__all__ = ["fetch_from_hub"]

TIMEOUT = 10.0  # seconds until the hub counts as out of reach
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # never pickled weights
UNWANTED = ["*/*", "consolidated*"]  # other formats in subfolders; a second copy of the weights


def fetch_from_hub(hub_id: str, revision: str | None = None, *, again: bool = False) -> Path:
    """Return the local folder of a hub model, fetching what is not there.

    Out of reach of the hub, a model that was fetched before is taken from ``home()/hub``.

    Args:
        hub_id: ``org/name``.
        revision: a branch, tag or commit; by default the main branch.
        again: fetch even what is there.

    Returns:
        A folder with ``config.json``, ``*.safetensors`` and the tokenizer's files.

    Raises:
        GroundupError: not a hub id, an unknown or gated model, an unknown revision, a model
            without safetensors, or a hub out of reach and the model not (wholly) fetched before.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    known_errors = (RepositoryNotFoundError, RevisionNotFoundError)  # a gated one is the former
    try:
        try:  # snapshot_download asks the same, but without a time limit
            HfApi().model_info(hub_id, revision=revision, timeout=TIMEOUT)
            reachable = True
        except known_errors:
            raise
        except (HTTPError, OfflineModeIsEnabled):
            if again:
                raise
            reachable = False
        snapshot = snapshot_download(
            hub_id,
            revision=revision,
            cache_dir=home() / "hub",
            allow_patterns=WANTED,
            ignore_patterns=UNWANTED,
            local_files_only=not reachable,
            force_download=again,
        )
    except HFValidationError as error:
        raise GroundupError(
            f"{hub_id!r} is not a hub id: expected org/name (a local path needs no fetching)"
        ) from error
    except GatedRepoError as error:
        raise GroundupError(
            f"the hub gives {hub_id} only to those who accepted its terms: accept them on its "
            "page, run `hf auth login`, and try again"
        ) from error
    except RevisionNotFoundError as error:
        raise GroundupError(
            f"{hub_id} has no revision {revision!r} on the hub: name a branch, tag or commit"
        ) from error
    except RepositoryNotFoundError as error:
        raise GroundupError(
            f"the hub knows no model {hub_id}: check the spelling, or run `hf auth login` if it "
            "is private"
        ) from error
    except (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise GroundupError(
            f"the hub could not be reached and {hub_id} is not wholly in {home() / 'hub'}: connect "
            "to the network, or use a packaged model (`groundup models`) or the path of a local "
            "model"
        ) from error
    folder = Path(snapshot)
    if not any(folder.glob("*.safetensors")):
        raise GroundupError(
            f"{hub_id} has no *.safetensors in its main folder, and pickled weights are never "
            "loaded: choose a model or revision that has them"
        )
    return folder
