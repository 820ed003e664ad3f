import asyncio
import json
import subprocess
import sys

import pytest
from canned_server import CannedServer, delta, sse
from waiting import wait_until

from backend.chat.client import ChatClient
from backend.chat.wire import ChatMessage, ChatSampling, Delta, Done, TokenCount
from backend.errors import SternaError

ASK = [ChatMessage("system", "S"), ChatMessage("user", "hi")]
STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
CHAT = "/v1/chat/completions"


async def read(server, sampling=None, **options):
    async with ChatClient(server.address, model="m", **options) as client:
        return [event async for event in client.stream(ASK, sampling)]


def text(events):
    return "".join(event.text for event in events if isinstance(event, Delta))


LLAMA = sse(
    delta(None, role="assistant"),
    delta("Hel"),
    delta("lo"),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "model": "qwen"},
    {
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None},
        "timings": {"prompt_n": 4, "cache_n": 5, "predicted_n": 2, "prompt_per_second": 50.5,
                    "predicted_per_second": 7},
    },
)  # fmt: skip


async def test_a_stream_of_llama_server():
    async with CannedServer({CHAT: (200, STREAM, LLAMA)}) as server:
        sampling = ChatSampling(temperature=0.0, seed=3, stop=("x", "y"))
        events = await read(server, sampling, api_key="k")
    assert events[:2] == [Delta("Hel"), Delta("lo")]
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.finish_reason, done.model) == ("length", "qwen")
    assert (done.usage.prompt_tokens, done.usage.cached_tokens) == (9, None)
    timings = done.timings
    assert (timings.prompt_n, timings.cached_n, timings.predicted_n) == (4, 5, 2)
    assert (timings.prompt_per_second, timings.decode_per_second) == (50.5, 7.0)
    path, headers, body = server.requests[-1]
    assert path == CHAT
    assert headers["authorization"] == "bearer k"  # the canned server lowers all
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "seed": 3,
        "stop": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b": ping\n\n", b"\n\n", b"retry: 5\n\n", *sse(delta("a", "stop"))], "a"),
        ([b"event: message\r\ndata: " + json.dumps(delta("a", "stop")).encode() + b"\r\n\r\n"], "a"),
        ([bytes([byte]) for byte in b"".join(sse(delta("é🦅"), delta("z", "stop")))], "é🦅z"),
        (sse({}, {"choices": []}, {"choices": None}, {"choices": [{}]}, delta("a", "stop")), "a"),
        (sse({"choices": [{"delta": None}]}, {"choices": [5]}, delta("a", "stop")), "a"),
        (sse(delta([{"type": "text", "text": "a"}], "stop")), "a"),
        (sse(delta("a")), "a"),
        ([*sse(delta("a", "stop"))[:-1]], "a"),
        (sse({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}), "a"),
    ],
)  # fmt: skip
async def test_odd_but_honest_streams(chunks, expected):
    async with CannedServer({CHAT: (200, STREAM, chunks)}) as server:
        events = await read(server)
    assert text(events) == expected
    assert events[-1].finish_reason == "stop"


async def test_an_endpoint_that_does_not_stream():
    whole = {"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}],
             "usage": {"completion_tokens": 1}}  # fmt: skip
    async with CannedServer({CHAT: (200, JSON, [json.dumps(whole).encode()])}) as server:
        events = await read(server)
    assert text(events) == "all"
    assert events[-1].usage.completion_tokens == 1


async def test_thinking_is_kept_apart():
    chunks = sse(delta(None, reasoning_content="hm"), delta("", reasoning="m"), delta("a", "stop"))
    async with CannedServer({CHAT: (200, STREAM, chunks)}) as server:
        events = await read(server)
    assert "".join(event.reasoning for event in events[:-1]) == "hmm"
    assert text(events) == "a"


async def test_what_a_model_says_is_cleaned_for_the_terminal():
    chunks = sse(delta("a\x1b[2J\r"), delta("\nb\u202e\x9b", "stop"), {"model": "m\x1b"})
    async with CannedServer({CHAT: (200, STREAM, chunks)}) as server:
        events = await read(server)
    assert text(events) == "a␛[2J\nb��"
    assert events[-1].model == "m␛"


ERRORS = [
    (400, '{"error":{"message":"bad field","type":"invalid_request_error"}}', "bad_argument", "bad field"),
    (400, '{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}', "context_full", "exceeds"),
    (400, '{"object":"error","message":"This model\'s maximum context length is 10"}', "context_full", "maximum"),
    (404, '{"error":"model \'x\' not found"}', "not_found", "model 'x'"),
    (401, '{"detail":"Unauthorized"}', "unauthorised", "Unauthorized"),
    (429, "{}", "busy", "429"),
    (503, "Loading model", "busy", "Loading model"),
    (500, "<html>\x1b[2J", "engine_failed", "␛"),
    (502, "", "engine_failed", "502"),
    (500, "[" * 70_000, "engine_failed", "["),
    (400, '{"error":{"message":"m","code":"template_failed","hint":"h"}}', "template_failed", "m"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "says"), ERRORS)
async def test_refusals(status, body, kind, says):
    async with CannedServer({CHAT: (status, JSON, [body.encode()])}) as server:
        with pytest.raises(SternaError) as caught:
            await read(server)
    assert caught.value.kind == kind
    assert says in caught.value.message
    assert len(caught.value.message) <= 500
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("chunks", "kind"),
    [
        (sse(delta("a"), {"error": {"message": "it broke", "code": "internal", "hint": ""}}), "internal"),
        (sse(delta("a"), {"error": "it broke"}), "engine_failed"),
        ([b"data: {not json}\n\n"], "bad_reply"),
        (sse(delta("a"))[:-1], "engine_unreachable"),
        ([b"data: " + b"x" * 20_000_000], "engine_unreachable"),
    ],
)  # fmt: skip
async def test_streams_that_break(chunks, kind):
    async with CannedServer({CHAT: (200, STREAM, chunks)}) as server:
        with pytest.raises(SternaError) as caught:
            await read(server)
    assert caught.value.kind == kind


async def test_a_connection_that_is_cut():
    answers = {CHAT: (200, STREAM, sse(delta("a"), delta("b", "stop"))[:-1])}
    async with CannedServer(answers, close_early=True) as server:
        with pytest.raises(SternaError, match="broke off"):
            await read(server)


async def test_closing_hangs_up():
    answers = {CHAT: (200, STREAM, [*sse(delta("a"))[:-1], None])}
    async with CannedServer(answers) as server, ChatClient(server.address, model="m") as client:
        stream = client.stream(ASK)
        assert await anext(stream) == Delta("a")
        await stream.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_cancelling_the_reader_hangs_up():
    answers = {CHAT: (200, STREAM, [*sse(delta("a"))[:-1], None])}
    seen = []

    async def consume(client):
        async for event in client.stream(ASK):
            seen.append(event)

    async with CannedServer(answers) as server, ChatClient(server.address, model="m") as client:
        task = asyncio.create_task(consume(client))
        await wait_until(lambda: seen)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.wait_for(server.hung_up.wait(), 5)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("http://127.0.0.1:1", "engine_unreachable"),
        ("unix:/nowhere/at/all.sock", "engine_unreachable"),
        ("http://no-such-host.invalid", "engine_unreachable"),
        ("ftp://127.0.0.1", "bad_argument"),
        ("http://", "bad_argument"),
        ("", "bad_argument"),
        ("localhost:80", "bad_argument"),
        ("http://127.0.0.1:99999999", "bad_argument"),
        ("http://\ud800", "bad_argument"),
    ],
)
async def test_addresses_that_lead_nowhere(address, kind):
    async def use():
        async with ChatClient(address, model="m") as client:
            await anext(client.stream(ASK))

    with pytest.raises(SternaError) as caught:
        await use()
    assert caught.value.kind == kind


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_as_people_write_it(suffix):
    async with CannedServer({CHAT: (200, STREAM, LLAMA)}) as server:
        server.address += suffix
        assert text(await read(server)) == "Hello"


def answered(**paths):
    names = {"props": "/props", "models": "/v1/models", "ps": "/api/ps", "tokenize": "/tokenize",
             "template": "/apply-template", "own": "/v1/messages/count_tokens"}  # fmt: skip
    return {names[k]: (200, JSON, [json.dumps(v).encode()]) for k, v in paths.items()}


@pytest.mark.parametrize(
    ("answers", "model", "context"),
    [
        (answered(props={"default_generation_settings": {"n_ctx": 4096}, "chat_template": "x"},
                  models={"data": [{"id": "q.gguf"}]}), "q.gguf", 4096),
        (answered(models={"data": [{"id": "meta", "max_model_len": 8192}]}), "meta", 8192),
        (answered(models={"data": [{"id": "llama3"}, {"id": "phi"}]},
                  ps={"models": [{"context_length": 2048}]}), "llama3", 2048),
        (answered(models={"data": "?"}, props={"default_generation_settings": 5}), "", None),
        ({}, "", None),
    ],
)  # fmt: skip
async def test_what_endpoints_tell(answers, model, context):
    async with CannedServer(answers) as server, ChatClient(server.address) as client:
        props = await client.props()
        assert (props.model, props.context) == (model, context)
        before = len(server.requests)
        assert await client.props() == props
        assert len(server.requests) == before


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        (answered(own={"input_tokens": 7, "context": 64}), TokenCount(7, 64)),
        (answered(tokenize={"count": 8, "max_model_len": 99, "tokens": []}), TokenCount(8, 99)),
        (answered(template={"prompt": "abc"}, tokenize={"tokens": [1, 2, 3]},
                  props={"default_generation_settings": {"n_ctx": 512}}), TokenCount(3, 512)),
        (answered(own={"input_tokens": 7}), None),
        ({}, None),
        ({"/tokenize": (400, JSON, [b"{}"]), "/apply-template": (500, JSON, [b"{}"])}, None),
        ({"/tokenize": (200, "text/html", [b"<html>"])}, None),
    ],
)  # fmt: skip
async def test_counting(answers, count):
    async with CannedServer(answers) as server, ChatClient(server.address) as client:
        assert await client.count(ASK) == count
        assert await client.count(ASK) == count


async def test_lone_surrogates_are_sent_as_something():
    answers = {CHAT: (200, STREAM, LLAMA)}
    async with CannedServer(answers) as server, ChatClient(server.address, model="m") as client:
        async for _ in client.stream([ChatMessage("user", "a\ud800b")]):
            pass
    assert server.requests[-1][2]["messages"][0]["content"] == "a?b"


def test_importing_the_client_is_light():
    code = (
        "import sys, backend.chat.client, backend.chat.store, backend.chat.budget, backend.serve.child\n"
        "print([m for m in ('httpx2', 'numpy', 'starlette', 'uvicorn', 'backend.inference') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
