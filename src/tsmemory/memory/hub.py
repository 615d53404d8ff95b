"""Putting a forecaster on the Hugging Face hub."""

from pathlib import Path
from typing import Any

from tsmemory.backbones.weights import hub_is_reachable
from tsmemory.memory.errors import ForecasterError


def push_folder(
    folder: Path, repo_id: str, *, private: bool | None, token: str | None, message: str
) -> str:
    """Upload a forecaster's folder.

    Args:
        folder: What ``save_pretrained`` wrote.
        repo_id: ``owner/name``; made if it does not exist.
        private: Whether a new repository is private; ``None`` is the owner's default.
        token: Access token; ``None`` takes the one that ``hf auth login`` has kept.
        message: Of the commit.

    Returns:
        Address of the commit.

    Raises:
        ForecasterError: No hub id, no network, or the hub refuses.
    """
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/")):
        raise ForecasterError(f"{repo_id!r} is no hub id; give owner/name")
    if not hub_is_reachable():
        raise ForecasterError(
            f"the forecaster cannot be pushed to {repo_id!r}: the hub cannot be reached. On a "
            f"machine with network run `hf upload {repo_id} <the folder of save_pretrained>`"
        )
    return str(_upload(folder, repo_id, private, token, message).commit_url)


def _upload(folder: Path, repo_id: str, private: bool | None, token: str | None, text: str) -> Any:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=text)
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ForecasterError(
            f"the forecaster could not be pushed to {repo_id!r}: {error} (log in with `hf auth "
            "login`, or give token=; save_pretrained writes the same files to a folder)"
        ) from error
