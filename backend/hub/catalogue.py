"""The Hub as the app uses it: one object that searches, reads, and remembers the answers."""

from backend.errors import SternaError
from backend.gguf.contents import GGUFContents
from backend.hub import failures, place
from backend.hub.client import HubClient
from backend.hub.repository import Repository, read_card, read_repository
from backend.hub.search import Query, Search
from backend.hub.variants import Variant


class Catalogue:
    """Every method may wait for the network and raises SternaError: call it from a thread."""

    def __init__(self) -> None:
        self._client = HubClient()

    def search(self, query: Query) -> Search:
        """Return the results of a search, none of them asked for yet."""
        return Search(self._client, query)

    def repository(self, repo: str, revision: str = "main") -> Repository:
        """Return a repository with its files."""
        return read_repository(self._client, repo, revision)

    def card(self, found: Repository) -> str:
        """Return a model's card as Markdown; clean it before it is shown."""
        return read_card(self._client, found)

    def header(self, found: Repository, variant: Variant) -> GGUFContents:
        """Return the header of a model that is not downloaded."""
        from backend.hub.remote_header import read_remote

        return read_remote(found, variant)

    def forget(self) -> None:
        """Ask anew from now on."""
        self._client.forget()

    def log_in(self, token: str) -> str:
        """Give the user's token to huggingface_hub's own store; return the user's name.

        Raises SternaError(bad_token) when the Hub does not know it.
        """
        import huggingface_hub

        if not token.strip():
            raise SternaError("bad_token", "That is no token.", "Tokens begin with hf_.")
        if place.offline():
            raise failures.offline_by_wish()
        try:
            api = huggingface_hub.HfApi(endpoint=place.endpoint())
            name = str(api.whoami(token=token.strip()).get("name", ""))
            huggingface_hub.login(token=token.strip(), add_to_git_credential=False)
        except Exception as error:
            response = getattr(error, "response", None)
            if getattr(response, "status_code", None) == 401 or isinstance(error, ValueError):
                raise SternaError(
                    "bad_token",
                    "The Hub does not know that token.",
                    f"Make one at {place.endpoint()}/settings/tokens (reading is enough).",
                ) from None
            raise failures.translated(error, "the account") from None
        self.forget()
        return name
