"""The whole way: a real child process, a real model, real HTTP over a Unix socket."""

import asyncio
import json
import time
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest
import pytest_asyncio
from tiny_adapters import write_adapter

from backend.chat.client import ChatClient
from backend.chat.wire import ChatMessage, ChatSampling, Delta, Done
from backend.errors import SternaError
from backend.serve.child import EngineProcess

shared = pytest.mark.asyncio(loop_scope="module")
ASK = [ChatMessage("user", "the thing in the ring")]
ENDLESS = ChatSampling(temperature=0)  # it goes round in circles until the context is full


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(model, tmp_path_factory):
    """One engine for the tests that leave it alive."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STERNA_HOME", str(tmp_path_factory.mktemp("sterna")))
        engine = await EngineProcess.start(model, threads=2)
        async with engine:
            yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def client(engine):
    async with ChatClient(engine.address) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def http(engine):
    transport = httpx2.AsyncHTTPTransport(uds=engine.address.removeprefix("unix:"))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def read(client, messages, sampling):
    deltas, done = "", None
    async for event in client.stream(messages, sampling):
        if isinstance(event, Delta):
            deltas += event.text
        else:
            done = event
    assert isinstance(done, Done)
    return deltas, done


async def test_an_adapter_speaks_beside_the_model(model, tmp_path):
    rng = np.random.default_rng(1)
    halves = {
        "blk.1.ffn_down.weight.lora_a": rng.standard_normal((2, 128)).astype(np.float32),
        "blk.1.ffn_down.weight.lora_b": 9 * rng.standard_normal((64, 2)).astype(np.float32),
    }
    file = write_adapter(tmp_path / "tuned.gguf", "llama", halves, 2)
    said = []
    for adapters in ([], [f"{file}:0.5"]):
        async with await EngineProcess.start(model, threads=1, adapters=adapters) as engine:
            assert engine.facts["adapters"] == [{"name": "tuned", "scale": 0.5}] * len(adapters)
            async with ChatClient(engine.address) as client:
                said.append((await read(client, ASK, short(20, temperature=0)))[0])
                if adapters:  # a request may say how much of it counts; the next one is as it was
                    for scales in ((0.0,), (), (2.0,), (0.5,)):
                        asked = short(20, temperature=0, lora=scales)
                        said.append((await read(client, ASK, asked))[0])
                    with pytest.raises(SternaError, match="no adapter 1"):
                        await read(client, ASK, short(20, lora=(1.0, 1.0)))
    plain, tuned, without, again, twice, same = said
    assert plain != tuned
    assert without == plain
    assert again == same == tuned
    assert twice != tuned
    with pytest.raises(SternaError, match=r"is for .* and this model is llama|not an adapter"):
        await EngineProcess.start(model, threads=1, adapters=[str(model)])


def short(tokens, **more):
    return ChatSampling(**{"seed": 1, "max_tokens": tokens, **more})


@shared
async def test_it_tells_how_it_started(engine, model):
    assert engine.running
    assert engine.context == 8192
    assert engine.load_seconds > 0
    assert engine.facts["quant"] == "F32"
    assert engine.address.startswith("unix:")
    socket = Path(engine.address.removeprefix("unix:"))
    assert socket.stat().st_mode & 0o077 == 0
    assert psutil.Process(engine.pid).cmdline()[-1]


@shared
async def test_streaming_equals_one_piece_and_a_seed_repeats(client, http):
    sampling = short(60, temperature=1.5)
    streamed, done = await read(client, ASK, sampling)
    again, _ = await read(client, ASK, sampling)
    other, _ = await read(client, ASK, short(60, temperature=1.5, seed=2))
    body = {"messages": [{"role": "user", "content": ASK[0].content}], "seed": 1,
            "max_tokens": 60, "temperature": 1.5}  # fmt: skip
    whole = (await http.post("/v1/chat/completions", json=body)).json()
    assert streamed == again != other
    # The client shows control characters, which this model of noise likes to say.
    assert whole["choices"][0]["finish_reason"] == done.finish_reason == "length"
    assert whole["usage"]["completion_tokens"] == done.usage.completion_tokens == 60
    from backend.text import clean

    assert clean(whole["choices"][0]["message"]["content"], newlines=True) == streamed


@shared
async def test_what_a_reply_tells(client, engine):
    _, done = await read(client, ASK, short(20))
    count = await client.count(ASK)
    assert done.usage.prompt_tokens == count.tokens
    assert count.context == engine.context
    assert done.usage.completion_tokens == done.timings.predicted_n == 20
    assert done.timings.decode_per_second > 0
    assert 0 < done.timings.first_token_s < done.timings.total_s
    assert (done.model, done.seed) == ("tiny", 1)
    props = await client.props()
    assert (props.model, props.context, props.has_template) == ("tiny", engine.context, True)


@shared
async def test_the_second_turn_runs_only_what_is_new(client):
    first = [ChatMessage("user", "a long beginning " * 40)]
    text, done = await read(client, first, short(30, temperature=0))
    second = [*first, ChatMessage("assistant", "ok"), ChatMessage("user", "and on?")]
    _, later = await read(client, second, short(5))
    assert done.usage.cached_tokens < 20
    assert later.usage.cached_tokens >= done.usage.prompt_tokens - 5
    assert later.timings.prompt_n == later.usage.prompt_tokens - later.usage.cached_tokens
    assert text


@shared
async def test_closing_the_iterator_stops_the_engine_at_once(client, http):
    stream = client.stream(ASK, ENDLESS)
    assert isinstance(await anext(stream), Delta)
    start = time.perf_counter()
    await stream.aclose()

    async def idle():
        return (await http.get("/health")).json()["requests"] == 0

    while not await idle():
        assert time.perf_counter() - start < 30
    _, done = await read(client, ASK, short(3))
    assert done.usage.completion_tokens == 3
    assert time.perf_counter() - start < 30


@shared
async def test_cancelling_the_reading_task_stops_a_long_prompt(client, http):
    prompt = [ChatMessage("user", "in the ring " * 1100)]

    async def consume():
        async for _ in client.stream(prompt, ENDLESS):
            pass

    task = asyncio.create_task(consume())
    while (await http.get("/health")).json()["requests"] == 0:
        assert not task.done()
    task.cancel()
    start = time.perf_counter()
    while (await http.get("/health")).json()["requests"]:
        assert time.perf_counter() - start < 30


@shared
async def test_a_client_that_hangs_up_on_a_whole_reply_stops_the_engine(http):
    body = {"messages": [{"role": "user", "content": ASK[0].content}], "temperature": 0}
    with pytest.raises(httpx2.ReadTimeout):
        await http.post("/v1/chat/completions", json=body, timeout=0.2)
    start = time.perf_counter()
    while (await http.get("/health")).json()["requests"]:
        assert time.perf_counter() - start < 30


@shared
async def test_two_clients_take_turns(engine):
    async with ChatClient(engine.address) as one, ChatClient(engine.address) as two:
        alone = [await read(one, ASK, short(150)), await read(two, ASK, short(10, seed=5))]
        together = await asyncio.gather(
            read(one, ASK, short(150)), read(two, ASK, short(10, seed=5))
        )
    assert [text for text, _ in together] == [text for text, _ in alone]


@shared
async def test_a_full_context_is_told(client):
    with pytest.raises(SternaError) as caught:
        await read(client, [ChatMessage("user", "x" * 20_000)], short(5))
    assert caught.value.kind == "context_full"
    assert caught.value.hint


@shared
async def test_hostile_bytes_leave_it_alive(engine, http):
    path = engine.address.removeprefix("unix:")
    for junk in (b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"A" * 200_000):  # fmt: skip
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(junk)
        writer.write_eof()
        answer = await reader.read(20)
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        writer.close()
    for content in (b"{", b'{"messages":NaN}'):
        assert (await http.post("/v1/chat/completions", content=content)).status_code == 400
    taken = {"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"bos": "x"}}
    assert (await http.post("/v1/chat/completions", json=taken)).status_code == 400
    assert engine.running


@shared
async def test_text_of_people_is_never_a_control_token(http):
    async def ids(content, **more):
        body = {"content": content, **more}
        return (await http.post("/tokenize", json=body)).json()["tokens"]

    assert len(await ids("<|im_end|>", parse_special=True)) == 1
    assert len(await ids("<|im_end|>")) > 1
    body = {"messages": [{"role": "user", "content": "a<|im_end|>b"}]}
    plain = {"messages": [{"role": "user", "content": "ab"}]}
    counts = [
        (await http.post("/v1/messages/count_tokens", json=b)).json()["input_tokens"]
        for b in (body, plain)
    ]
    assert counts[0] > counts[1] + 1


@shared
async def test_nobodys_words_reach_a_log(engine, http, client):
    secret = "kingfisher"
    await read(client, [ChatMessage("user", secret)], short(3))
    await http.post("/v1/chat/completions", json={"messages": [{"role": secret}]})
    await http.post("/v1/completions", json={"prompt": secret * 20_000})
    await http.get(f"/v1/models?{secret}")
    await http.get(f"/{secret}")
    logs = [file for file in engine.log_file.parent.iterdir() if file.is_file()]
    assert any(b"answered" in log.read_bytes() for log in logs)
    assert not [log for log in logs if secret.encode() in log.read_bytes()]


async def test_a_real_model_speaks_its_golden_text(conformance):
    folder = conformance / "models"
    golden = json.loads((folder / "stories260K_golden.json").read_text())
    async with await EngineProcess.start(folder / "stories260K.gguf") as engine:
        transport = httpx2.AsyncHTTPTransport(uds=engine.address.removeprefix("unix:"))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            body = {"prompt": "", "temperature": 0, "max_tokens": 200}
            reply = (await http.post("/v1/completions", json=body, timeout=60)).json()
            turn = {"messages": [{"role": "user", "content": "Once"}], "max_tokens": 5}
            chat = (await http.post("/v1/chat/completions", json=turn, timeout=60)).json()
    assert len(reply["choices"][0]["text"]) > 400
    assert golden["greedy_text"].startswith(reply["choices"][0]["text"])
    assert chat["choices"][0]["message"]["content"]  # also without a template of its own
