"""A data set of the Hub, brought onto this computer as one Parquet file at a pinned revision."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from backend.errors import SternaError

PREFIX = "hf:"
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(/(?P<part>[\w.-]+))?")


@dataclass(frozen=True, slots=True)
class HubData:
    """Where a data set was put, and the commit that it is."""

    path: Path
    revision: str


def bring(reference: str, split: str, folder: Path) -> HubData:
    """Fetch `hf:owner/name[/part][@revision]` into `folder`; `part` is what the Hub calls a configuration.

    Raises SternaError `no_data`, `gated`, `offline`.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    text, _, revision = reference.removeprefix(PREFIX).partition("@")
    meant = _NAME.fullmatch(text)
    if meant is None:
        raise SternaError("no_data", f"{text} is no data set's name.", "Write hf:owner/name.")
    name, part = meant["name"], meant["part"]
    try:
        commit = HfApi().dataset_info(name, revision=revision or None).sha or revision
        target = folder / f"{text.replace('/', '--')}-{split}-{commit[:12]}.parquet"
        if not target.exists():
            found = load_dataset(name, part, split=split, revision=commit)
            folder.mkdir(parents=True, exist_ok=True)
            fresh = target.with_suffix(".part")
            try:
                found.to_parquet(fresh)
                fresh.replace(target)
            finally:
                with contextlib.suppress(OSError):
                    fresh.unlink()
    except (DatasetNotFoundError, HfHubHTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise SternaError(
                "gated",
                f"The data set {name} is not open to everybody.",
                "Log in with `hf auth login`.",
            ) from error
        raise SternaError(
            "no_data", f"The Hub has no data set {name} that can be read.", "Check its name."
        ) from error
    except ValueError as error:
        said = " ".join(str(error).split())
        raise SternaError(
            "no_data",
            f"{name} cannot be read: {said}",
            "Choose another split, or a part of it: hf:owner/name/PART.",
        ) from error
    except OSError as error:
        raise SternaError(
            "offline", f"The data set {name} cannot be fetched: {error}.", "Check the connection."
        ) from error
    return HubData(target, commit)
