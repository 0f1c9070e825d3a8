"""batches.py: what every epoch of both samplers must be, whatever the sizes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lmini import RandomBatches, SequentialBatches

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


def test_random_rows_are_shuffled_and_do_not_go_on():
    batches = RandomBatches(torch.arange(10_000), 32, 35)
    assert not batches.carries_state
    first, second = [torch.stack([X for X, _ in batches]) for _ in range(2)]
    assert not torch.equal(first[1:, :, 0], first[:-1, :, -1] + 1)
    starts = first[:, :, 0].flatten()
    assert not torch.equal(starts, starts.sort().values)
    assert not torch.equal(first, second), "each epoch has an order of its own"


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_seeds(Sampler):
    def epochs(seed):
        batches = Sampler(torch.arange(500), 3, 7, seed)
        return [[X.tolist() for X, _ in batches] for _ in range(4)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    resumed = Sampler(torch.arange(500), 3, 7, 1)
    resumed.epoch = 3  # what a checkpoint restores
    assert [X.tolist() for X, _ in resumed] == epochs(1)[3]


@pytest.mark.parametrize("Sampler", SAMPLERS)
def test_over_time_hardly_a_token_is_left_out(Sampler):
    # The course's own sizes: an epoch drops 1,040 of 10,000 tokens, but not the same ones every time.
    batches = Sampler(torch.arange(10_000), 32, 35)
    assert batches.tokens_dropped == 1_040
    seen = {int(x) for _ in range(100) for X, _ in batches for x in X.flatten()}
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
    "tokens", [torch.zeros(100), torch.zeros(10, 10, dtype=torch.long), list("text"), "text", None]
)
def test_tokens_must_be_a_row_of_integers(tokens):
    with pytest.raises(TypeError, match="1-D"):
        SequentialBatches(tokens, 2, 2)
