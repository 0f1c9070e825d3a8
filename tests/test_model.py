"""model.py: one-hot vectors, parameters and the network, against torch's own layers in float64.

(RNNModel, around a layer of torch.nn, has tests of its own.)
"""

import numpy as np
import pytest
import torch
from builders import INTEGERS, HostReads, NewBytes, sharp_model
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from d2lmini import RNNModelScratch, get_params, init_rnn_state, one_hot, rnn, try_gpu
from d2lmini.model import reading


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


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 4), (2, 0, 3)])
def test_one_hot_of_any_shape(shape):
    ids = torch.randint(5, shape)
    assert torch.equal(one_hot(ids, 5), F.one_hot(ids, 5).float())


@pytest.mark.parametrize("dtype", INTEGERS)
def test_one_hot_of_ids_of_any_integer_type(dtype):
    ids = torch.tensor([[0, 1], [120, 7]])
    for same in (ids.to(getattr(torch, dtype)), ids.numpy().astype(dtype), ids.tolist()):
        assert torch.equal(one_hot(same, 200), F.one_hot(ids, 200).float())
    assert one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
@pytest.mark.parametrize(("bad", "low", "high"), [([0, 28], 0, 28), ([200], 200, 200), ([28, 5], 5, 28)])
def test_one_hot_names_ids_outside_the_vocabulary(bad, low, high, dtype):
    with pytest.raises(ValueError, match=rf"ids run from {low} to {high}, .* 28 tokens \(ids 0 to 27\).*same Vocab"):
        one_hot(torch.tensor(bad, dtype=getattr(torch, dtype)), 28)
    with pytest.raises(ValueError, match="ids run from -1 to 3"):
        one_hot(torch.tensor([3, -1]), 28)


@pytest.mark.parametrize("bad", [torch.zeros(3), [0.5], torch.zeros(3, dtype=torch.bool), torch.zeros(1) * 1j, "abc",
                                 ["a"], None, [[1, 2], [3]], torch.zeros(0)])  # fmt: skip
def test_one_hot_wants_integers(bad):
    with pytest.raises(TypeError, match="ids must be"):
        one_hot(bad, 28)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_one_hot_checks_the_size_of_the_vocabulary(size, error):
    with pytest.raises(error, match="vocab_size must be"):
        one_hot(torch.tensor([0]), size)


@pytest.mark.parametrize("vocab_size", [3, 50_000])
def test_one_hot_allocates_its_result_and_nothing_else(vocab_size):
    ids = torch.randint(3, (6, 7))
    with NewBytes() as memory:
        result = one_hot(ids, vocab_size)
    assert memory.count <= 4 * result.numel() + 100  # the smallest and the largest id take a few bytes


def test_a_minibatch_asks_for_numbers_once():
    model = sharp_model(9)
    X, state = torch.randint(9, (3, 4)), model.begin_state(3)
    with HostReads() as reads:
        model(X, state)
    assert reads.count == 1


def test_get_params():
    params = get_params(28, 512)
    assert [tuple(p.shape) for p in params] == [(28, 512), (512, 512), (512,), (512, 28), (28,)]
    assert all(p.requires_grad and p.is_leaf and p.dtype == torch.float32 for p in params)
    for weight, std in ((params[0], 1), (params[1], 0.01), (params[3], 0.01)):
        assert weight.std().item() == pytest.approx(std, rel=0.03)
    assert not params[2].any() and not params[4].any()
    assert all(torch.equal(a, b) for a, b in zip(params, get_params(28, 512)))
    assert not torch.equal(params[0], get_params(28, 512, seed=1)[0])


def test_orthogonal_start_keeps_lengths():
    W_xh, W_hh, *_ = get_params(28, 64, input_std=0.3, orthogonal=True)
    torch.testing.assert_close(W_hh @ W_hh.T, torch.eye(64), atol=1e-5, rtol=0)
    assert W_xh.std().item() == pytest.approx(0.3, rel=0.05)
    assert not torch.equal(W_hh, get_params(28, 64, seed=1, orthogonal=True)[1])


@pytest.mark.parametrize(("options", "changed"), [({"input_std": 0.7}, 0), ({"orthogonal": True}, 1)])
def test_each_option_of_the_start_changes_one_matrix_only(options, changed):
    plain, other = get_params(9, 16), get_params(9, 16, **options)
    equal = [torch.equal(a, b) for a, b in zip(plain, other)]
    assert equal == [i != changed for i in range(5)]
    torch.testing.assert_close(get_params(9, 16, input_std=0.7)[0], plain[0] * 0.7)


def test_the_programs_own_random_numbers_are_left_alone():
    state = torch.get_rng_state()
    get_params(9, 16, orthogonal=True)
    RNNModelScratch(9, 16)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert torch.equal(get_params(9, 16)[0], get_params(9, 16, seed=np.int64(0))[0])


@pytest.mark.parametrize(("sizes", "error"), [((2.5, 4), TypeError), ((2, "4"), TypeError), ((0, 4), ValueError)])
def test_sizes_of_the_model_are_checked(sizes, error):
    for function in (get_params, init_rnn_state, RNNModelScratch):
        for arguments in (sizes, sizes[::-1]):
            with pytest.raises(error, match=r"vocab_size|num_hiddens|batch_size"):
                function(*arguments)


@pytest.mark.parametrize(("options", "error"), [
    ({"input_std": 0}, ValueError), ({"input_std": float("nan")}, ValueError), ({"input_std": "loud"}, TypeError),
    ({"seed": 2**64 - 2}, ValueError), ({"seed": -1}, ValueError), ({"seed": 0.5}, TypeError),
])  # fmt: skip
def test_options_of_the_start_are_checked(options, error):
    (name,) = options
    with pytest.raises(error, match=f"{name} must be"):
        get_params(3, 4, **options)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_start_and_the_first_state_are_made_on_the_device(device):
    assert {p.device.type for p in get_params(3, 4, device)} == {device}
    assert init_rnn_state(2, 4, device)[0].device.type == device
    model = RNNModelScratch(3, 4, device)
    assert model.device.type == device and model.begin_state(2)[0].device.type == device
    assert RNNModelScratch(3, 4).begin_state(2, "meta")[0].device.type == "meta"


def test_the_first_state_is_zero():
    (H,) = init_rnn_state(3, 4)
    assert torch.equal(H, torch.zeros(3, 4))


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


X = torch.zeros(3, 2, dtype=torch.long)
H = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("X", "state", "error", "message"),
    [
        (X[0], (H,), ValueError, r"\(batch_size, num_steps\), not \(2,\)"),
        (X[None], (H,), ValueError, r"\(batch_size, num_steps\), not \(1, 3, 2\)"),
        (X[:0], (H[:0],), ValueError, r"\(batch_size, num_steps\), not \(0, 2\)"),
        (X[:, :0], (H,), ValueError, r"\(batch_size, num_steps\), not \(3, 0\)"),
        (X.tolist(), (H,), TypeError, r"X must be a tensor of ids, not list: use torch\.tensor"),
        (X.float(), (H,), TypeError, r"ids must be integers, not torch\.float32"),
        (X + 5, (H,), ValueError, r"ids run from 5 to 5, but the vocabulary has 5 tokens"),
        (X.to("meta"), (H,), ValueError, r"X is on meta, but the model is on cpu: move it with X\.to\('cpu'\)"),
        (X, (torch.zeros(7, 4),), ValueError, r"shape \(7, 4\), .* \(3, 4\) for an X of 3 seq.*begin_state\(3\)"),
        (X, (torch.zeros(3, 9),), ValueError, r"shape \(3, 9\), but the model needs \(3, 4\)"),
        (X, (H[None],), ValueError, r"shape \(1, 3, 4\), but the model needs \(3, 4\)"),
        (X, (H, H), ValueError, r"shape \(3, 4\), \(3, 4\), but the model needs \(3, 4\)"),
        (X, (), ValueError, r"shape \(\), but the model needs \(3, 4\)"),
        (X, H, TypeError, r"a tuple of tensors, not Tensor: use begin_state"),
        (X, [H], TypeError, r"a tuple of tensors, not list"),
        (X, (None,), TypeError, r"a tuple of tensors"),
        (X, None, TypeError, r"a tuple of tensors, not NoneType"),
        (
            X,
            (H.double(),),
            ValueError,
            r"is torch\.float64 on cpu, but .* is torch\.float32 on cpu: use begin_state\(3\)",
        ),
        (X, (H.to("meta"),), ValueError, r"the state is torch\.float32 on meta, but the model is .* on cpu"),
    ],
)
def test_misfits_are_named(X, state, error, message):
    with pytest.raises(error, match=message):
        RNNModelScratch(5, 4)(X, state)


def test_a_first_state_that_is_no_tuple_is_named_even_for_one_sequence():
    model = RNNModelScratch(
        5, 4, init_state=lambda batch_size, num_hiddens, device: torch.zeros(batch_size, num_hiddens)
    )
    for batch_size in (1, 3):
        with pytest.raises(TypeError, match=r"init_state must return a tuple .* comma"):
            model.begin_state(batch_size)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_model_reads_ids_of_any_integer_type(dtype):
    model, ids = sharp_model(9), torch.randint(9, (3, 4))
    expected, _ = model(ids, model.begin_state(3))
    logits, _ = model(ids.to(getattr(torch, dtype)), model.begin_state(3))
    assert torch.equal(logits, expected)


def test_a_model_in_another_precision_reads_in_that_precision():
    model = sharp_model(9)
    model.params = [p.detach().double() for p in model.params]
    X = torch.randint(9, (3, 4))
    logits, (H,) = model(X, model.begin_state(3))
    assert logits.dtype == H.dtype == torch.float64


def test_a_model_moves_with_all_its_parameters():
    model = RNNModelScratch(5, 4)
    model.params[0].requires_grad_(False)
    assert model.to("meta") is model and model.device.type == "meta"
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True]
    assert all(p.is_leaf for p in model.parameters())


def test_moving_a_model_where_it_is_leaves_an_optimizer_its_parameters():
    model = RNNModelScratch(5, 4)
    before = list(model.parameters())
    assert all(a is b for a, b in zip(model.to("cpu").parameters(), before))


class Dropping(nn.Module):
    """A module with parts, some of which are switched off already."""

    def __init__(self):
        super().__init__()
        self.on, self.off = nn.Dropout(), nn.Dropout().eval()


@pytest.mark.parametrize("fail", [False, True])
def test_reading_switches_dropout_and_gradients_off_and_back_on_whatever_happens(fail):
    model = Dropping()
    modes = [module.training for module in model.modules()]
    assert modes == [True, True, False]
    with pytest.raises(ZeroDivisionError) if fail else torch.enable_grad(), reading(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        if fail:
            1 / 0  # noqa: B018
    assert [module.training for module in model.modules()] == modes
    assert torch.is_grad_enabled()
    with reading(RNNModelScratch(5, 4)):  # a model without modules has no mode
        assert not torch.is_grad_enabled()


def test_try_gpu_falls_back_to_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert try_gpu() == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (try_gpu(), try_gpu(1)) == (torch.device("mps"), torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = [torch.device("cuda", i) for i in range(2)]
    assert [try_gpu(), try_gpu(1), try_gpu(2), try_gpu(-1)] == [*cuda, torch.device("cpu"), torch.device("cpu")]
