"""The header of a model on the Hub, read in ranges: what is inside, before anything is downloaded.

A few megabytes at most (a vocabulary of 150,000 tokens takes five to eight), in steps that double; the
bytes fetched so far are kept and never fetched again. Nothing in the answers is believed.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from backend.errors import SternaError
from backend.gguf.contents import GGUFContents
from backend.gguf.cursor import IncompleteHeaderError
from backend.gguf.header import Header, read_header
from backend.gguf.splits import check_parts
from backend.hub.beginning import fetch_more
from backend.hub.locate import locate
from backend.hub.repository import Repository
from backend.hub.variants import Variant
from backend.hub.wire import Wire

_FIRST = 512 << 10
_STEP = 4 << 20
MOST = 64 << 20
_STALL_S = 10.0
_AT_ONCE = 4
_MOST_PARTS = 512


def read_remote(repository: Repository, variant: Variant) -> GGUFContents:
    """Return what the headers of a variant's files say; raises SternaError.

    Kinds beside those of `open_gguf`: offline, gated_no_token, gated_licence, bad_server, too_large.
    """
    files = variant.files
    if not files[0].path.lower().endswith(".gguf"):
        raise SternaError(
            "not_gguf",
            f"{repository.repo} has no GGUF header to read.",
            "Its config.json describes it; look for a GGUF of the same model.",
        )
    if len(files) > _MOST_PARTS or variant.missing:
        raise SternaError(
            "incomplete_split",
            f"{repository.repo} does not have all parts of {variant.name}.",
            "Choose another quant.",
        )
    wire = Wire(_AT_ONCE, _STALL_S)
    try:
        first, size = _read(wire, repository, files[0].path, 0, None)
        headers, sizes = [first], [size]
        architecture = first.metadata.string("general.architecture", "")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            rest = pool.map(
                lambda part: _read(wire, repository, part[1].path, part[0], architecture),
                enumerate(files[1:], 1),
            )
            for header, bytes_ in rest:
                headers.append(header)
                sizes.append(bytes_)
    finally:
        wire.close()
    if len(headers) > 1:
        check_parts(headers)
    paths = [PurePosixPath(file.path) for file in files]
    return GGUFContents(paths, headers, sum(sizes))


def _read(
    wire: Wire, repository: Repository, path: str, shard: int, architecture: str | None
) -> tuple[Header, int]:
    """Read one file's header; return it with the size of the file."""
    source = locate(repository.repo, repository.commit, path)
    data = bytearray()
    wanted = min(_FIRST, source.size)
    while True:
        data += fetch_more(wire, source, len(data), wanted)
        try:
            header = read_header(
                bytes(data), size=source.size, shard=shard, architecture=architecture
            )
        except IncompleteHeaderError as error:
            wanted = min(source.size, max(error.needed, len(data) + min(len(data), _STEP)))
            if wanted > MOST:
                raise SternaError(
                    "too_large",
                    f"The header of {path} is longer than {MOST >> 20} MB.",
                    "That is no usual model; download it to look into it.",
                ) from error
            continue
        return header, source.size
