"""generate.py: greedy and drawn continuations, against a loop that does one character at a time."""

import math

import builders
import numpy as np
import pytest
import torch
from torch import nn

from d2lmini import RNNModel, RNNModelByHand, RNNModelScratch, Vocab, predict, sample, samples

TEXT = "time traveller"
VOCAB = Vocab(list("abcdefghijklmnopqrstuvwxyz "))


def sharp_model(seed=0):
    return builders.sharp_model(len(VOCAB), seed)


def naive_predict(prefix, num_preds, model, vocab):
    """One character at a time, each argmax taken over everything but <unk>."""
    state, written = model.begin_state(1), list(prefix)
    for i in range(len(prefix) + num_preds - 1):
        logits, state = model(torch.tensor([[vocab[written[i]]]]), state)
        if i + 1 == len(written):
            written.append(vocab.idx_to_token[1 + int(logits[0, 1:].argmax())])
    return "".join(written)


@pytest.mark.parametrize("prefix", ["t", TEXT, TEXT + " "])
def test_predict_is_the_naive_loop(prefix):
    for seed in range(5):
        model = sharp_model(seed)
        result = predict(model, VOCAB, prefix, 30)
        assert result == naive_predict(prefix, 30, model, VOCAB)
        assert len(result) == len(prefix) + 30 and result.startswith(prefix)


def test_the_warm_up_matters():
    results = {predict(sharp_model(), VOCAB, prefix, 20)[-20:] for prefix in ["ae", "be", "ce", "de", "fe"]}
    assert len(results) > 1, "the first letter of the prefix is forgotten"


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_other_layers_generate(layer):
    model = RNNModel(layer(len(VOCAB), 8), len(VOCAB))
    assert predict(model, VOCAB, TEXT, 10) == naive_predict(TEXT, 10, model, VOCAB)


def test_no_graph_is_built(monkeypatch):
    model = sharp_model()
    seen = []
    monkeypatch.setattr(model, "forward_fn", lambda *args, f=model.forward_fn: seen.append(f(*args)) or seen[-1])
    predict(model, VOCAB, TEXT, 5)
    assert len(seen) == 6 and not any(logits.requires_grad for logits, _ in seen)


def test_samples_are_drawn_side_by_side_as_one_batch(monkeypatch):
    model, sizes = sharp_model(), []
    monkeypatch.setattr(
        model, "forward_fn", lambda inputs, *rest, f=model.forward_fn: sizes.append(inputs.shape[1]) or f(inputs, *rest)
    )
    samples(model, VOCAB, TEXT, 5, 8)
    assert set(sizes) == {8} and len(sizes) == 6


def test_models_of_any_kind_give_the_same_samples_as_one_by_one_characters():
    """Each drawn character must come from the distribution after all that stand before it in its own sequence."""
    model = sharp_model()
    texts = samples(model, VOCAB, TEXT, 6, 3, 1.5, seed=4)
    rng = torch.Generator().manual_seed(4)
    ids = torch.tensor([VOCAB[list(TEXT)]] * 3)
    for _ in range(6):
        logits, _ = model(ids, model.begin_state(3))
        scores = logits[-3:].detach().double() / 1.5
        scores[:, 0] = -torch.inf
        ids = torch.cat([ids, torch.multinomial(scores.softmax(1).float(), 1, generator=rng)], dim=1)
    assert texts == ["".join(VOCAB.to_tokens(row)) for row in ids]


class Counts:
    """A model that counts: it gives its own table of logits away, the same whatever it reads."""

    vocab_size, device = len(VOCAB), torch.device("cpu")

    def __init__(self):
        self.logits = torch.arange(float(len(VOCAB)))[None]

    def begin_state(self, batch_size):
        return ()

    def __call__(self, X, state):
        return self.logits, state


def test_generating_never_writes_into_a_models_own_numbers():
    model = Counts()
    assert predict(model, VOCAB, "ab", 3) == "ab" + 3 * VOCAB.idx_to_token[-1]
    sample(model, VOCAB, "ab", 3)
    assert torch.equal(model.logits, torch.arange(float(len(VOCAB)))[None])


@pytest.mark.parametrize("reserved", [[], ["<pad>"], ["<pad>", "<end>"]])
@pytest.mark.parametrize("Model", [RNNModelScratch, RNNModelByHand])
def test_reserved_tokens_are_never_generated(Model, reserved):
    vocab = Vocab(VOCAB.idx_to_token[1:], reserved_tokens=reserved)
    for certain in range(len(reserved) + 1):
        model = builders.sharp_model(len(vocab), Model=Model)
        with torch.no_grad():
            model.params[4][certain] = 1e6  # the model is certain of that token
        for text in (predict(model, vocab, TEXT, 50), sample(model, vocab, TEXT, 50, temperature=100)):
            assert len(text) == len(TEXT) + 50 and "<" not in text


def test_characters_are_generated_also_when_unk_is_reserved_by_name():
    vocab = Vocab(VOCAB.idx_to_token[1:], reserved_tokens=["<unk>"])
    for char in VOCAB.idx_to_token[1:]:
        model = sharp_model()
        with torch.no_grad():
            model.params[4][vocab[char]] = 1e6
        assert predict(model, vocab, TEXT, 3) == TEXT + 3 * char


def test_sampling_follows_the_probabilities():
    model = RNNModelScratch(len(VOCAB), 4)
    probs = torch.zeros(len(VOCAB))
    probs[[VOCAB["a"], VOCAB["b"], VOCAB["c"]]] = torch.tensor([0.5, 0.3, 0.2])
    with torch.no_grad():
        model.params[3].zero_()
        model.params[4].copy_(probs.log().clamp(min=-1e9))
    for temperature in (1.0, 0.5, 2.0):
        texts = samples(model, VOCAB, "a", 100, 40, temperature=temperature)
        written = "".join(text[1:] for text in texts)
        expected = probs[probs > 0] ** (1 / temperature)
        expected /= expected.sum()
        for char, prob in zip("abc", expected):
            assert written.count(char) / len(written) == pytest.approx(prob.item(), abs=0.03)


def test_low_temperature_is_greedy_and_seeds_count():
    model = sharp_model()
    assert sample(model, VOCAB, TEXT, 30, temperature=1e-4) == predict(model, VOCAB, TEXT, 30)
    assert sample(model, VOCAB, TEXT, 30, 2.0, seed=1) == sample(model, VOCAB, TEXT, 30, 2.0, seed=1)
    assert sample(model, VOCAB, TEXT, 30, 2.0, seed=1) != sample(model, VOCAB, TEXT, 30, 2.0, seed=2)
    assert len(set(samples(model, VOCAB, TEXT, 30, 8, 2.0))) == 8


def test_the_default_is_temperature_1_and_seed_0():
    model, state = sharp_model(), torch.get_rng_state()
    expected = sample(model, VOCAB, TEXT, 30, 1.0, 0)
    assert sample(model, VOCAB, TEXT, 30) == expected == samples(model, VOCAB, TEXT, 30, 1)[0]
    assert torch.equal(torch.get_rng_state(), state)  # the program's own random numbers are left alone
    torch.manual_seed(99)
    assert sample(model, VOCAB, TEXT, 30, seed=np.int64(0)) == expected


@pytest.mark.parametrize(("prefix", "error", "message"), [
    ("", ValueError, "at least one character"), (None, TypeError, "must be a str, not None"),
    (["t"], TypeError, r"must be a str, not \['t'\]"), ("Time", ValueError, r"never seen: \['T'\].*normalise"),
    ("naïve", ValueError, "ï"), ("zéàz", ValueError, r"\['à', 'é'\]"), ("<unk>", ValueError, r"\['<', '>'\]"),
])  # fmt: skip
def test_bad_prefixes(prefix, error, message):
    for function in (predict, sample):
        with pytest.raises(error, match=message):
            function(sharp_model(), VOCAB, prefix, 5)


@pytest.mark.parametrize(("temperature", "error"), [
    (0, ValueError), (-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError),
    (None, TypeError), (True, TypeError),
])  # fmt: skip
def test_bad_temperatures(temperature, error):
    with pytest.raises(error, match="temperature must be "):
        sample(sharp_model(), VOCAB, "t", 5, temperature)


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("5", TypeError)])
def test_bad_lengths(bad, error):
    with pytest.raises(error, match="num_preds"):
        predict(sharp_model(), VOCAB, "t", bad)
    with pytest.raises(error, match="num_samples"):
        samples(sharp_model(), VOCAB, "t", 5, bad)


@pytest.mark.parametrize(("bad", "error"), [(-1, ValueError), (2**64 - 2, ValueError), (0.5, TypeError)])
def test_bad_seeds(bad, error):
    with pytest.raises(error, match="seed must be"):
        sample(sharp_model(), VOCAB, "t", 5, seed=bad)


@pytest.mark.parametrize("tokens", ["abc", "abcdefghijklmnopqrstuvwxyz !"])
def test_a_vocabulary_of_another_size_is_refused(tokens):
    with pytest.raises(ValueError, match=rf"has {len(tokens) + 1} tokens, but the model has 28: use the Vocab that"):
        predict(sharp_model(), Vocab(list(tokens)), "a", 5)


@pytest.mark.parametrize("continued", [predict, sample])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_ruined_model_generates_nothing_and_says_so(continued, value):
    model = sharp_model()
    with torch.no_grad():
        model.params[4][3] = value
    with pytest.raises(ValueError, match="logits aren't finite numbers: its training run diverged"):
        continued(model, VOCAB, TEXT, 5)


def test_a_vocabulary_of_reserved_tokens_only_has_nothing_to_generate():
    vocab = Vocab([], reserved_tokens=["a"])
    with pytest.raises(ValueError, match="nothing but reserved tokens"):
        predict(builders.sharp_model(2), vocab, "a", 5)
