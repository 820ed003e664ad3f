"""A model split into several files: NAME-00001-of-00003.gguf and its siblings.

Sibling names are built from this file's own name, never from its contents, so no file can make us
open another one elsewhere.
"""

import re
from pathlib import Path

from backend.errors import SternaError
from backend.gguf.cursor import corrupt
from backend.gguf.header import Header

_MAX_PARTS = 512
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def find_parts(path: Path, header: Header) -> list[Path]:
    """Return the paths of all parts in order, `path` among them; raises SternaError.

    A file that does not say that it is split is one part, whatever its name is.
    """
    if "split.count" not in header.metadata:
        return [path]
    count = header.metadata.integer("split.count")
    number = header.metadata.integer("split.no", 0)
    if count is None or number is None or not 0 <= number < max(count, 1):
        raise corrupt("it does not say rightly which part of a split model it is")
    if count > _MAX_PARTS:
        raise corrupt(f"it claims to be one of {count} parts; a model has at most {_MAX_PARTS}")
    match = _PART.fullmatch(path.name)
    said = (int(match["number"]), int(match["count"])) if match else (1, 1)
    if said != (number + 1, max(count, 1)):
        raise SternaError(
            "corrupt",
            f"This is part {number + 1} of {count} of a split model, and the file's name says otherwise.",
            f"Give the parts their names back, such as NAME-{number + 1:05d}-of-{count:05d}.gguf.",
        )
    if match is None or count <= 1:
        return [path]
    parts = [
        path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf") for i in range(1, count + 1)
    ]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        others = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise SternaError(
            "incomplete_split",
            f"Of the {count} parts of this model, {missing[0]}{others} missing.",
            "Download the missing parts into the same folder.",
        )
    return parts


def check_parts(headers: list[Header]) -> None:
    """Check that the parts belong together; raises SternaError."""
    for number, header in enumerate(headers):
        if (
            header.metadata.integer("split.count") != len(headers)
            or header.metadata.integer("split.no", 0) != number
        ):
            raise corrupt(f"its part {number + 1} belongs to another model")
    tensors = sum(len(header.tensors) for header in headers)
    total = headers[0].metadata.integer("split.tensors.count", tensors)
    if total != tensors:
        raise corrupt(f"its parts have {tensors} tensors together and {total} are announced")
