"""What of a prompt the KV cache already holds."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


class CachedPrefix:
    """The ids whose keys and values lie in the cache, in order.

    Layers with a sliding window keep a ring of positions: going back to an earlier one is possible while
    the window before it has not been overwritten. Such a layer's keys depend on all that came before
    through the layers below it, so what is lost cannot be made from the window alone: the prompt is
    then run from its start.
    """

    def __init__(self, window: int, ring: int) -> None:
        """`window`: positions that such a layer sees, `ring`: that it keeps; 0: no layer is one."""
        self.ids: list[int] = []
        self._window, self._ring = window, ring
        self._reach = 0  # positions below this may have been written since position 0 was

    def __len__(self) -> int:
        return len(self.ids)

    def usable(self, prompt: npt.NDArray[np.int32]) -> int:
        """Return how many ids of `prompt` need not be run; its last one always is, for its logits."""
        n = min(len(self.ids), len(prompt) - 1)
        same = np.asarray(self.ids[:n], dtype=np.int32) == prompt[:n]
        n = int(n if same.all() else np.argmin(same))
        oldest = max(n - self._window + 1, 0)  # that the next token sees
        return n if not self._ring or oldest >= self._reach - self._ring else 0

    def keep(self, count: int) -> None:
        """Forget what lies behind the first `count` ids, which are usable."""
        self.ids = self.ids[:count]
        if not count:
            self._reach = 0

    def running(self, end: int) -> None:
        """Note that positions up to `end` are being written, whether or not the run gets so far."""
        self._reach = max(self._reach, end)

    def extend(self, ids: Iterable[int]) -> None:
        """Note that these ids were run."""
        self.ids.extend(ids)
