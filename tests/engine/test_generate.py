"""A real vLLM engine in this process: what it is asked, what it answers, and what goes wrong for one request alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from synth.answers import Answer, read_answer
from synth.backend import Completion, Message, Request, Sampling
from synth.backends.vllm import VLLM
from synth.errors import BackendError
from synth.prompt import Prompt
from tests.engine import tiny_models
from tests.engine.conftest import SMALL

PATTERN = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "pattern": "^[a-z]{3,12}( [a-z]{1,9}){1,4}$"},
        "score": {"type": "integer", "enum": [0, 1, 2, 3]},
    },
    "required": ["query", "score"],
    "additionalProperties": False,
}
LENGTH = {
    "type": "object",
    "properties": {"query": {"type": "string", "minLength": 5, "maxLength": 40}},
    "required": ["query"],
    "additionalProperties": False,
}

LETTERS = Sampling(most_tokens=60, temperature=0, extra={"structured_outputs": {"regex": "[a-z]{30}"}})
"""The likeliest thirty letters, since noise is mostly half characters."""


def request(text: str = "The Nile floods.", *, id: str = "r", **more: Any) -> Request:
    more.setdefault("sampling", Sampling(most_tokens=24, temperature=1.0))
    return Request(id=id, messages=(Message("user", text),), **more)


def only(backend: VLLM, asked: Request) -> Completion:
    [done] = backend.complete([asked])
    return done


def test_a_reply_says_what_it_took(engine: VLLM) -> None:
    done = only(engine, request())
    assert done.error == ""
    assert done.finish_reason in ("stop", "length")
    assert done.model == engine.model
    assert 0 < done.completion_tokens <= 24
    assert done.prompt_tokens > len("The Nile floods.") // 4
    assert done.latency_s > 0


def test_a_reply_that_has_no_room_is_cut(engine: VLLM) -> None:
    done = only(engine, request(sampling=Sampling(most_tokens=5, extra={"ignore_eos": True})))
    assert (done.finish_reason, done.completion_tokens) == ("length", 5)


def test_a_schema_holds_for_each_of_many_at_the_same_time(engine: VLLM) -> None:
    sampling = Sampling(most_tokens=120, temperature=1.0)
    asked = [request(f"Number {n}.", id=str(n), schema=PATTERN, sampling=sampling) for n in range(64)]
    replies = {done.request.id: json.loads(done.text) for done in engine.complete(iter(asked))}
    assert sorted(replies) == sorted(one.id for one in asked)
    assert all(set(reply) == {"query", "score"} and reply["score"] in range(4) for reply in replies.values())
    assert len({reply["query"] for reply in replies.values()}) > 50


def test_control_characters_that_a_bounded_string_lets_through_are_read_all_the_same(engine: VLLM) -> None:
    sampling = Sampling(most_tokens=200, temperature=1.0, seed=1)
    asked = [request(f"Number {n}.", id=str(n), schema=LENGTH, sampling=sampling) for n in range(64)]
    answer = Prompt.load("grounded/question", Path()).answer
    done = [one for one in engine.complete(iter(asked)) if one.finish_reason == "stop"]
    raw = [one for one in done if any(ord(letter) < 32 for letter in one.text)]
    read = [isinstance(read_answer(one, answer), Answer) for one in done]
    assert raw, "no reply has a control character in it: the case is not met"
    assert sum(read) >= 0.9 * len(done)


def test_samples_of_one_request_differ(engine: VLLM) -> None:
    group = [request(id=str(n), sample=n, more=5 - n) for n in range(6)]
    assert len({done.text for done in engine.complete(iter(group))}) == 6


def test_a_seed_gives_the_same_reply_again_and_each_sample_its_own(engine: VLLM) -> None:
    sampling = Sampling(most_tokens=24, temperature=1.0, seed=11)
    group = [request(id=str(n), sample=n, more=3 - n, sampling=sampling) for n in range(4)]
    first = {done.request.sample: done.text for done in engine.complete(iter(group))}
    alone = only(engine, request(sample=2, sampling=sampling))
    assert len(set(first.values())) == 4
    assert alone.text == first[2]


def test_without_temperature_the_likeliest_word_comes_each_time(engine: VLLM) -> None:
    greedy = Sampling(most_tokens=24, temperature=0)
    assert len({only(engine, request(sampling=greedy)).text for _ in range(3)}) == 1


def test_a_stop_text_ends_the_reply_and_is_no_part_of_it(engine: VLLM) -> None:
    whole = only(engine, request(sampling=LETTERS)).text
    stop = whole[6:8]
    done = only(engine, request(sampling=LETTERS.model_copy(update={"stop": (stop,)})))
    assert (len(whole), done.error) == (30, "")
    assert (done.text, done.finish_reason) == (whole[: whole.index(stop)], "stop")


def test_further_sampling_fields_are_vllms_own(engine: VLLM) -> None:
    one = Sampling(most_tokens=24, temperature=5.0, extra={"top_k": 1})
    assert len({only(engine, request(sampling=one)).text for _ in range(3)}) == 1


def test_a_sampling_field_that_vllm_does_not_know_ends_the_run_with_what_was_meant(engine: VLLM) -> None:
    with pytest.raises(BackendError, match="top_l: vLLM draws with no such field; did you mean 'top_p'"):
        only(engine, request(sampling=Sampling(extra={"top_l": 1})))


def test_fields_of_the_chat_template_reach_it(chat_model: Path, engine: VLLM) -> None:
    given = Sampling(most_tokens=1, extra={"chat_template_kwargs": {"shout": True}})
    plain = only(engine, request(sampling=Sampling(most_tokens=1)))
    assert only(engine, request(sampling=given)).prompt_tokens == plain.prompt_tokens + len("SHOUT")


def test_log_probabilities_of_a_reply_are_those_of_its_tokens_and_of_the_likeliest(engine: VLLM) -> None:
    done = only(engine, request(top_logprobs=3, sampling=Sampling(most_tokens=12, temperature=0)))
    assert len(done.logprobs) == done.completion_tokens
    assert max(len(token.top) for token in done.logprobs) == 3
    for token in done.logprobs:
        assert token.top[token.text] == token.logprob == max(token.top.values())
    own = only(engine, request(top_logprobs=0, sampling=LETTERS))
    assert all(not token.top and token.logprob is not None for token in own.logprobs)
    assert "".join(token.text for token in own.logprobs).startswith(own.text)


def test_log_probabilities_of_a_text_are_those_that_the_model_gives_it(chat_model: Path, engine: VLLM) -> None:
    told = "when does the river flood?"
    weighed = Request(
        id="w",
        messages=(Message("user", "The Nile floods each summer."), Message("assistant", told)),
        prompt_logprobs=True,
        sampling=Sampling(most_tokens=50),
    )
    done = only(engine, weighed)
    texts = [token.text for token in done.prompt_logprobs]
    first = next(n for n in range(len(texts)) if "".join(texts[n:]) == told)
    own = [token.logprob for token in done.prompt_logprobs[first:]]
    assert done.completion_tokens == 1
    assert done.prompt_logprobs[0].logprob is None
    assert own == pytest.approx(by_hand(chat_model, weighed)[-len(own) :], abs=1e-3)


def by_hand(folder: Path, weighed: Request) -> list[float]:
    """The log-probability of each token of a conversation but the first, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    messages = [{"role": one.role, "content": one.content} for one in weighed.messages]
    ids = tokenizer.apply_chat_template(messages, continue_final_message=True, return_dict=False, return_tensors="pt")
    with torch.inference_mode():
        likely = model(ids).logits[0, :-1].log_softmax(-1)
    return [float(likely[n, token]) for n, token in enumerate(ids[0, 1:])]


def test_a_prompt_that_is_too_long_fails_alone_and_says_how_many_tokens(engine: VLLM) -> None:
    asked = [request("word " * (400 if n == 3 else 2), id=str(n)) for n in range(8)]
    done = {one.request.id: one for one in engine.complete(iter(asked))}
    assert [name for name, one in done.items() if one.error] == ["3"]
    assert done["3"].error.startswith("the prompt has ")
    assert "the model takes 512" in done["3"].error


def test_what_the_engine_refuses_fails_alone(engine: VLLM) -> None:
    asked = [request(id="good"), request(id="bad", schema={"type": "nonsense"}), request(id="many", top_logprobs=99)]
    done = {one.request.id: one.error for one in engine.complete(iter(asked))}
    assert done["good"] == ""
    assert "nonsense" in done["bad"]
    assert "99" in done["many"]


def test_a_caller_that_leaves_takes_its_requests_back(engine: VLLM) -> None:
    endless = Sampling(most_tokens=400, extra={"ignore_eos": True})
    asked = [request(id="short", sampling=Sampling(most_tokens=1))]
    asked += [request(id=str(n), sampling=endless) for n in range(40)]
    replies = engine.complete(iter(asked))
    assert next(replies).request.id == "short"
    assert engine.unfinished == 40
    replies.close()  # type: ignore[attr-defined]  # a generator
    only(engine, request())
    assert engine.unfinished == 0


def test_two_hundred_requests_keep_the_engine_full_and_each_is_answered_once(engine: VLLM) -> None:
    asked = [request(f"Number {n}.", id=str(n), sampling=Sampling(most_tokens=32)) for n in range(200)]
    done = [one.request.id for one in engine.complete(iter(asked))]
    assert sorted(done) == sorted(one.id for one in asked)
    assert engine.ahead() == 96


def test_a_beginning_that_prompts_share_is_read_once(engine: VLLM) -> None:
    shared = "The Nile floods each summer and leaves black mud on the fields. " * 10
    first, second = (only(engine, request(shared + end)) for end in ("What floods?", "What is left?"))
    assert first.cached_tokens == 0
    assert second.cached_tokens >= 128


def test_a_writer_and_a_judge_share_one_engine(engine: VLLM) -> None:
    writing = engine.complete(request(f"Write {n}.", id=f"w{n}") for n in range(40))
    seen = [next(writing).request.id]
    judged = [only(engine, request(f"Judge {n}.", id=f"j{n}", top_logprobs=2)).request.id for n in range(3)]
    seen += [done.request.id for done in writing]
    assert judged == ["j0", "j1", "j2"]
    assert sorted(seen) == sorted(f"w{n}" for n in range(40))


def test_vectors_are_refused_by_a_model_that_writes(engine: VLLM) -> None:
    with pytest.raises(BackendError, match="gives no vectors; name an embedder and set `runner: pooling`"):
        engine.embed(["a text"])


def test_a_model_without_a_chat_template_is_one_line(tmp_path: Path) -> None:
    backend = VLLM(model=str(tiny_models.chat(tmp_path / "bare", template=None)), dtype="float32", engine=SMALL)
    with pytest.raises(BackendError, match="has no chat template; use one that was tuned for chat"):
        only(backend, request())
    backend.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "/no/such/folder"}, "vllm: /no/such/folder does not start: "),
        ({"engine": {"enforce_eagr": True}}, "vLLM's engine has no argument 'enforce_eagr'; did you mean"),
        ({"max_model_len": 1 << 20}, "does not start: "),
    ],
)
def test_what_keeps_an_engine_from_starting_is_one_line(chat_model: Path, options: dict[str, Any], said: str) -> None:
    backend = VLLM.model_validate({"model": str(chat_model), "dtype": "float32"} | options)
    with pytest.raises(BackendError) as told:
        only(backend, request())
    assert said in str(told.value)
    assert "\n" not in str(told.value)
