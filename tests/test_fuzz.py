"""Anything at all into the public functions: they work, or raise an error that their docstrings name; and they end.

Each case is drawn by hypothesis. A normal run draws some hundred; `pytest -m slow` more than 10,000.
"""

import contextlib
import faulthandler
import json
import math

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from d2lmini import (
    History,
    RandomBatches,
    RNNModel,
    RNNModelByHand,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Vocab,
    Watch,
    baselines,
    checkpoints,
    clip_gradients,
    evaluate,
    files,
    get_params,
    init_rnn_state,
    load_corpus,
    load_model,
    normalise,
    one_hot,
    perplexity,
    plot_perplexity,
    predict,
    read_text,
    samples,
    save_model,
    sgd,
    tokenize,
    train,
)
from d2lmini.__main__ import parser

VOCAB = Vocab(list("abcab é"))
SIZE = len(VOCAB)
MODELS = [
    RNNModelScratch(SIZE, 3),
    RNNModelByHand(SIZE, 3),
    RNNModel(nn.RNN(SIZE, 3), SIZE),
    RNNModel(nn.GRU(SIZE, 3, num_layers=2), SIZE),
    RNNModel(nn.LSTM(SIZE, 3, bidirectional=True), SIZE),
]

junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5),
    st.lists(st.integers(-9, 9), max_size=3), st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.complex_numbers(),
)  # fmt: skip


def mostly(good, bad):
    """Five good values, one bad one: few arguments at once are bad, so that most of each function is reached."""
    return st.integers(0, 5).flatmap(lambda i: bad if i == 5 else good)


sizes = mostly(st.integers(1, 5), st.integers(-2, 0) | junk.filter(lambda value: not isinstance(value, int)))
seeds = st.integers(0, 2**62)
numbers = mostly(st.floats(0.01, 3), st.floats() | st.integers(-3, 3) | st.sampled_from([1e-320, 1e-40, 1e300]))
characters = mostly(st.text("ab é\r\n", min_size=20, max_size=60), st.text(max_size=60))
ids = mostly(
    st.lists(st.integers(0, SIZE - 1), min_size=20, max_size=80), st.lists(st.integers(-3, SIZE + 3), max_size=20)
)
perplexities = mostly(st.floats(1, 1e304), st.sampled_from([math.nan, math.inf]))  # what perplexity() can return
rarely_1 = mostly(st.just(0), st.just(1))
epochs = mostly(st.integers(1, 2), st.just(0))
forms = mostly(st.sampled_from(["letters", "characters"]), junk)
models = st.sampled_from(MODELS)


@st.composite
def tensors(draw):
    """Small tensors of any shape and of most types."""
    shape = draw(mostly(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.lists(st.integers(0, 4), max_size=3)))
    low, high = draw(mostly(st.just((0, SIZE - 1)), st.just((-1, SIZE))))
    values = draw(st.lists(st.integers(low, high), min_size=math.prod(shape), max_size=math.prod(shape)))
    others = st.sampled_from([torch.int32, torch.uint8, torch.float32, torch.bool])
    return torch.tensor(values).reshape(tuple(shape)).to(draw(mostly(st.just(torch.int64), others)))


def fuzz_read_text(path, data):
    path.write_bytes(data)
    text = read_text(path)
    assert text and "\r" not in text and "\0" not in text


def fuzz_normalise(text, form):
    result = normalise(text, form)
    assert result == normalise(result, form)
    assert form == "characters" or set(result) <= set("abcdefghijklmnopqrstuvwxyz ")


def fuzz_tokenize(text, token):
    assert "".join(tokenize(text, token)) == (text if token == "char" else "".join(text.split()))


def fuzz_vocab(tokens, min_freq, reserved, wanted):
    vocab = Vocab(tokens, min_freq, reserved)
    assert vocab.to_tokens(vocab[vocab.idx_to_token]) == vocab.idx_to_token
    assert vocab[wanted] is not None


def fuzz_to_tokens(indices):
    VOCAB.to_tokens(indices)


def fuzz_load_corpus(text, form, num_train):
    train_ids, held_out, vocab = load_corpus(text, form, num_train)
    assert len(train_ids) == num_train and int(train_ids.min()) >= 1 and len(vocab) <= num_train + 1
    assert held_out.dtype == torch.int64


def fuzz_batches(sampler, tokens, batch_size, num_steps, seed):
    batches = sampler(tokens, batch_size, num_steps, seed)
    for _ in range(2):
        pairs = list(batches)
        assert len(pairs) == len(batches) > 0
        for X, Y in pairs:
            assert X.shape == Y.shape == (batch_size, num_steps)
            assert torch.equal(X[:, 1:], Y[:, :-1])


def fuzz_one_hot(ids, vocab_size):
    result = one_hot(ids, vocab_size)
    assert result.shape == (*ids.shape, vocab_size) and result.sum() == ids.numel()


def fuzz_params(vocab_size, num_hiddens, seed, orthogonal, batch_size):
    params = get_params(vocab_size, num_hiddens, seed=seed, orthogonal=orthogonal)
    (H,) = init_rnn_state(batch_size, num_hiddens)
    assert H.shape == (batch_size, num_hiddens) and len(params) == 5


def fuzz_model(model, X, more_rows, wrap):
    state = model.begin_state(X.shape[0] + more_rows if X.dim() else 1)
    logits, _ = model(X, [state] if wrap else state)
    assert logits.shape == (X.numel(), SIZE) and bool(logits.isfinite().all())


def fuzz_predict(model, prefix, num_preds):
    text = predict(model, VOCAB, prefix, num_preds)
    assert text.startswith(prefix) and len(text) == len(prefix) + num_preds


def fuzz_samples(model, prefix, num_samples, num_preds, temperature, seed):
    texts = samples(model, VOCAB, prefix, num_preds, num_samples, temperature, seed)
    assert len(texts) == num_samples and {len(text) for text in texts} == {len(prefix) + num_preds}


def fuzz_clip(values, theta, lr):
    params = [torch.zeros(len(values), requires_grad=True), torch.zeros(2, requires_grad=True)]
    params[0].grad = torch.tensor(values)
    norm = clip_gradients(params, theta)
    if math.isfinite(norm):
        assert float(params[0].grad.norm()) <= theta * 1.0001
    sgd(params, lr)


def fuzz_perplexity(total, num_tokens):
    assert perplexity(total, num_tokens) >= 0


def fuzz_evaluate(model, tokens, batch_size, num_steps):
    assert 1 <= evaluate(model, tokens, batch_size, num_steps) < 1000


def fuzz_baselines(train_ids, test_ids, vocab_size):
    assert all(value > 0 for value in baselines(train_ids, test_ids, vocab_size).values())


def fuzz_train(kind, sampler, tokens, num_epochs, lr, theta, held_out, prefix, every):
    model = [RNNModelScratch, RNNModelByHand][kind](SIZE, 2)
    batches = sampler(tokens, 2, 3)
    watch = Watch(held_out, VOCAB, prefix, every)
    history = train(model, batches, num_epochs, lr, theta, watch=watch)
    assert len(history.train_ppl) == num_epochs and history.stopped is None
    history.first_epoch_below(2)


def fuzz_history(train_ppl, held_out_ppl, lines):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    history = History(train_ppl=train_ppl, held_out_ppl=held_out_ppl, baselines=lines)
    try:
        plot_perplexity(history)
    finally:
        plt.close("all")


def both_loads(path):
    with contextlib.suppress(ValueError):
        checkpoints.load_checkpoint(MODELS[0], SequentialBatches([1, 2, 3], 1, 1), History(), path)
    load_model(path)


def fuzz_bytes(path, data):
    path.write_bytes(data)
    both_loads(path)


def fuzz_changed_bytes(path, place, new):
    save_model(MODELS[0], VOCAB, path)
    data = path.read_bytes()
    place %= len(data)
    changed = data[:place] + new + data[place + len(new) :]
    path.write_bytes(changed)
    both_loads(path)
    assert changed == data  # whatever loads is what was saved


def fuzz_description(path, kind, key, inner, value):
    """A file with a right SHA-256 that describes something odd."""
    description = {
        "kind": kind,
        "model": checkpoints.architecture(MODELS[0]),
        "vocab": {"reserved": ["<unk>"], "tokens": VOCAB.idx_to_token, "freqs": []},
    }
    if inner is None:
        description[key] = value
    else:
        description[key] = {**description.get(key, {}), inner: value}
    text = json.dumps(description)
    tensors = {name: tensor.detach() for name, tensor in checkpoints.named_tensors(MODELS[0]).items()}
    sha256 = files.checksum(tensors, text)
    path.write_bytes(safetensors.torch.save(tensors, metadata={"d2lmini": text, "sha256": sha256}))
    both_loads(path)


def fuzz_command_line(arguments):
    with contextlib.redirect_stderr(None), contextlib.redirect_stdout(None):
        parser().parse_args(arguments)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
samplers = st.sampled_from([SequentialBatches, RandomBatches])
prefixes = mostly(st.text("abcé ", min_size=1, max_size=5), characters | junk)
FLAGS = ["--text", "--form", "--epochs", "--hiddens", "--seed", "--device", "--output", "--checkpoint", "-h", "doctor"]
ENTRIES = ["network", "vocab_size", "num_hiddens", "options", "tokens", "freqs", "reserved"]
PATH = object()  # stands for a file in a temporary folder

# function, strategies, the errors that its docstring names
FUZZ = [
    (fuzz_read_text, (PATH, st.binary(max_size=200) | characters.map(lambda text: text.encode("utf-16", "replace"))),
     (ValueError,)),
    (fuzz_normalise, (mostly(characters, junk), forms), (TypeError, ValueError)),
    (fuzz_tokenize, (characters, mostly(st.sampled_from(["char", "word"]), junk)), (ValueError,)),
    (fuzz_vocab, (st.lists(st.text(max_size=3) | st.integers(), max_size=9) | st.text(), st.integers(-1, 3),
                  st.lists(st.text(max_size=3), max_size=3), st.text(max_size=3) | st.lists(st.text(max_size=3))),
     (TypeError,)),
    (fuzz_to_tokens, (st.integers() | st.lists(st.integers(-1, SIZE), max_size=3),), (IndexError,)),
    (fuzz_load_corpus, (characters, forms, mostly(st.integers(1, 20), st.integers(-1, 60))), (ValueError,)),
    (fuzz_batches, (samplers, mostly(ids, junk), sizes, sizes, seeds), (TypeError, ValueError)),
    (fuzz_one_hot, (tensors(), mostly(st.integers(SIZE, SIZE + 3), sizes)), (TypeError, ValueError)),
    (fuzz_params, (sizes, sizes, seeds, st.booleans(), sizes), (TypeError, ValueError)),
    (fuzz_model, (models, tensors(), rarely_1, rarely_1), (TypeError, ValueError)),
    (fuzz_predict, (models, prefixes, sizes), (TypeError, ValueError)),
    (fuzz_samples, (models, prefixes, sizes, sizes, numbers, seeds), (TypeError, ValueError)),
    (fuzz_clip, (st.lists(st.floats(width=32), max_size=4), numbers, numbers), (ValueError,)),
    (fuzz_perplexity, (st.floats(0), st.integers(-2, 99)), (ValueError,)),
    (fuzz_evaluate, (models, ids, sizes, sizes), (TypeError, ValueError)),
    (fuzz_baselines, (ids, ids, sizes), (TypeError, ValueError)),
    (fuzz_train, (st.integers(0, 1), samplers, ids, epochs, numbers, st.none() | numbers, st.none() | ids,
                  st.lists(mostly(st.text("abc", min_size=1), st.text()), max_size=1), mostly(epochs, sizes)),
     (TypeError, ValueError, TrainingDiverged)),
    (fuzz_history, (st.lists(perplexities, max_size=4), st.dictionaries(st.integers(1, 9), perplexities, max_size=3),
                    st.dictionaries(st.text("abc", max_size=3), st.floats(0.5, 99), max_size=2)), ()),
    (fuzz_bytes, (PATH, st.binary(max_size=200)), (ValueError,)),
    (fuzz_changed_bytes, (PATH, st.integers(0, 10**6), st.binary(min_size=1, max_size=9)), (ValueError,)),
    (fuzz_description, (PATH, st.sampled_from(["model", "checkpoint"]), st.sampled_from(["model", "vocab", "batches"]),
                        st.none() | st.sampled_from(ENTRIES),
                        values), (ValueError,)),
    (fuzz_command_line, (st.lists(st.sampled_from(FLAGS) | st.text(max_size=5) | st.integers().map(str), max_size=4),),
     (SystemExit, ValueError)),
]  # fmt: skip


NEVER_RIGHT = (fuzz_bytes, fuzz_changed_bytes, fuzz_description)  # hardly a random file is one of ours


def fuzz(function, strategies, errors, cases, folder):
    """Run `function` on that many cases; returns how many ran and how many of them raised a documented error."""
    count = {"cases": 0, "errors": 0}

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*(strategy if strategy is not PATH else st.just(folder / "file") for strategy in strategies)))
    def check(arguments):
        count["cases"] += 1
        try:
            function(*arguments)
        except errors:
            count["errors"] += 1

    faulthandler.dump_traceback_later(600, exit=True)  # a hang is a failure, too
    try:
        check()
    finally:
        faulthandler.cancel_dump_traceback_later()
    return count["cases"], count["errors"]


@pytest.mark.parametrize(("function", "strategies", "errors"), FUZZ, ids=lambda value: getattr(value, "__name__", ""))
def test_some_cases(function, strategies, errors, tmp_path):
    cases, failed = fuzz(function, strategies, errors, 5 if function is fuzz_history else 50, tmp_path)
    assert failed < cases or function in NEVER_RIGHT


@pytest.mark.slow
def test_ten_thousand_cases(tmp_path):
    total = 0
    for function, strategies, errors in FUZZ:
        cases, failed = fuzz(function, strategies, errors, 60 if function is fuzz_history else 600, tmp_path)
        print(f"{function.__name__}: {cases} cases, {failed} of them ended in a documented error")
        assert failed < cases or function in NEVER_RIGHT  # some input is right
        total += cases
    print(f"{total} cases")
    assert total >= 10_000


@pytest.mark.parametrize("temperature", [1e-320, 1e-40, 1e-8])
def test_found_by_fuzzing_the_smallest_temperatures_write_what_predict_writes(temperature):
    for model in MODELS:
        assert samples(model, VOCAB, "ab", 5, 2, temperature) == [predict(model, VOCAB, "ab", 5)] * 2
