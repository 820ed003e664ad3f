"""Whatever the Hub or the network answers, as one sentence of fact and what to do next."""

import socket
import ssl
from collections.abc import Iterator

from backend.errors import SternaError
from backend.hub import place

LOG_IN = "run `hf auth login` in a terminal, or press l in the Hub"


def offline_by_wish() -> SternaError:
    """Return the error of a look at the Hub while HF_HUB_OFFLINE is set."""
    return SternaError(
        "offline",
        "HF_HUB_OFFLINE is set, so the Hub is not asked.",
        "Unset it to search and download; everything on this computer works without the Hub.",
    )


def unreachable(error: BaseException) -> SternaError:
    """Return the error of a network that does not answer."""
    return SternaError(
        "offline",
        f"The Hub at {place.endpoint()} cannot be reached: {reason(error)}.",
        "Check the connection and any proxy; everything on this computer works without the Hub.",
    )


def reason(error: BaseException) -> str:
    """Say in a few words what a network error is at the bottom."""
    words = ""
    for at in _causes(error):
        if isinstance(at, socket.gaierror):
            return "its name is not known (no network, or no name server)"
        if isinstance(at, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({at.verify_message})"
        if isinstance(at, ConnectionRefusedError) or "refused" in str(at):
            return "the connection is refused"
        if isinstance(at, TimeoutError) or "timed out" in str(at).lower():
            return "it does not answer in time"
        if isinstance(at, ConnectionResetError | BrokenPipeError):
            return "the connection broke off"
        words = str(at) or words
    return words.splitlines()[0][:200] if words else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what is behind it."""
    at: object = error
    for _ in range(10):
        if not isinstance(at, BaseException):
            return
        yield at
        at = getattr(at, "reason", None) or at.__cause__ or at.__context__


def translated(error: Exception, about: str) -> SternaError:
    """Return what a failure of huggingface_hub means; `about` is the repository in question."""
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, SternaError):
        return error
    if isinstance(error, errors.OfflineModeIsEnabled):
        return offline_by_wish()
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, about)
    if isinstance(error, httpx2.HTTPError | OSError):
        return unreachable(error)
    if isinstance(error, errors.HFValidationError):
        return SternaError(
            "bad_argument", f"{about!r} is no name of a model on the Hub.", "Names are owner/model."
        )
    return unexpected(f"{type(error).__name__}: {error}")


def unexpected(what: str) -> SternaError:
    """Return the error of an answer that no Hub would give."""
    return SternaError(
        "bad_answer",
        f"{place.endpoint()} did not answer as a Hub does: {what}.",
        "Is there a login page or a proxy in between, or is HF_ENDPOINT another kind of server?",
    )


def gated(about: str, *, token: bool) -> SternaError:
    """Return the error of a model behind a licence: two cases with two ways out."""
    url = place.page(about)
    if token:
        return SternaError(
            "gated_licence",
            f"{about} is gated, and the owner of your token has not been admitted.",
            f"Accept its licence at {url}, then try again.",
        )
    return SternaError(
        "gated_no_token",
        f"{about} is gated, and there is no token on this computer.",
        f"Accept its licence at {url}, make a token at {place.endpoint()}/settings/tokens, and {LOG_IN}.",
    )


def _refused(error: Exception, about: str) -> SternaError:
    from huggingface_hub import errors, get_token

    response = error.response  # type: ignore[attr-defined]
    status = response.status_code
    message = response.headers.get("X-Error-Message", "")
    has_token = bool(get_token())
    if isinstance(error, errors.GatedRepoError):  # a subclass of RepositoryNotFoundError: first
        return gated(about, token=status == 403 or has_token)
    if status == 401 and has_token and ("credentials" in message or "token" in message.lower()):
        return SternaError(
            "bad_token",
            "The Hub does not accept the token on this computer.",
            f"Make a new one at {place.endpoint()}/settings/tokens, and {LOG_IN}.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return SternaError(
            "not_found",
            f"{about} has no such revision.",
            "It may have been rewritten; leave the revision out.",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return SternaError(
            "not_found",
            f"{about} has no such file any more.",
            f"`sterna show {about}` lists its files.",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        private = "" if has_token else f" If it is private, {LOG_IN}."
        return SternaError(
            "not_found",
            f"The Hub has no model {about}, or it is private.",
            f"`sterna search` finds names.{private}",
        )
    if status == 429:
        return SternaError(
            "rate_limited",
            "The Hub has had too many questions from this address.",
            "Wait a few minutes; with a token it allows more.",
        )
    if status >= 500:
        return SternaError(
            "hub_failed", f"The Hub failed (HTTP {status}).", "Try again in a moment."
        )
    if status == 403:
        return SternaError(
            "forbidden",
            f"The Hub does not allow this with {about}: {message or 'HTTP 403'}.",
            f"See {place.page(about)}.",
        )
    return unexpected(f"HTTP {status} {message}".rstrip())
