"""RNNModel: the language model around a layer of torch.nn, and what it makes of layers that don't fit."""

import pytest
import torch
from builders import INTEGERS, HostReads
from torch import nn
from torch.nn import functional as F

from d2lmini import RNNModel, Vocab, evaluate, predict, sample

LAYERS = {
    "RNN": lambda: nn.RNN(9, 5),
    "ReLU": lambda: nn.RNN(9, 5, nonlinearity="relu"),
    "GRU": lambda: nn.GRU(9, 5, bias=False),
    "LSTM": lambda: nn.LSTM(9, 5),
    "deep": lambda: nn.LSTM(9, 5, num_layers=2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_its_layer_and_a_linear_one(name):
    layer = LAYERS[name]()
    model = RNNModel(layer, 9)
    X = torch.randint(9, (3, 4))
    state = model.begin_state(3)
    assert isinstance(state, tuple) and not any(part.any() for part in state)
    logits, state = model(X, state)
    logits, state = model(X, state)  # the state of the first call matters in the second
    _, expected = layer(F.one_hot(X.T, 9).float())
    outputs, expected = layer(F.one_hot(X.T, 9).float(), expected)
    torch.testing.assert_close(logits, outputs.reshape(12, -1) @ model.linear.weight.T + model.linear.bias)
    assert isinstance(state, tuple)
    torch.testing.assert_close(state, expected if isinstance(layer, nn.LSTM) else (expected,))


def test_a_layer_that_reads_both_ways_works_but_with_a_warning():
    layer = nn.GRU(9, 5, num_layers=2, bidirectional=True)
    with pytest.warns(UserWarning, match="sees what it is asked to predict") as caught:
        model = RNNModel(layer, 9)
    assert caught[0].filename == __file__
    X = torch.randint(9, (3, 4))
    logits, (H,) = model(X, model.begin_state(3))
    assert logits.shape == (12, 9) and H.shape == (4, 3, 5)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (lambda: nn.RNN(9, 5, batch_first=True), ValueError, r"drop batch_first=True"),
        (lambda: nn.LSTM(9, 5, batch_first=True), ValueError, r"drop batch_first=True"),
        (lambda: nn.LSTM(9, 5, proj_size=3), ValueError, r"drop proj_size"),
        (lambda: nn.RNN(8, 5), ValueError, r"takes 8 inputs, but the vocabulary has 9 tokens: make the layer"),
        (lambda: nn.RNNCell(9, 5), TypeError, r"must be an nn\.RNN, nn\.GRU or nn\.LSTM, not RNNCell"),
        (lambda: nn.Linear(9, 5), TypeError, r"not Linear"),
        (lambda: nn.RNN, TypeError, r"not type"),
    ],
)
def test_a_layer_that_does_not_fit_is_refused(layer, error, message):
    with pytest.raises(error, match=message):
        RNNModel(layer(), 9)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), ("9", TypeError)])
def test_the_size_of_the_vocabulary_is_checked(size, error):
    with pytest.raises(error, match="vocab_size"):
        RNNModel(nn.RNN(9, 5), size)
    with pytest.raises(error, match="batch_size"):
        RNNModel(nn.RNN(9, 5), 9).begin_state(size)


X = torch.zeros(3, 2, dtype=torch.long)
H = torch.zeros(1, 3, 5)


@pytest.mark.parametrize(
    ("layer", "X", "state", "error", "message"),
    [
        (nn.RNN, X[0], (H,), ValueError, r"\(batch_size, num_steps\), not \(2,\)"),
        (nn.RNN, X[:, :0], (H,), ValueError, r"not \(3, 0\)"),
        (nn.RNN, X + 9, (H,), ValueError, r"ids run from 9 to 9"),
        (nn.RNN, X.float(), (H,), TypeError, r"ids must be integers"),
        (nn.RNN, X.to("meta"), (H,), ValueError, r"X is on meta"),
        (nn.RNN, X, H, TypeError, r"a tuple of tensors, not Tensor"),
        (nn.RNN, X, (H[0],), ValueError, r"shape \(3, 5\), but the model needs \(1, 3, 5\)"),
        (nn.GRU, X, (H[:, :2],), ValueError, r"shape \(1, 2, 5\), but the model needs \(1, 3, 5\)"),
        (nn.LSTM, X, (H,), ValueError, r"shape \(1, 3, 5\), but the model needs \(1, 3, 5\), \(1, 3, 5\) for"),
        (nn.LSTM, X, (), ValueError, r"shape \(\), but"),
        (nn.LSTM, X, (H, H.double()), ValueError, r"the state is torch\.float64"),
    ],
)
def test_ids_and_states_that_do_not_fit_are_refused(layer, X, state, error, message):
    with pytest.raises(error, match=message):
        RNNModel(layer(9, 5), 9)(X, state)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_it_reads_ids_of_any_integer_type(dtype):
    model, ids = RNNModel(nn.GRU(9, 5), 9), torch.randint(9, (3, 4))
    expected, _ = model(ids, model.begin_state(3))
    assert torch.equal(model(ids.to(getattr(torch, dtype)), model.begin_state(3))[0], expected)


def test_it_has_the_precision_and_the_device_of_its_layer():
    model = RNNModel(nn.LSTM(9, 5).double(), 9)
    logits, state = model(X, model.begin_state(3))
    assert logits.dtype == state[0].dtype == state[1].dtype == torch.float64
    on_meta = RNNModel(nn.LSTM(9, 5, device="meta"), 9)
    assert on_meta.device.type == on_meta.linear.weight.device.type == "meta"
    assert {part.device.type for part in on_meta.begin_state(3)} == {"meta"}
    assert model.device.type == "cpu" and model.begin_state(3, "meta")[1].device.type == "meta"


def test_a_minibatch_asks_for_numbers_once():
    model = RNNModel(nn.GRU(9, 5), 9)
    state = model.begin_state(3)
    with HostReads() as reads:
        model(X, state)
    assert reads.count == 1


def test_reading_uses_no_random_numbers_and_leaves_dropout_as_it_was():
    vocab = Vocab(list("abcdefgh"))
    model = RNNModel(nn.LSTM(9, 16, num_layers=2, dropout=0.5), 9)
    before = torch.get_rng_state()
    texts = [predict(model, vocab, "abc", 20) for _ in range(2)]
    perplexities = [evaluate(model, torch.arange(40) % 9) for _ in range(2)]
    drawn = [sample(model, vocab, "abc", 20) for _ in range(2)]
    assert texts[0] == texts[1] and perplexities[0] == perplexities[1] and drawn[0] == drawn[1]
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training and model.rnn.training
    with pytest.raises(ValueError, match="ids run from"):
        evaluate(model, torch.arange(40))
    assert model.training and model.rnn.training
    model.eval()
    assert predict(model, vocab, "abc", 20) == texts[0] and not model.training
