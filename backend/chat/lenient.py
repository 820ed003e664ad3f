"""Reading what other people's servers send: a missing or odd field is None, never a failure."""

from typing import Any

from backend.chat.wire import Props, Timings, Usage

Fields = dict[str, Any]


def fields(value: object) -> Fields:
    """Return a JSON object's fields, none for anything else."""
    return value if isinstance(value, dict) else {}


def first(value: object) -> Fields:
    """Return the first object of a list."""
    return fields(value[0]) if isinstance(value, list) and value else {}


def string(value: object) -> str:
    """Return a text, also one given as a list of parts."""
    if isinstance(value, list):
        return "".join(string(fields(part).get("text")) for part in value)
    return value if isinstance(value, str) else ""


def integer(value: object) -> int | None:
    """Return a count."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return a finite measure."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 else None


def usage(value: object) -> Usage:
    """Read a `usage` object."""
    found = fields(value)
    return Usage(
        prompt_tokens=integer(found.get("prompt_tokens")),
        completion_tokens=integer(found.get("completion_tokens")),
        cached_tokens=integer(fields(found.get("prompt_tokens_details")).get("cached_tokens")),
    )


def timings(value: object) -> Timings:
    """Read a `timings` object: Sterna's, or llama-server's, which names two fields otherwise."""
    found = fields(value)

    def either(read: Any, *names: str) -> Any:
        return next((got for name in names if (got := read(found.get(name))) is not None), None)

    return Timings(
        prompt_per_second=number(found.get("prompt_per_second")),
        decode_per_second=either(number, "decode_per_second", "predicted_per_second"),
        prompt_n=integer(found.get("prompt_n")),
        cached_n=either(integer, "cached_n", "cache_n"),
        predicted_n=integer(found.get("predicted_n")),
    )


def props(own: Fields, models: Fields, loaded: Fields) -> Props:
    """Put together what `/props`, `/v1/models` and Ollama's `/api/ps` tell."""
    listed = models.get("data") if isinstance(models.get("data"), list) else []
    names = tuple(name for model in listed or [] if (name := string(fields(model).get("id"))))
    slot = fields(own.get("default_generation_settings"))
    sizes = (
        own.get("context"),
        slot.get("n_ctx"),
        first(models.get("data")).get("max_model_len"),
        first(loaded.get("models")).get("context_length"),
    )
    template = own.get("chat_template")
    return Props(
        model=string(own.get("model")) or string(own.get("model_alias")) or (names or ("",))[0],
        context=next((size for size in map(integer, sizes) if size and size > 0), None),
        has_template=bool(template) if isinstance(template, str) else None,
        chat_template=string(template),
        models=names,
    )
