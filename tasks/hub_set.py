"""The files of a hub data set's split, from the hub or from its cache on this host (HF_HOME)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tuneyard.data_kinds import kind_of
from tuneyard.errors import BadInput

OTHER_SPLITS = r"(?<![a-z])(train|training|test|testing|validation|valid|dev|eval)(?![a-z])"


def hub_files(set_id: str, split: str) -> list[Path]:
    """The split's files on this host, in name order.

    Raises:
        BadInput: there is no such data set or split, it cannot be had, or its files are of several makes.
    """
    folder, names = _listed(set_id)
    chosen = split_files(set_id, names, split)
    if folder is not None:
        return [folder / name for name in chosen]
    return [_downloaded(set_id, name) for name in chosen]


def split_files(set_id: str, names: Sequence[str], split: str) -> list[str]:
    """Those of a repository's files that hold the split: its name is a word of theirs.

    A repository whose only data file is named for no split holds `train`. Files in several folders or of several
    endings are several sets, and nobody said which.
    """
    data = sorted(name for name in names if kind_of(name) not in (None, "text") or name.endswith(".txt"))
    word = re.compile(rf"(?<![A-Za-z]){re.escape(split)}(?![A-Za-z])")
    chosen = [name for name in data if word.search(name)]
    if not chosen and split == "train":
        chosen = [name for name in data if not re.search(OTHER_SPLITS, name)]
        chosen = chosen if len(chosen) == 1 else []
    makes = {(str(PurePosixPath(name).parent), PurePosixPath(name).suffix) for name in chosen}
    if len(makes) == 1:
        return chosen
    problem = f"several sets of files are its {split!r}" if chosen else f"no data file in it is its {split!r}"
    shown = ", ".join(data[:8]) + (", …" if len(data) > 8 else "")
    raise BadInput(
        f"{problem}; name one file as hf://datasets/{set_id}/FILE, of: {shown or 'none'}", file=set_id
    )


def _listed(set_id: str) -> tuple[Path | None, list[str]]:
    """(None, the names on the hub), or (the cache's folder, the names in it) where the hub cannot be reached."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        siblings = HfApi().dataset_info(set_id, timeout=20).siblings or []
        return None, [sibling.rfilename for sibling in siblings]
    except GatedRepoError:
        problem = "the hub wants its terms accepted first, and HF_TOKEN set on this host"
    except RepositoryNotFoundError:
        problem = "there is no such file here, and the hub has no such data set, or HF_TOKEN does not open it"
    except (_network_error(), OSError):
        try:
            folder = Path(snapshot_download(set_id, repo_type="dataset", local_files_only=True))
            return folder, [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        except LocalEntryNotFoundError:
            problem = (
                "there is no such file here, the hub cannot be reached (or HF_HUB_OFFLINE is set), and its cache on "
                "this host does not have the data set. Give a local file or a URL instead"
            )
    raise BadInput(problem, file=set_id)


def _downloaded(set_id: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(hf_hub_download(set_id, name, repo_type="dataset"))
    except (_network_error(), OSError) as error:
        raise BadInput(f"{name} could not be downloaded from the hub: {error}", file=set_id) from None


def _network_error() -> type[Exception]:
    """What the hub's client raises where no answer came: its HTTP library's, whichever that is."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__mro__[1]
