"""`sterna show MODEL`: what is inside a model file."""

from argparse import ArgumentParser, Namespace

from backend import quants
from backend.gguf import GGUFFile, ModelCard, describe, open_gguf
from backend.library import resolve
from backend.units import human_bytes, human_count
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take the model."""
    parser.add_argument("model", help="a path, a name from `sterna ls`, or owner/repo[:QUANT]")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--template", action="store_true", help="print the chat template")


def _data(file: GGUFFile, card: ModelCard) -> dict[str, object]:
    return {
        "name": card.name,
        "path": str(file.path),
        "arch": card.arch,
        "params": card.params,
        "context": card.context,
        "quant": card.quant,
        "bytes": card.bytes,
        "bits_per_weight": card.bits_per_weight,
        "layers": card.layers,
        "embedding": card.embedding,
        "heads": card.heads,
        "kv_heads": card.kv_heads,
        "vocab": card.vocab,
        "tokenizer": card.tokenizer,
        "license": card.license,
        "description": card.description,
        "chat_template": card.chat_template,
        "tensors": [
            {"name": t.name, "type": t.type_name, "shape": list(t.shape), "bytes": t.nbytes}
            for t in file.tensors.values()
        ],
    }


def _text(file: GGUFFile, card: ModelCard, args: Namespace) -> str:
    known = quants.QUANTS.get(card.quant)
    rows = [
        ["name", card.name],
        ["file", str(file.path)],
        ["architecture", card.arch or "–"],
        ["parameters", human_count(card.params)],
        ["quant", f"{card.quant}: {known.best_for}; loss {known.loss}" if known else card.quant],
        ["size", f"{human_bytes(card.bytes)}, {card.bits_per_weight:.2f} bits a weight"],
        ["context", str(card.context or "–")],
        ["layers", str(card.layers or "–")],
        ["vocabulary", f"{card.vocab or '–'} ({card.tokenizer or 'no tokenizer'})"],
        ["licence", card.license or "not said"],
        ["chat template", "yes" if card.chat_template else "no"],
    ]
    if card.description:
        rows.append(["description", card.description])
    parts = [output.table(rows)]
    if args.template:
        parts.append(card.chat_template or "no chat template")
    if args.tensors:
        listed = [
            [
                t.name,
                t.type_name + ("" if t.supported else " (unknown)"),
                "×".join(map(str, t.shape)),
                human_bytes(t.nbytes),
            ]
            for t in file.tensors.values()
        ]
        parts.append(
            output.table([["TENSOR", "TYPE", "SHAPE", "SIZE"], *listed], right=frozenset((3,)))
        )
    return "\n\n".join(parts)


def run(args: Namespace) -> int:
    """Print."""
    with open_gguf(resolve(args.model)) as file:
        card = describe(file)
        output.emit(args, _data(file, card), _text(file, card, args))
    return 0
