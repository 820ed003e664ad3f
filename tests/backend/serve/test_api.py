"""The HTTP interface over a scripted model: shapes, refusals, the queue, failures."""

import asyncio
import json
import logging

import httpx2
import pytest
from speakers import PlainWords, ScriptedSpeaker
from waiting import wait_until

from backend.errors import SternaError
from backend.inference import Sampling
from backend.serve import app, speaking
from backend.serve.app import Api, Served, build
from backend.serve.worker import Piece


class Serving:
    def __init__(self, **options):
        self.speaker = ScriptedSpeaker()
        self.api = Api(Served("scripted", self.speaker, PlainWords(), {"quant": "none"}))
        transport = httpx2.ASGITransport(build(self.api, **options))
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")

    async def chat(self, content="ab", **fields):
        body = {"messages": [{"role": "user", "content": content}], **fields}
        return await self.http.post("/v1/chat/completions", json=body)


@pytest.fixture
def serving():
    serving = Serving()
    yield serving
    serving.speaker.hold.set()
    serving.api.close()


def events(response):
    lines = [line for line in response.text.split("\n\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


WORDS = "117 58 97 98 10 "  # "u:ab\n", one id a character


async def test_a_reply_in_one_piece(serving):
    reply = (await serving.chat(seed=7)).json()
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "scripted"
    assert reply["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": WORDS},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert reply["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    timings = reply["timings"]
    assert (timings["prompt_n"], timings["cached_n"], timings["predicted_n"]) == (5, 0, 5)
    assert (timings["prompt_per_second"], timings["decode_per_second"]) == (10.0, 4.0)
    assert timings["seed"] == 7


@pytest.mark.parametrize("with_usage", [False, True])
async def test_a_streamed_reply(serving, with_usage):
    response = await serving.chat(stream=True, stream_options={"include_usage": with_usage})
    assert response.headers["content-type"].startswith("text/event-stream")
    first, *rest = events(response)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    if with_usage:
        last = rest.pop()
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 10
    closing = rest.pop()
    assert closing["choices"][0]["finish_reason"] == "stop"
    assert closing["timings"]["predicted_n"] == 5
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in rest) == WORDS
    assert {chunk["id"] for chunk in rest} == {first["id"]}
    assert {chunk["object"] for chunk in rest} == {"chat.completion.chunk"}


async def test_completions(serving):
    reply = (await serving.http.post("/v1/completions", json={"prompt": "ab"})).json()
    assert reply["object"] == "text_completion"
    assert reply["choices"][0]["text"] == "97 98 "
    ids = {"prompt": [5, 6, 7], "stream": True, "max_tokens": 2}
    chunks = events(await serving.http.post("/v1/completions", json=ids))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "5 6 "
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert serving.speaker.prompts == [[97, 98], [5, 6, 7]]
    empty = (await serving.http.post("/v1/completions", json={"prompt": ""})).json()
    assert empty["choices"][0]["text"] == "1 "


async def test_what_it_tells_of_itself(serving):
    assert (await serving.http.get("/health")).json() == {"status": "ok", "requests": 0}
    assert (await serving.http.get("/v1/models")).json()["data"][0]["id"] == "scripted"
    props = (await serving.http.get("/props")).json()
    assert (props["model"], props["context"], props["quant"]) == ("scripted", 100, "none")


async def test_counting_and_tokens(serving):
    messages = {"messages": [{"role": "system", "content": [{"type": "text", "text": "hé"}]}]}
    counted = await serving.http.post("/v1/messages/count_tokens", json=messages)
    assert counted.json() == {"input_tokens": 5, "context": 100}
    shown = await serving.http.post("/apply-template", json=messages)
    assert shown.json() == {"prompt": "s:hé\n"}
    tokens = await serving.http.post("/tokenize", json={"content": "hé"})
    assert tokens.json() == {"tokens": [104, 233], "count": 2}
    text = await serving.http.post("/detokenize", json={"tokens": [104, 233]})
    assert text.json() == {"content": "hé"}


def body(**fields):
    return json.dumps({"messages": [{"role": "user", "content": "secret words"}], **fields})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "array"),
        ('{"messages":' + "[" * 100_000, "$.messages"),
        ('{"messages":[{"role":"user","content":"\\ud800"}]}', "not valid JSON"),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', "not valid JSON"),
        ("null", "object"),
        ("{}", "messages"),
        ('{"messages": []}', "length >= 1"),
        ('{"messages": "hi"}', "$.messages"),
        ('{"messages": [{"role": "wizard", "content": ""}]}', "wizard"),
        ('{"messages": [{"role": "user", "content": 5}]}', "$.messages[0].content"),
        ('{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "image_url"),
        (body(temperature=0).replace("0}", "NaN}"), "not valid JSON"),
        (body(temperature=0).replace("0}", "1e999}"), "$.temperature"),
        (body(temperature=-1), "$.temperature"),
        (body(temperature="hot"), "$.temperature"),
        (body(temperature=True), "$.temperature"),
        (body(top_p=1.5), "$.top_p"),
        (body(top_k=-1), "$.top_k"),
        (body(top_k=2**40), "$.top_k"),
        (body(min_p=2), "$.min_p"),
        (body(repeat_penalty=0), "$.repeat_penalty"),
        (body(seed=2**64), "$.seed"),
        (body(seed=1.5), "$.seed"),
        (body(max_tokens=-5), "$.max_tokens"),
        (body(max_tokens="many"), "$.max_tokens"),
        (body(stop=[""]), "$.stop"),
        (body(stop=["x"] * 17), "$.stop"),
        (body(stop=5), "$.stop"),
        (body(stream="yes"), "$.stream"),
        (body(n=2), "n is not supported"),
        (body(tools=[{"type": "function"}]), "tools is not supported"),
        (body(response_format={"type": "json_object"}), "response_format is not supported"),
        (body(logprobs=True), "logprobs is not supported"),
        (body(logit_bias={"5": 1}), "logit_bias is not supported"),
        (body(frequency_penalty=0.5), "frequency_penalty is not supported"),
        (body(chat_template_kwargs={"a": [1]}), "$.chat_template_kwargs"),
    ],
)
async def test_bad_requests_are_named_and_refused(serving, content, says):
    response = await serving.http.post("/v1/chat/completions", content=content)
    assert response.status_code == 400
    error = response.json()["error"]
    assert says in error["message"]
    assert error["code"] == "bad_argument"
    assert error["type"] == "invalid_request_error"
    assert "secret words" not in response.text
    assert serving.speaker.prompts == []


async def test_what_asks_for_nothing_is_accepted(serving):
    response = await serving.chat(
        n=1, tools=[], logprobs=False, presence_penalty=0, response_format={"type": "text"},
        user="someone", model="gpt-4", seed=-1, stop=None, temperature=None,
    )  # fmt: skip
    assert response.status_code == 200


@pytest.mark.parametrize("tokens", [[-1], [0x110000], [2**63]])
async def test_ids_that_the_model_does_not_have(serving, tokens):
    for path, name in (("/v1/completions", "prompt"), ("/detokenize", "tokens")):
        response = await serving.http.post(path, json={name: tokens})
        assert response.status_code == 400


async def test_a_body_that_is_too_large_is_refused_by_its_size_or_as_it_comes(serving, monkeypatch):
    monkeypatch.setattr(app, "MAX_BODY", 1 << 20)
    assert (await serving.chat("x" * (1 << 20))).status_code == 413

    async def endless():
        for _ in range(100):
            yield b"x" * 50_000
        raise AssertionError("read to the end")

    response = await serving.http.post("/v1/chat/completions", content=endless())
    assert response.status_code == 413


async def test_paths_and_methods_that_are_not_there(serving):
    missing = await serving.http.get("/etc/passwd")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = await serving.http.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_a_prompt_that_fills_the_context_is_refused_before_the_stream(serving):
    response = await serving.chat("x" * 200, stream=True)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8080"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "127.0.0.1:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Host": "my.box"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://192.0.2.7"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
    ],
)
async def test_web_pages_cannot_reach_it(headers, status):
    serving = Serving(hosts=["my.box"])
    response = await serving.http.get("/v1/models", headers=headers)
    assert response.status_code == status
    assert not [name for name in response.headers if name.startswith("access-control")]
    serving.api.close()


async def test_the_api_key():
    serving = Serving(api_key="s3cret")
    for given in (None, "Bearer wrong", "s3cret", "Basic s3cret", "Bearer s3cretx", "Bearer é"):
        headers = {} if given is None else {"Authorization": given.encode()}
        response = await serving.http.get("/v1/models", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    right = {"Authorization": "Bearer s3cret"}
    assert (await serving.http.get("/v1/models", headers=right)).status_code == 200
    assert (await serving.http.get("/health")).status_code == 200
    serving.api.close()


async def test_requests_take_turns_in_order_and_too_many_are_refused(serving):
    serving.speaker.hold.clear()
    asked = []
    for name in "abcdefghi":
        asked.append(asyncio.create_task(serving.chat(name)))
        await wait_until(lambda: serving.api.worker.load == len(asked))
    refused = await serving.chat("j")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
    assert refused.headers["retry-after"] == "1"
    serving.speaker.hold.set()
    replies = [response.json() for response in await asyncio.gather(*asked)]
    assert [chr(prompt[2]) for prompt in serving.speaker.prompts] == list("abcdefghi")
    assert replies[-1]["timings"]["queued_s"] > replies[0]["timings"]["queued_s"]


async def test_one_who_leaves_the_queue_is_never_served(serving):
    serving.speaker.hold.clear()
    first = asyncio.create_task(serving.chat("a"))
    await wait_until(lambda: serving.speaker.prompts)
    second = asyncio.create_task(serving.chat("b"))
    await wait_until(lambda: serving.api.worker.load == 2)
    second.cancel()
    await asyncio.wait([second])
    assert serving.api.worker.load == 1
    serving.speaker.hold.set()
    await first
    await serving.chat("c")
    assert [chr(prompt[2]) for prompt in serving.speaker.prompts] == ["a", "c"]


async def test_a_client_that_leaves_stops_the_engine(serving):
    serving.speaker.hold.clear()
    asked = asyncio.create_task(serving.chat("a", stream=True))
    await wait_until(lambda: serving.speaker.prompts)
    asked.cancel()
    await wait_until(lambda: serving.api.worker.load == 0)
    assert serving.speaker.last.finish_reason == "cancelled"


@pytest.mark.parametrize("ticks", range(6))
async def test_a_reader_that_is_cancelled_as_a_piece_arrives_ends(serving, ticks):
    """A cancellation must not be lost on the piece: the engine would speak on to nobody."""
    serving.speaker.hold.clear()
    job = serving.api.worker.submit([1, 2, 3], Sampling())

    async def consume():
        async for _ in job.events(5):
            pass

    task = asyncio.create_task(consume())
    await wait_until(lambda: serving.speaker.prompts)
    job.put(Piece("x"))
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=2)
    assert task.cancelled()
    await wait_until(lambda: serving.api.worker.load == 0)


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (SternaError("unsupported_type", "It broke.", "Do that."), 400, "unsupported_type"),
        (MemoryError(), 503, "out_of_memory"),
        (ZeroDivisionError("secret words"), 500, "internal"),
    ],
)
async def test_an_engine_that_fails_says_so_and_serves_on(serving, caplog, raised, status, code):
    caplog.set_level(logging.DEBUG)
    serving.speaker.raises = raised
    whole = await serving.chat("secret words")
    assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
    streamed = events(await serving.chat("secret words", stream=True))
    assert streamed[-1]["error"]["code"] == code
    serving.speaker.raises = None
    assert (await serving.chat()).status_code == 200
    assert "secret words" not in caplog.text
    if code == "internal":
        assert "ZeroDivisionError" in caplog.text
        assert "speakers.py" in caplog.text


async def test_silence_is_filled_with_comments(serving, monkeypatch):
    monkeypatch.setattr(speaking, "SILENCE_S", 0.01)
    serving.speaker.hold.clear()
    asked = asyncio.create_task(serving.chat(stream=True))
    await wait_until(lambda: serving.speaker.prompts)
    asyncio.get_running_loop().call_later(0.1, serving.speaker.hold.set)
    response = await asked
    assert ": still at work\n\n" in response.text
    assert events(response)


async def test_closing_ends_what_runs_and_refuses_what_comes(serving):
    serving.speaker.hold.clear()
    asked = asyncio.create_task(serving.chat("a"))
    await wait_until(lambda: serving.speaker.prompts)
    await asyncio.to_thread(serving.api.close)
    assert (await asked).json()["choices"][0]["finish_reason"] == "cancelled"
    assert (await serving.chat("b")).status_code == 503
