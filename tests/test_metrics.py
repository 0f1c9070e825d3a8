"""metrics.py: perplexity and evaluate against torch's cross-entropy, and what a History says."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lmini import History, RNNModel, RNNModelScratch, evaluate, perplexity

TOKENS = torch.tensor([1, 2, 3, 4, 2, 3, 1, 4, 4, 2] * 40)


def small_model():
    return RNNModelScratch(5, 8, input_std=0.3, orthogonal=True)


def text_nll(model, tokens):
    """Total loss of a text read from a zero state in one call."""
    logits, _ = model(tokens[None, :-1], model.begin_state(1))
    return F.cross_entropy(logits, tokens[1:], reduction="sum")


@pytest.mark.parametrize("vocab_size", [2, 28, 5000])
def test_a_blind_guess_has_the_perplexity_of_the_vocabulary_size(vocab_size):
    assert perplexity(10 * math.log(vocab_size), 10) == pytest.approx(vocab_size)
    assert perplexity(0, 10) == 1


@pytest.mark.parametrize("mean", [700, 709, 710, 750, 800, 1e9, math.inf, math.nan])
def test_from_700_nats_a_token_on_perplexity_is_infinite(mean):
    assert perplexity(2 * mean, 2) == math.inf


def test_below_700_nats_a_token_perplexity_is_finite():
    assert perplexity(699.9, 1) == math.exp(699.9) < math.inf


@pytest.mark.parametrize("num_tokens", [0, -1])
def test_perplexity_needs_a_token(num_tokens):
    with pytest.raises(ValueError, match=f"at least one predicted token, not {num_tokens}: the text is too short"):
        perplexity(1.0, num_tokens)


def test_evaluate_is_exp_of_cross_entropy():
    model = small_model()
    expected = math.exp(text_nll(model, TOKENS).item() / (len(TOKENS) - 1))
    for num_steps in (1, 7, 256, 398, 399, 1000):
        assert evaluate(model, TOKENS, num_steps=num_steps) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 200])
def test_evaluate_in_sequences_forgets_only_between_them(batch_size):
    model = small_model()
    sequences = TOKENS[: len(TOKENS) // batch_size * batch_size].reshape(batch_size, -1)
    nll = sum(text_nll(model, sequence).item() for sequence in sequences)
    expected = math.exp(nll / (sequences.numel() - batch_size))
    assert evaluate(model, TOKENS, batch_size=batch_size, num_steps=10) == pytest.approx(expected, rel=1e-5)


class Recorder(RNNModelScratch):
    """Keeps the shape of every minibatch that it reads, and whether a graph was wanted."""

    def __call__(self, X, state):
        self.calls.append((tuple(X.shape), torch.is_grad_enabled()))
        return super().__call__(X, state)


def test_evaluate_reads_pieces_of_num_steps_without_a_graph():
    model = Recorder(5, 8)
    model.calls = []
    evaluate(model, TOKENS[:31], batch_size=3, num_steps=4)
    assert model.calls == [((3, 4), False), ((3, 4), False), ((3, 1), False)]
    model.calls = []
    evaluate(model, TOKENS)
    assert model.calls == [((1, 256), False), ((1, 143), False)]


def test_evaluate_leaves_dropout_random_numbers_and_mode_alone():
    torch.manual_seed(0)
    model = RNNModel(nn.LSTM(5, 8, 2, dropout=0.5), 5)
    model.linear.eval()
    before = torch.get_rng_state()
    assert evaluate(model, TOKENS) == evaluate(model, TOKENS)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training and model.rnn.training and not model.linear.training


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_evaluate_takes_ids_of_any_integer_type(dtype):
    assert evaluate(small_model(), TOKENS.to(dtype), 2) == evaluate(small_model(), TOKENS, 2)
    assert evaluate(small_model(), TOKENS.tolist(), 2) == evaluate(small_model(), TOKENS, 2)


def test_evaluate_needs_something_to_predict():
    for tokens, batch_size in [(TOKENS[:1], 1), (TOKENS[:0], 1), (TOKENS[:7], 4)]:
        with pytest.raises(ValueError, match=f"{len(tokens)} tokens in {batch_size} sequences"):
            evaluate(small_model(), tokens, batch_size)
    evaluate(small_model(), TOKENS[:8], 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((TOKENS + 1,), ValueError, "ids run from 2 to 5"),
        ((TOKENS.float(),), TypeError, "ids must be integers"),
        (("a text",), TypeError, "ids must be a tensor or a list of integers, not str"),
        ((None,), TypeError, "ids must be a tensor or a list of integers, not NoneType"),
        ((TOKENS.reshape(2, -1),), ValueError, r"must be 1-D.*\(2, 200\)"),
        ((TOKENS, 0), ValueError, "batch_size must be at least 1"),
        ((TOKENS, 1, 0), ValueError, "num_steps must be at least 1"),
        ((TOKENS, 1.5), TypeError, "batch_size must be an integer"),
    ],
)
def test_evaluate_refuses_what_it_cannot_read(arguments, error, message):
    with pytest.raises(error, match=message):
        evaluate(small_model(), *arguments)


def test_a_history_names_its_speed_and_its_first_good_epoch():
    history = History(train_ppl=[9.0, 5.0, 3.0, 4.0], speeds=[10.0, 30.0, 20.0, 1000.0])
    assert history.tokens_per_second == 25
    assert history.first_epoch_below(5) == 2 and history.first_epoch_below(4.9) == 3
    assert history.first_epoch_below(2) is None


def test_an_empty_history_is_a_history():
    assert History().first_epoch_below(2) is None and History().tokens_per_second is None
    assert History().train_ppl is not History().train_ppl  # no two runs share a list
