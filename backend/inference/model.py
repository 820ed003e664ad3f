"""A model ready to speak."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf import GGUFFile, ModelCard, describe, open_gguf, require_model
from backend.inference import memory, sides
from backend.inference.adapters import Adapter, Spec, check_fits, parse_specs, read_adapter
from backend.inference.graph import Graph, build
from backend.inference.hyper import Hyper, read_hyper
from backend.inference.memory import BLOCK_TOKENS, cache_positions
from backend.inference.prefix import CachedPrefix
from backend.inference.sampling import GenerationReport, Sampling, Token, greatest_needed
from backend.inference.stopping import StopStrings
from backend.inference.tokenizer import Tokenizer
from backend.inference.weights import Weights
from backend.machine import kernel_sets, physical_cores
from ext.engine import Engine

Sums = npt.NDArray[np.float64]


class Model:
    """A loaded model with its KV cache. Not thread-safe, except `cancel`."""

    def __init__(
        self, file: GGUFFile, h: Hyper, held: memory.Plan, engine: Engine, graph: Graph
    ) -> None:
        self._file = file
        self._engine = engine
        self._graph = graph
        self.hyper = h
        self.plan = held
        self.card: ModelCard = describe(file)
        self.tokenizer = Tokenizer.from_gguf(file)
        self.context = held.context
        self.vocab_size = h.vocab
        self.last: GenerationReport | None = None
        self._adapters: list[tuple[Adapter, float]] = []
        self.on_report: Callable[[GenerationReport], None] = lambda _: None
        ring = cache_positions(h.window, held.context)
        self._cached = CachedPrefix(h.window, ring if ring < held.context else 0)

    @property
    def file(self) -> GGUFFile:
        """The open file that it was loaded from."""
        return self._file

    @property
    def threads(self) -> int:
        """Threads at work."""
        return self._engine.threads

    @property
    def isa(self) -> str:
        """The kernel set in use."""
        return self._engine.isa

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that one token of a reply reads."""
        head = self._graph.head
        read = head.bytes if self._adapted_head else head.bytes_read(*self._engine.shares_read)
        return self._graph.layer_bytes + round(read) + self._engine.side_bytes

    @property
    def adapters(self) -> tuple[tuple[Path, float], ...]:
        """The adapters in use: file and scale of each."""
        return tuple((adapter.path, scale) for adapter, scale in self._adapters)

    @property
    def _adapted_head(self) -> bool:
        return any("output.weight" in adapter.pairs for adapter, _ in self._adapters)

    def set_adapters(self, adapters: Spec | Sequence[Spec] | None = None) -> None:
        """Run with these LoRA adapters (GGUF files, `FILE[:SCALE]`) and no others; the base stays loaded.

        What the cache held is forgotten. Raises SternaError, with nothing changed, for a file that is
        damaged or made for another model. Not while a stream is running.
        """
        known = {adapter.path: adapter for adapter, _ in self._adapters}
        wanted = []
        for path, scale in parse_specs(adapters):
            adapter = known.get(path) or read_adapter(path)
            check_fits(adapter, self.hyper.arch, self._graph.shapes)
            wanted.append((adapter, scale))
        sides.put(self._engine, self._graph.places, wanted)
        self._adapters = wanted
        self.forget()

    def weigh_adapters(self, scales: Sequence[float]) -> None:
        """Run the adapters at these scales, one each; 0 leaves one out.

        A change forgets what the cache held. Not while a stream is running.
        """
        wanted = [(each, s) for (each, _), s in zip(self._adapters, scales, strict=True)]
        if wanted != self._adapters:
            sides.put(self._engine, self._graph.places, [pair for pair in wanted if pair[1]])
            self._adapters = wanted
            self.forget()

    def close(self) -> None:
        """Give everything back."""
        del self._engine, self._graph
        self._file.close()

    def cancel(self) -> None:
        """Stop the generation in progress within one token; from any thread."""
        self._engine.cancel()

    def forget(self) -> None:
        """Drop the cached prefix, so that the next prompt is run from its start."""
        self._cached.keep(0)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the logits after each of `ids`, run from an empty cache: float32 [n_tokens, n_vocab]."""
        return np.concatenate(
            [np.zeros((0, self.vocab_size), np.float32), *self.logits_after(ids, 0)]
        )

    def logits_after(self, ids: Sequence[int], start: int) -> Iterator[npt.NDArray[np.float32]]:
        """Run `ids` from an empty cache; yield the logits after ids[start:] in blocks of some tokens.

        Blocks are float32 [n, n_vocab]. Ends early when cancelled.
        """
        checked = self._checked(ids)
        self._engine.resume()
        self._engine.keep = 0
        self._turn_for(len(checked))
        self._cached.keep(0)
        for first in range(0, len(checked), BLOCK_TOKENS):
            block = checked[first : first + BLOCK_TOKENS]
            skipped = min(max(start - first, 0), len(block))
            if not self._run(block, skipped):
                return
            if skipped < len(block):
                yield self._engine.read(self._graph.logits, len(block) - skipped)

    def stream(self, ids: Sequence[int], sampling: Sampling | None = None) -> Iterator[Token]:
        """Continue `ids`, token by token; `last` tells how it went once the iterator ends.

        What the cache already holds of `ids` is not run again. Ends at an end-of-turn token, a stop
        string, `max_tokens`, the end of the context, or `cancel`. Raises SternaError `context_full`
        when the prompt leaves no room for an answer.
        """
        sampling = sampling or Sampling()
        self._engine.keep = greatest_needed(sampling)
        prompt = self._checked(ids)
        if len(prompt) >= self.context:
            raise SternaError(
                "context_full",
                f"The prompt has {len(prompt)} tokens and the context holds {self.context}.",
                "Shorten the conversation or load the model with a longer context.",
            )
        self._engine.resume()
        yield from self._generate(prompt, sampling)

    # --- for an importance matrix ----------------------------------------------------------------

    def watch_inputs(self) -> None:
        """From now on add up the squares of what goes into every matrix, over the tokens that are run."""
        self._engine.watch()

    def input_squares(self) -> dict[str, tuple[Sums, Sums | None]]:
        """Return the sums by tensor name, float64 [matrices, columns].

        Beside them, where the matrices are experts, how many tokens each had: others had all.
        """
        sums: dict[str, tuple[Sums, Sums | None]] = {}
        for name, places in self._graph.places.items():
            if watched := self._engine.watched(places[0].step):
                sums[name] = watched[0], None
        for name, (step, inner) in self._graph.mixtures.items():
            watched = self._engine.watched(step)
            sums[name] = watched[inner], watched[2].reshape(-1)
        return sums

    # --- for measuring -------------------------------------------------------------------------

    def pretend(self, depth: int) -> None:
        """Fill the first `depth` positions of the cache with noise, as if so many tokens had been run."""
        self._engine.fill_caches(depth)
        self._claim(depth)

    def time_prompt(self, ids: npt.NDArray[np.int32], depth: int = 0) -> float:
        """Return the seconds that running `ids` takes after the first `depth` cached tokens."""
        prompt = np.concatenate([np.zeros(depth, np.int32), ids])
        start = time.perf_counter()
        self._engine.resume()
        self._turn_for(len(prompt))
        self._claim(depth)
        self._prefill(prompt, depth)
        return time.perf_counter() - start

    def run_tokens(self, ids: npt.NDArray[np.int32], count: int) -> None:
        """Run and sample `count` tokens one by one after what the cache holds, as in an answer."""
        state, recent = np.array([1], dtype=np.uint64), np.zeros(0, np.int32)
        self._engine.keep = greatest_needed(Sampling())
        for i in range(count):
            if not self._step(int(ids[i % len(ids)])):
                return
            self._engine.sample(self._graph.logits, 0.7, 40, 0.95, 0.05, 1.0, recent, state)

    def step_seconds(self) -> dict[str, float]:
        """Return the time spent so far by kind of step."""
        return self._engine.seconds()

    def _claim(self, depth: int) -> None:
        """Take the first `depth` positions of the cache for those of token 0."""
        self._cached.keep(0)
        self._cached.running(depth)
        self._cached.extend([0] * depth)

    # --- inside --------------------------------------------------------------------------------

    def _checked(self, ids: Sequence[int]) -> npt.NDArray[np.int32]:
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if not len(array):
            raise SternaError(
                "bad_argument", "There are no tokens to run.", "Give a prompt, or start from BOS."
            )
        if len(array) > self.context:
            raise SternaError(
                "context_full",
                f"{len(array)} tokens do not fit the context of {self.context}.",
                "Load the model with a longer context.",
            )
        if array.min() < 0 or array.max() >= self.vocab_size:
            raise SternaError(
                "bad_argument",
                f"Token ids run from 0 to {self.vocab_size - 1}.",
                "Use this model's tokenizer.",
            )
        return array.astype(np.int32)

    def _prefill(self, prompt: npt.NDArray[np.int32], keep: int) -> bool:
        """Run prompt[keep:]; False when cancelled. The last token's logits are left in the buffer."""
        self._cached.keep(keep)
        for first in range(keep, len(prompt), BLOCK_TOKENS):
            block = prompt[first : first + BLOCK_TOKENS]
            last = first + len(block) == len(prompt)
            if not self._run(block, len(block) - 1 if last else len(block)):
                return False
        return True

    def _run(self, block: npt.NDArray[np.int32], logits_from: int) -> bool:
        """Run a block of ids after what the cache holds; False when cancelled."""
        at = len(self._cached)
        self._cached.running(at + len(block))
        if not self._engine.run(block, at, logits_from):
            return False
        self._cached.extend(block.tolist())
        return True

    def _turn_for(self, tokens: int) -> None:
        """Take the RoPE angles for a text of so many tokens; the cache is lost where others made it."""
        far = 0 < self._graph.far_after < tokens
        if far != self._engine.far:
            self._engine.far = far
            self._cached.keep(0)

    def _generate(self, prompt: npt.NDArray[np.int32], s: Sampling) -> Iterator[Token]:
        self._turn_for(len(prompt))
        keep = self._cached.usable(prompt)
        seed = s.seed if s.seed is not None else int.from_bytes(os.urandom(4), "little")
        state = np.array([seed & (2**64 - 1)], dtype=np.uint64)
        after_text = not self.tokenizer.is_special(int(prompt[-1]))
        decoder, stops = self.tokenizer.stream_decoder(continued=after_text), StopStrings(s.stop)
        room = self.context - len(prompt)
        limit = room if s.max_tokens is None else min(s.max_tokens, room)
        recent = prompt[max(0, len(prompt) - s.repeat_window) :].tolist() if s.repeat_window else []
        made, reason = 0, "cancelled"
        start = time.perf_counter()
        first_at = start
        running = self._prefill(prompt, keep) if limit else True
        try:
            while running and made < limit:
                token, logprob = self._choose(s, recent, state)
                made += 1
                if made == 1:
                    first_at = time.perf_counter()
                if token in self.tokenizer.eot_ids:
                    reason = "stop"
                    yield Token(token, stops.push(decoder.flush()) + stops.flush(), logprob)
                    return
                text = stops.push(decoder.push(token))
                if stops.hit:
                    reason = "stop"
                    yield Token(token, text, logprob)
                    return
                if made == limit:
                    reason = "length"
                    yield Token(token, text + stops.push(decoder.flush()) + stops.flush(), logprob)
                    return
                yield Token(token, text, logprob)
                recent.append(token)
                running = self._step(token)
            if not limit:
                reason = "length"
        finally:
            now = time.perf_counter()
            self.last = GenerationReport(
                prompt_tokens=len(prompt),
                cached_tokens=keep,
                completion_tokens=made,
                finish_reason=reason,
                prompt_seconds=first_at - start,
                decode_seconds=now - first_at,
                seed=seed,
            )
            self.on_report(self.last)

    def _choose(
        self, s: Sampling, recent: list[int], state: npt.NDArray[np.uint64]
    ) -> tuple[int, float]:
        """Draw a token from the last logits; `state` of the random numbers moves on."""
        window = np.asarray(recent[-s.repeat_window :] if s.repeat_window else [], dtype=np.int32)
        token, logprob = self._engine.sample(
            self._graph.logits,
            s.temperature,
            s.top_k,
            s.top_p,
            s.min_p,
            s.repeat_penalty,
            window,
            state,
        )
        return token, logprob

    def _step(self, token: int) -> bool:
        one = np.array([token], dtype=np.int32)
        before = self._cached.ids
        self._turn_for(len(before) + 1)
        if len(self._cached) == len(before):
            return self._run(one, 0)
        return self._prefill(np.concatenate([np.asarray(before, dtype=np.int32), one]), 0)


def load_model(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    context: int | None = None,
    kv: str = "auto",
    adapter: Spec | Sequence[Spec] | None = None,
) -> Model:
    """Load a GGUF model.

    `threads` defaults to the physical cores; `context` to what the model was made for, at most 8192
    and no more than fits; `kv` is the type of the cache (auto, f16, f32: auto keeps a small cache in
    float32); `adapter` is one LoRA adapter or several, each `FILE[:SCALE]`. Raises SternaError with the
    way out for a file that is damaged, of an unknown kind, or too big for the free memory.
    """
    if threads is not None and not 1 <= threads <= 1024:
        raise SternaError(
            "bad_argument", f"{threads} threads make no sense.", "Choose from 1 to 1024."
        )
    kernel_sets()  # a wrong STERNA_ISA is told before the file is read
    file = open_gguf(Path(path))
    try:
        require_model(file)
        h = read_hyper(file)
        threads = threads or physical_cores()
        held = memory.plan(file, h, context, kv, threads)
        engine = Engine(threads, BLOCK_TOKENS)
        graph = build(engine, h, Weights(file, engine), held.context, held.kv)
        model = Model(file, h, held, engine, graph)
        if adapter:
            model.set_adapters(adapter)
        return model
    except MemoryError as error:
        file.close()
        raise SternaError(
            "out_of_memory",
            "The system gave no memory for this model.",
            "Close other programs or take a smaller one.",
        ) from error
    except BaseException:
        file.close()
        raise
