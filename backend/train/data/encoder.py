"""From text to tokens as the model will meet it when it is chatted with.

A GGUF file is read by the tokenizer and the template of Sterna's engine, a Hugging Face folder by its own
`tokenizer.json`: the ids that are trained on are those of inference.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer as Pipeline

from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.inference.tokenizer import Tokenizer, encode_rendered
from backend.inference.tokenizer.vocabulary import TURN_ENDS
from backend.templates import Renderer, render


class Words(Protocol):
    """What is needed of a tokenizer, ours or a folder's."""

    add_bos: bool

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def eot_ids(self) -> frozenset[int]: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def control_texts(self) -> frozenset[str]: ...
    def text_of(self, id_: int | None) -> str: ...
    def part(self, text: str, *, special: bool, first: bool) -> list[int]: ...
    def decode(self, ids: Sequence[int], *, special: bool = False) -> str: ...
    def pipeline(self) -> Pipeline: ...


class FolderWords:
    """The tokenizer of a Hugging Face folder."""

    def __init__(self, path: Path, settings: dict[str, Any], ends: frozenset[int]) -> None:
        try:
            self._special = Pipeline.from_file(str(path))
            self._plain = Pipeline.from_file(str(path))
        except Exception as error:  # the library raises Exception itself
            raise SternaError(
                "unsupported_tokenizer", f"{path} cannot be read: {error}.", "Download it again."
            ) from error
        self._plain.encode_special_tokens = True
        for pipeline in (self._special, self._plain):
            pipeline.no_truncation()
            pipeline.no_padding()
        added = self._special.get_added_tokens_decoder()
        self._control = {token.content: i for i, token in added.items() if token.special}
        self._bos = self._id(settings.get("bos_token"))
        self._eos = self._id(settings.get("eos_token"))
        known = {i for text, i in self._control.items() if text in TURN_ENDS}
        self._ends = frozenset(known | ends | ({self._eos} if self._eos is not None else set()))
        begun = self._special.encode("", add_special_tokens=True).ids
        self.add_bos = self._bos is not None and begun[:1] == [self._bos]

    @property
    def bos_id(self) -> int | None:
        return self._bos

    @property
    def eos_id(self) -> int | None:
        return self._eos

    @property
    def eot_ids(self) -> frozenset[int]:
        return self._ends

    @property
    def vocab_size(self) -> int:
        return int(self._special.get_vocab_size(with_added_tokens=True))

    @property
    def control_texts(self) -> frozenset[str]:
        return frozenset(self._control)

    def text_of(self, id_: int | None) -> str:
        return "" if id_ is None else self._special.id_to_token(id_) or ""

    def part(self, text: str, *, special: bool, first: bool) -> list[int]:
        pipeline = self._special if special else self._plain
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no bytes
        return list(pipeline.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        return str(self._special.decode(list(ids), skip_special_tokens=not special))

    def pipeline(self) -> Pipeline:
        """Return the library's object, to be saved beside an adapter."""
        return self._special

    def _id(self, token: Any) -> int | None:
        text = token.get("content") if isinstance(token, dict) else token
        found = self._special.token_to_id(text) if isinstance(text, str) else None
        return found if found is None else int(found)


@dataclass
class Encoder:
    """Words and template of a base. `notes`: what a person should know of how text is made."""

    words: Words
    template: str | None
    notes: list[str] = field(default_factory=list)
    _renderer: Renderer = field(default_factory=Renderer)

    @property
    def chats(self) -> bool:
        """Whether the model has a chat template."""
        return bool(self.template)

    def conversation(
        self, messages: Sequence[dict[str, Any]], *, prompt: bool, values: dict[str, Any]
    ) -> list[int]:
        """Return the ids of a conversation; with `prompt`, up to where an answer begins.

        Raises SternaError `template_failed`.
        """
        rendered = render(
            self.template,
            messages,
            add_generation_prompt=prompt,
            bos=self.words.text_of(self.words.bos_id),
            eos=self.words.text_of(self.words.eos_id),
            control=self.words.control_texts,
            renderer=self._renderer,
            **values,
        )
        self.notes += [note for note in rendered.notes if note not in self.notes]
        return encode_rendered(self.words, rendered)

    def text(self, text: str, *, first: bool = True) -> list[int]:
        """Return the ids of plain text: nothing in it is special. BOS where the model wants it."""
        ids = self.words.part(text, special=False, first=first)
        bos = [self.words.bos_id] if first and self.words.add_bos else []
        return [*(i for i in bos if i is not None), *ids]

    def close(self) -> None:
        """End the rendering process."""
        self._renderer.close()


def encoder_for(kind: str, path: Path, template: str = "auto") -> Encoder:
    """Return the encoder of a base: a `gguf` file or a folder; `template` none: prompts are plain."""
    made = gguf_encoder(path) if kind == "gguf" else folder_encoder(path)
    if template == "none":
        made.template = None
    return made


def gguf_encoder(path: Path) -> Encoder:
    """Return the encoder of a GGUF file. Raises SternaError."""
    with open_gguf(path) as file:
        words = Tokenizer.from_gguf(file)
        template = describe(file).chat_template
    return Encoder(words, template, list(words.notes))


def folder_encoder(folder: Path) -> Encoder:
    """Return the encoder of a Hugging Face folder. Raises SternaError `unsupported_tokenizer`."""
    if not (folder / "tokenizer.json").is_file():
        raise SternaError(
            "unsupported_tokenizer",
            f"{folder} has no tokenizer.json.",
            "Save the tokenizer with a current transformers, which writes that file.",
        )
    settings = _json(folder / "tokenizer_config.json")
    generation = _json(folder / "generation_config.json").get("eos_token_id")
    ends = generation if isinstance(generation, list) else [generation]
    words = FolderWords(
        folder / "tokenizer.json", settings, frozenset(i for i in ends if isinstance(i, int))
    )
    return Encoder(words, _template(folder, settings))


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    found = settings.get("chat_template")
    if isinstance(found, list):  # several with names
        named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
        found = named.get("default") or next(iter(named.values()), None)
    return found if isinstance(found, str) and found else None


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
