"""A model of a few lines that does as it is told: for the paths that a real one takes only by accident."""

import threading

from backend.inference import GenerationReport, Sampling, Token


class ScriptedSpeaker:
    """Says its prompt's ids as words. `hold` makes it wait before each word; `raises` makes it fail."""

    context = 100

    def __init__(self):
        self.last = None
        self.prompts = []
        self.hold = threading.Event()
        self.hold.set()
        self.raises = None
        self.closed = False
        self._cancel = threading.Event()

    def stream(self, ids, sampling=None):
        sampling = sampling or Sampling()
        self._cancel.clear()
        self.prompts.append(list(ids))
        made, reason = 0, "cancelled"
        try:
            for id_ in ids:
                while not self.hold.wait(0.005):
                    if self._cancel.is_set():
                        return
                if self._cancel.is_set():
                    return
                if self.raises is not None:
                    raise self.raises
                made += 1
                yield Token(id_, f"{id_} ", -1.0)
                if made == sampling.max_tokens:
                    reason = "length"
                    return
            reason = "stop"
        finally:
            self.last = GenerationReport(
                prompt_tokens=len(ids),
                cached_tokens=0,
                completion_tokens=made,
                finish_reason=reason,
                prompt_seconds=0.5,
                decode_seconds=1.0,
                seed=sampling.seed or 0,
            )

    def cancel(self):
        self._cancel.set()

    def close(self):
        self.closed = True


class PlainWords:
    """One id a character."""

    template = ""
    bos = "<s>"
    eos = "</s>"
    vocab_size = 0x110000

    def render(self, messages, values):
        return "".join(f"{m['role'][0]}:{m['content']}\n" for m in messages)

    def encode_chat(self, messages, values):
        return self.encode(self.render(messages, values))

    def encode(self, text, *, special=False, bos=False):
        return [1] * bos + [ord(c) for c in text]

    def begin(self, text, *, special=False):
        return self.encode(text, bos=not text)

    def decode(self, ids):
        return "".join(map(chr, ids))
