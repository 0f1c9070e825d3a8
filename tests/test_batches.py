"""batches.py: what every epoch of both samplers must be, whatever the sizes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from builders import INTEGERS
from hypothesis import given
from hypothesis import strategies as st

from d2lmini import RandomBatches, SequentialBatches, time_major

SAMPLERS = [SequentialBatches, RandomBatches]


@st.composite
def sizes(draw):
    batch_size, num_steps = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    num_tokens = draw(st.integers(batch_size * num_steps + 1, 300))
    return num_tokens, batch_size, num_steps, draw(st.integers(0, 1000))


@pytest.mark.parametrize("Sampler", SAMPLERS)
@given(sizes())
def test_an_epoch(Sampler, sizes):
    num_tokens, batch_size, num_steps, seed = sizes
    # Tokens that are their own positions show at once where each element comes from.
    batches = Sampler(torch.arange(num_tokens), batch_size, num_steps, seed)
    pairs = list(batches)
    assert len(pairs) == len(batches) == (num_tokens - 1) // (batch_size * num_steps)
    for X, Y in pairs:
        assert X.shape == Y.shape == (batch_size, num_steps)
        assert torch.equal(Y, X + 1)
        assert torch.equal(X - X[:, :1], torch.arange(num_steps).expand(batch_size, -1))
    inputs = torch.cat([X.flatten() for X, _ in pairs]).tolist()
    assert len(set(inputs)) == len(inputs) == batches.tokens_used
    assert batches.tokens_used + batches.tokens_dropped == num_tokens
    if batches.carries_state:
        assert min(inputs) < num_steps, "more than one row is lost at the front"


@given(sizes())
def test_sequential_rows_go_on_where_they_ended(sizes):
    num_tokens, batch_size, num_steps, seed = sizes
    batches = SequentialBatches(torch.arange(num_tokens), batch_size, num_steps, seed)
    assert batches.carries_state
    pairs = list(batches)
    for (before, _), (after, _) in pairwise(pairs):
        assert torch.equal(after[:, 0], before[:, -1] + 1)


def inputs_of(batches, epoch):
    """All X of one epoch, (num_batches, batch_size, num_steps)."""
    batches.epoch = epoch
    return torch.stack([X for X, _ in batches])


def test_random_rows_are_shuffled_and_do_not_go_on():
    batches = RandomBatches(torch.arange(10_000), 32, 35)
    assert not batches.carries_state
    first, second = inputs_of(batches, 1), inputs_of(batches, 2)
    assert not torch.equal(first[1:, :, 0], first[:-1, :, -1] + 1)
    starts = first[:, :, 0].flatten()
    assert not torch.equal(starts, starts.sort().values)
    assert not torch.equal(first, second), "each epoch has an order of its own"


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_an_epoch_is_that_of_its_seed_and_number_however_often_it_is_read(Sampler):
    tokens = torch.arange(500)
    batches, again = Sampler(tokens, 3, 7, 1), Sampler(tokens, 3, 7, np.int64(1))
    assert batches.epoch == 1
    first = torch.stack([X for X, _ in batches])
    assert torch.equal(first, torch.stack([X for X, _ in batches])), "looking changed the epoch"
    assert batches.epoch == 1
    third = inputs_of(batches, 3)
    assert torch.equal(third, inputs_of(again, 3)) and not torch.equal(third, first)
    assert torch.equal(inputs_of(batches, 1), first)
    default, zero = Sampler(tokens, 3, 7), Sampler(tokens, 3, 7, seed=0)
    assert torch.equal(inputs_of(default, 2), inputs_of(zero, 2))


def test_every_pair_of_seed_and_epoch_has_an_order_of_its_own():
    # seed + epoch would make seed 1's first epoch seed 0's second one; 1 and 12 side by side must not be 11 and 2.
    pairs = [(seed, epoch) for seed in range(13) for epoch in range(1, 13)]
    tokens = torch.arange(301)
    orders = {tuple(inputs_of(RandomBatches(tokens, 2, 3, seed), epoch).flatten().tolist()) for seed, epoch in pairs}
    assert len(orders) == len(pairs)


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_an_epoch_uses_no_random_numbers_of_the_program(Sampler):
    state = torch.get_rng_state()
    before = inputs_of(Sampler(torch.arange(500), 3, 7), 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(inputs_of(Sampler(torch.arange(500), 3, 7), 1), before)


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_writing_into_a_minibatch_changes_nothing_else(Sampler):
    tokens = torch.arange(500)
    for X, Y in Sampler(tokens, 3, 7):
        expected = X.clone() + 1
        X.zero_()
        assert torch.equal(Y, expected)
        Y.zero_()
    assert torch.equal(tokens, torch.arange(500))


@pytest.mark.parametrize("Sampler", SAMPLERS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_any_integer_type(Sampler, dtype):
    ids = np.arange(100).astype(dtype)
    expected = list(Sampler(torch.arange(100), 2, 3))
    for tokens in (ids, torch.tensor(ids), ids.tolist()):
        for (X, Y), (X_, Y_) in zip(Sampler(tokens, 2, 3), expected, strict=True):
            assert X.dtype == Y.dtype == torch.int64 and torch.equal(X, X_) and torch.equal(Y, Y_)


def test_time_major_is_the_order_of_the_logits():
    assert time_major(torch.tensor([[1, 2, 3], [4, 5, 6]])).tolist() == [1, 4, 2, 5, 3, 6]


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_over_time_hardly_a_token_is_left_out(Sampler):
    # The course's own sizes: an epoch drops 1,040 of 10,000 tokens, but not the same ones every time.
    batches = Sampler(torch.arange(10_000), 32, 35)
    assert batches.tokens_dropped == 1_040
    seen = torch.cat([inputs_of(batches, epoch).flatten() for epoch in range(1, 101)]).unique()
    assert len(seen) >= 9_700


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_the_smallest_text_that_will_do(Sampler):
    assert len(Sampler(torch.arange(32 * 35 + 1), 32, 35)) == 1
    with pytest.raises(ValueError, match=r"32 x 35 needs 1121 tokens .* has 1120: use a smaller"):
        Sampler(torch.arange(32 * 35), 32, 35)
    with pytest.raises(ValueError, match="has 0"):
        Sampler([], 1, 1)


@pytest.mark.parametrize("Sampler", SAMPLERS)
@pytest.mark.parametrize("name", ["batch_size", "num_steps"])
@pytest.mark.parametrize(("bad", "error"), [(2.0, TypeError), ("2", TypeError), (True, TypeError), (None, TypeError),
                                            (0, ValueError), (-3, ValueError)])  # fmt: skip
def test_sizes_must_be_positive_integers(Sampler, name, bad, error):
    with pytest.raises(error, match=name):
        Sampler(torch.arange(100), **{"batch_size": 2, "num_steps": 2, name: bad})


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(100), "integers, not torch.float32: encode the text"),
        (torch.zeros(0), "integers, not torch.float32"),
        (torch.zeros(100, dtype=torch.complex64), "integers, not torch.complex64"),
        ([True] * 100, "integers, not torch.bool"),
        (torch.zeros(10, 10, dtype=torch.long), r"tokens must be 1-D, ids one after another, not of shape \(10, 10\)"),
        (torch.tensor(3), r"tokens must be 1-D"),
        (list("text"), "list of integers, not list"),
        ("text", "list of integers, not str"),
        (None, "list of integers, not NoneType"),
        ([2**70], "list of integers"),
    ],
)
def test_tokens_must_be_a_row_of_integers(tokens, message):
    with pytest.raises(TypeError, match=message):
        SequentialBatches(tokens, 2, 2)


@pytest.mark.parametrize(("bad", "error"), [(-1, ValueError), (2**63, ValueError), (1.0, TypeError), ("1", TypeError)])
def test_seeds_are_whole_numbers_that_torch_takes(bad, error):
    with pytest.raises(error, match="seed must be"):
        RandomBatches(torch.arange(100), 2, 2, bad)
    assert len(list(RandomBatches(torch.arange(100), 2, 2, 2**63 - 1))) == 24
