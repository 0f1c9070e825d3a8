"""generate.py: greedy and drawn continuations, against a loop that does one character at a time."""

import pytest
import torch
from torch import nn

from d2lmini import RNNModel, RNNModelScratch, Vocab, predict, sample, samples

TEXT = "time traveller"
VOCAB = Vocab(list("abcdefghijklmnopqrstuvwxyz "))


def sharp_model(seed=0):
    """A model with large random weights, whose answer depends on everything it has read."""
    model = RNNModelScratch(len(VOCAB), 16, seed=seed, input_std=0.3, orthogonal=True)
    with torch.no_grad():
        model.params[3] *= 100
    return model


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
    results = {predict(prefix, 20, sharp_model(), VOCAB)[-20:] for prefix in ["ae", "be", "ce", "de", "fe"]}
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


def test_unk_is_never_written():
    model = sharp_model()
    with torch.no_grad():
        model.params[4][0] = 1e6  # the model is certain of <unk>
    assert "<unk>" not in predict(model, VOCAB, TEXT, 50)
    assert "<unk>" not in sample(model, VOCAB, TEXT, 50, temperature=100)


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


@pytest.mark.parametrize(("prefix", "message"), [
    ("", "at least one character"), (None, "at least one character"), (["t"], "at least one character"),
    ("Time", r"never seen: \['T'\].*normalise"), ("naïve", "ï"),
])  # fmt: skip
def test_bad_prefixes(prefix, message):
    for write in (predict, sample):
        with pytest.raises(ValueError, match=message):
            write(prefix, 5, sharp_model(), VOCAB)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_bad_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        sample("t", 5, sharp_model(), VOCAB, temperature)


@pytest.mark.parametrize(("bad", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("5", TypeError)])
def test_bad_lengths(bad, error):
    with pytest.raises(error, match="num_preds"):
        predict("t", bad, sharp_model(), VOCAB)
