"""The child: reads requests as JSON lines, renders them, answers as JSON lines.

Run as `python -m backend.templates.child`. It imports little, holds no secrets, and lives under limits
of memory and processor time; the system kills it when an answer takes too much.
"""

import json
import math
import resource
import sys
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 512 << 20  # bytes of address space
MAX_OUTPUT = 4 << 20  # characters beyond the messages themselves


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks the model's words for training; here it shows them."""

    tags = {"generation"}  # noqa: RUF012 - the name and type are Jinja's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Parse the block to its body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _to_json(
    value: object, ensure_ascii: bool = False, indent: int | None = None, **rest: Any
) -> str:
    allowed = {k: v for k, v in rest.items() if k in ("separators", "sort_keys")}
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **allowed)


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = _to_json
    env.globals["raise_exception"] = _raise
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Render one request: {"text"} or {"error"}."""
    try:
        return _render(request)
    except TypeError as error:
        if "NoneType" not in str(error):
            return {"error": f"TypeError: {error}"[:500]}
        # Some templates loop over tools without asking whether there are any: leave them undefined.
        values = {k: v for k, v in request["values"].items() if v is not None}
        return (
            answer({**request, "values": values})
            if values != request["values"]
            else {"error": str(error)}
        )
    except MemoryError:
        return {"error": "it needs too much memory"}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:  # a template can raise anything at all
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def _render(request: dict[str, Any]) -> dict[str, str]:
    template = _environment().from_string(request["template"])
    limit = MAX_OUTPUT + sum(len(json.dumps(m)) for m in request["messages"])
    pieces, size = [], 0
    for piece in template.generate(messages=request["messages"], **request["values"]):
        size += len(piece)
        if size > limit:
            return {"error": "it writes without end"}
        pieces.append(piece)
    return {"text": "".join(pieces)}


def _allow(seconds: float) -> None:
    """Let this process have that much more processor time; the system ends it when that is spent.

    Processor time and no clock: on a busy computer a harmless template may wait for seconds.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime + seconds)  # the limit is in whole seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _allow(request["seconds"])
        reply = json.dumps(answer(request))
        sys.stdout.write(reply + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
