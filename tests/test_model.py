"""model.py against torch's own layers, in float64, values and gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from d2lmini import RNNModel, RNNModelScratch, get_params, init_rnn_state, one_hot, rnn, try_gpu


def random_params(vocab_size, num_hiddens, scale=0.5):
    """The five parameters in float64 and large enough that tanh bends and every term matters."""
    rng = torch.Generator().manual_seed(1)
    shapes = [(vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,),
              (num_hiddens, vocab_size), (vocab_size,)]  # fmt: skip
    return [(scale * torch.randn(s, generator=rng, dtype=torch.float64)).requires_grad_() for s in shapes]


def torch_twin(params):
    """nn.RNN and nn.Linear with the same weights."""
    W_xh, W_hh, b_h, W_hq, b_q = (p.detach() for p in params)
    layer, linear = nn.RNN(*W_xh.shape).double(), nn.Linear(*W_hq.shape).double()
    weights = {"weight_ih_l0": W_xh.T, "weight_hh_l0": W_hh.T, "bias_ih_l0": b_h, "bias_hh_l0": torch.zeros_like(b_h)}
    layer.load_state_dict(weights)
    linear.load_state_dict({"weight": W_hq.T, "bias": b_q})
    return layer, linear


@pytest.mark.parametrize(("vocab_size", "num_hiddens", "batch_size", "num_steps"),
                         [(28, 16, 4, 7), (2, 1, 1, 1), (5, 3, 1, 9), (9, 8, 6, 1)])  # fmt: skip
def test_rnn_equals_nn_rnn_forward_and_backward(vocab_size, num_hiddens, batch_size, num_steps):
    params = random_params(vocab_size, num_hiddens)
    layer, linear = torch_twin(params)
    X = torch.randint(vocab_size, (batch_size, num_steps))
    Y = torch.randint(vocab_size, (num_steps * batch_size,))
    H = torch.randn(batch_size, num_hiddens, dtype=torch.float64)

    logits, (H_last,) = rnn(one_hot(X.T, vocab_size).double(), (H,), params)
    F.cross_entropy(logits, Y).backward()
    outputs, H_twin = layer(F.one_hot(X.T, vocab_size).double(), H[None])
    logits_twin = linear(outputs.reshape(-1, num_hiddens))
    F.cross_entropy(logits_twin, Y).backward()

    torch.testing.assert_close(logits, logits_twin, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(H_last, H_twin[0], rtol=1e-10, atol=1e-12)
    twins = [layer.weight_ih_l0.grad.T, layer.weight_hh_l0.grad.T, layer.bias_ih_l0.grad,
             linear.weight.grad.T, linear.bias.grad]  # fmt: skip
    for param, twin in zip(params, twins):
        torch.testing.assert_close(param.grad, twin, rtol=1e-9, atol=1e-12)


@given(st.integers(1, 50).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=12))))  # fmt: skip
def test_one_hot_is_torchs(case):
    vocab_size, ids = case
    ids = torch.tensor(ids, dtype=torch.long)
    result = one_hot(ids, vocab_size)
    assert result.dtype == torch.float32
    assert torch.equal(result, F.one_hot(ids, vocab_size).float())


def test_one_hot_of_any_shape():
    assert one_hot(torch.zeros(2, 3, 4, dtype=torch.int32), 5).shape == (2, 3, 4, 5)


@pytest.mark.parametrize("bad", [[-1], [0, 28]])
def test_one_hot_names_ids_outside_the_vocabulary(bad):
    with pytest.raises(ValueError, match=r"28 symbols .*ids 0 to 27"):
        one_hot(torch.tensor(bad), 28)


def test_one_hot_wants_integers():
    with pytest.raises(TypeError, match="integers"):
        one_hot(torch.zeros(3), 28)


def test_get_params():
    params = get_params(28, 512)
    assert [tuple(p.shape) for p in params] == [(28, 512), (512, 512), (512,), (512, 28), (28,)]
    assert all(p.requires_grad and p.is_leaf and p.dtype == torch.float32 for p in params)
    for weight in params[0], params[1], params[3]:
        assert weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert not params[2].any() and not params[4].any()
    assert all(torch.equal(a, b) for a, b in zip(params, get_params(28, 512)))
    assert not torch.equal(params[0], get_params(28, 512, seed=1)[0])


def test_orthogonal_start_keeps_lengths():
    W_xh, W_hh, *_ = get_params(28, 64, input_std=0.3, orthogonal=True)
    torch.testing.assert_close(W_hh @ W_hh.T, torch.eye(64), atol=1e-5, rtol=0)
    assert W_xh.std().item() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(("sizes", "error"), [((2.5, 4), TypeError), ((2, "4"), TypeError), ((0, 4), ValueError)])
def test_sizes_of_the_model_are_checked(sizes, error):
    with pytest.raises(error, match=r"vocab_size|num_hiddens"):
        get_params(*sizes)


def test_model_is_its_functions():
    model = RNNModelScratch(9, 5, seed=3, input_std=0.3, orthogonal=True)
    X = torch.randint(9, (2, 4))
    logits, state = model(X, model.begin_state(2))
    expected, _ = rnn(one_hot(X.T, 9), init_rnn_state(2, 5), get_params(9, 5, seed=3, input_std=0.3, orthogonal=True))
    assert logits.shape == (8, 9) and isinstance(state, tuple) and state[0].shape == (2, 5)
    torch.testing.assert_close(logits, expected)


def test_logits_are_time_major():
    model = RNNModelScratch(5, 4, input_std=0.3, orthogonal=True)
    X = torch.randint(5, (3, 2))
    logits, _ = model(X, model.begin_state(3))
    first_step, _ = model(X[:, :1], model.begin_state(3))
    torch.testing.assert_close(logits[:3], first_step)


def test_the_prefix_in_one_call_or_letter_by_letter():
    model = RNNModelScratch(5, 4, input_std=0.3, orthogonal=True)
    X, state = torch.randint(5, (2, 6)), model.begin_state(2)
    whole, (H,) = model(X, state)
    pieces = []
    for t in range(6):
        logits, state = model(X[:, t : t + 1], state)
        pieces.append(logits)
    torch.testing.assert_close(whole, torch.cat(pieces))
    torch.testing.assert_close(H, state[0])


def test_misfits_are_named():
    model = RNNModelScratch(5, 4)
    X = torch.zeros(3, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"\(batch_size, num_steps\), not \(2,\)"):
        model(X[0], model.begin_state(1))
    with pytest.raises(ValueError, match=r"the state has 7 rows, but X has 3"):
        model(X, model.begin_state(7))
    with pytest.raises(TypeError, match="tuple"):
        model(X, model.begin_state(3)[0])
    with pytest.raises(ValueError, match=r"X is on meta, but the model is on cpu"):
        model(X.to("meta"), model.begin_state(3))


@pytest.mark.parametrize("layer", [
    nn.RNN(9, 5), nn.GRU(9, 5), nn.LSTM(9, 5), nn.LSTM(9, 5, num_layers=2), nn.GRU(9, 5, bidirectional=True),
])  # fmt: skip
def test_rnn_model_takes_any_layer(layer):
    model = RNNModel(layer, 9)
    X = torch.randint(9, (3, 4))
    logits, state = model(X, model.begin_state(3))
    outputs, expected_state = layer(F.one_hot(X.T, 9).float())
    torch.testing.assert_close(logits, model.linear(outputs.reshape(12, -1)))
    torch.testing.assert_close(state, expected_state)


def test_try_gpu_falls_back_to_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert try_gpu() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (try_gpu(), try_gpu(1)) == (torch.device("mps"), torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (try_gpu(), try_gpu(1), try_gpu(2)) == (
        torch.device("cuda", 0),
        torch.device("cuda", 1),
        torch.device("cpu"),
    )
