"""Each entry of the symptom guide (notebooks/symptoms.md): the cause produces the symptom, and what to try cures it."""

import math
import re
from pathlib import Path

import pytest
import torch
from clinic import CarriedRandom
from torch import nn
from torch.nn import functional as F

from d2lmini import (
    RandomBatches,
    RNNModel,
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Vocab,
    Watch,
    baselines,
    evaluate,
    load_corpus,
    normalise,
    predict,
    sample,
    train,
    train_epoch,
)
from d2lmini.training import detach

ROOT = Path(__file__).parents[1]
ENTRIES = re.findall("^### (.+)$", (ROOT / "notebooks/symptoms.md").read_text(encoding="utf-8"), re.MULTILINE)
TESTED = set()

TRAIN, HELD_OUT, VOCAB = load_corpus(num_train=3000)
HELD_OUT = HELD_OUT[:1500]


def entry(heading):
    """Say which entry of the guide a test is about."""
    TESTED.add(heading)
    return lambda test: test


def data(tokens=TRAIN):
    return SequentialBatches(tokens, 16, 15)


def network(num_hiddens=32, **init):
    return RNNModelScratch(len(VOCAB), num_hiddens, **{"input_std": 0.3, "orthogonal": True, **init})


@pytest.fixture(scope="module")
def trained():
    model = network()
    train(model, data(), 12, lr=1)
    return model


class MixedAxes:
    """Minibatches whose targets are flattened row by row, while the logits come step by step."""

    def __init__(self, batches):
        self.batches, self.carries_state = batches, batches.carries_state

    def __iter__(self):
        for X, Y in self.batches:
            yield X, Y.reshape(Y.shape[1], Y.shape[0]).T  # so that Y.T.reshape(-1) is what Y.reshape(-1) was


@entry("The perplexity falls to the unigram line and stays there")
def test_stuck_at_the_unigram_line():
    unigram = baselines(TRAIN, TRAIN, len(VOCAB))["unigram"]
    wrong, right = network(), network()
    stuck = [train_epoch(wrong, batches, lr=1)[0] for batches in [MixedAxes(data())] * 8]
    falls = [train_epoch(right, batches, lr=1)[0] for batches in [data()] * 8]
    assert all(ppl > 0.95 * unigram for ppl in stuck) and falls[-1] < 0.7 * unigram
    assert evaluate(wrong, HELD_OUT) > 0.95 * unigram


def without_memory(inputs, state, params):
    """An rnn whose steps all read the state from before the sequence."""
    W_xh, W_hh, b_h, W_hq, b_q = params
    hiddens = torch.tanh(inputs @ W_xh + state[0] @ W_hh + b_h)
    return hiddens.flatten(0, 1) @ W_hq + b_q, state


@entry("The perplexity falls to the bigram line and stays there")
def test_stuck_at_the_bigram_line():
    bigram = baselines(TRAIN, TRAIN, len(VOCAB))["bigram"]
    wrong, right = network(forward_fn=without_memory), network()
    for _ in range(24):
        stuck, falls = (train_epoch(model, data(), lr=1)[0] for model in (wrong, right))
    assert 0.95 * bigram < stuck < 1.05 * bigram and falls < 0.75 * bigram

    text, changed = TRAIN[:10][None], TRAIN[:10][None].clone()
    changed[0, 4] = (changed[0, 4] + 1) % len(VOCAB)
    for model, moved in ((wrong, [4]), (right, list(range(4, 10)))):
        before, after = (model(ids, model.begin_state(1))[0] for ids in (text, changed))
        assert (before != after).any(dim=1).nonzero().flatten().tolist() == moved


@entry("It learns slowly from the very start")
@pytest.mark.parametrize("seed", range(3))
def test_slow_because_the_states_are_saturated(seed):
    def begin(input_std):
        model = network(input_std=input_std, seed=seed)
        X, _ = next(iter(data()))
        _, (H,) = model(X, model.begin_state(16))
        ppl = [train_epoch(model, data(), lr=1)[0] for _ in range(8)]
        assert ppl == sorted(ppl, reverse=True)  # each epoch helps
        return float((H.abs() > 0.99).float().mean()), ppl[-1]

    (share, slow), (cured_share, quick) = begin(30), begin(1)
    assert share > 0.8 and cured_share < 0.05 and slow > 1.15 * quick


@entry("The first token of every sequence is predicted badly")
@pytest.mark.parametrize("seed", range(3))
def test_a_state_from_another_place_of_the_text(seed):
    def first_and_all(Sampler):
        """Training perplexity of the first token of each sequence, and of all tokens."""
        model, batches, nll = network(64, input_std=1, orthogonal=False, seed=seed), Sampler(TRAIN, 16, 15, seed), []
        for batches.epoch in range(1, 31):
            ppl, _ = train_epoch(model, batches, lr=1)
        state = model.begin_state(16)
        for X, Y in batches:
            logits, last = model(X, state)
            nll.append(F.cross_entropy(logits[:16], Y[:, 0]).item())
            state = detach(last) if batches.carries_state else state
        return math.exp(sum(nll) / len(nll)), ppl

    bigram = baselines(TRAIN, TRAIN, len(VOCAB))["bigram"]
    (misled, high), (first, low) = first_and_all(CarriedRandom), first_and_all(RandomBatches)
    assert misled > 1.3 * bigram and first < 0.85 * misled and low < high


@entry("The model generates only spaces")
def test_writes_only_spaces(trained):
    wrong, early = network(), network(input_std=0.01, orthogonal=False)
    for _ in range(8):
        train_epoch(wrong, MixedAxes(data()), lr=1)
    train_epoch(early, data(), lr=1)
    for model in (wrong, early):
        assert predict(model, VOCAB, "time", 20) == "time" + " " * 20
    assert predict(trained, VOCAB, "time", 20).split() != ["time"]


@entry('"Trying to backward through the graph a second time"')
def test_backward_through_the_graph_a_second_time():
    def two_minibatches(cut):
        model = network()
        state = model.begin_state(16)
        for X, Y in list(data())[:2]:
            logits, state = model(X, cut(state))
            F.cross_entropy(logits, Y.T.reshape(-1)).backward()

    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        two_minibatches(lambda state: state)
    two_minibatches(detach)


@entry("The loss is nan, inf or huge, and training stops with `TrainingDiverged`")
def test_loss_is_not_a_number():
    def run(theta, lr):
        torch.manual_seed(0)
        model = RNNModel(nn.RNN(len(VOCAB), 32, nonlinearity="relu"), len(VOCAB))
        return train(model, data(), 5, lr, theta).train_ppl[-1]

    with pytest.raises(TrainingDiverged, match="smaller learning rate, or clip"):
        run(theta=None, lr=20)
    assert run(theta=1, lr=1) < 28


@entry('"the state has shape (16, 256), but the model needs (3, 256)"')
def test_state_and_minibatch_of_different_sizes():
    model, X = network(), TRAIN[:30].reshape(3, 10)
    with pytest.raises(ValueError, match=r"the state has shape \(16, 32\), but the model needs \(3, 32\).*begin_state"):
        model(X, model.begin_state(16))
    assert model(X, model.begin_state(3))[0].shape == (30, len(VOCAB))


@entry('"the state has shape (16, 256), but the model needs (3, 256)"')
def test_state_of_the_last_smaller_minibatch():
    """A learner's own loader that does not drop the rest."""
    model, state = network(), None
    with pytest.raises(ValueError, match=r"the state has shape \(16, 32\), but the model needs \(5, 32\)"):
        for X in TRAIN[:210].reshape(21, 10).split(16):
            _, state = model(X, state or model.begin_state(len(X)))


@entry('"X is on cpu, but the model is on cuda:0"')
def test_model_and_minibatch_on_different_devices():
    model, X = network(), TRAIN[:30].reshape(3, 10)
    with pytest.raises(ValueError, match=r"X is on meta, but the model is on cpu: move it with X\.to\('cpu'\)"):
        model(X.to("meta"), model.begin_state(3))


def loop_length(text):
    """The smallest period of the last 60 characters, or 60 if they do not repeat."""
    end = text[-60:]
    return next((n for n in range(1, 31) if end[n:] == end[:-n]), 60)


@entry("The model repeats one character, or the same words, without end")
def test_greedy_text_goes_round_in_circles(trained):
    assert loop_length(predict(trained, VOCAB, "time traveller", 300)) <= 30
    for seed in range(3):
        text = sample(trained, VOCAB, "time traveller", 300, temperature=0.8, seed=seed)
        assert loop_length(text) == 60 and len(set(text)) > 10


@pytest.fixture(scope="module")
def memorised():
    """A model that has seen a short text far too often, and the history of its training."""
    model = network(64)
    return model, train(model, data(TRAIN[:600]), 70, lr=1, watch=Watch(HELD_OUT))


@entry("The held-out perplexity rises while the training perplexity still falls")
def test_held_out_perplexity_rises_while_training_falls(memorised, trained):
    _, history = memorised
    best = min(history.held_out_ppl, key=history.held_out_ppl.get)
    assert best < 70 and history.held_out_ppl[70] > 1.5 * history.held_out_ppl[best]
    assert history.train_ppl[-1] < 0.5 * history.train_ppl[best - 1]
    assert evaluate(trained, HELD_OUT) < history.held_out_ppl[best]  # five times the text, and fewer steps


@entry("The perplexity is far above the size of the vocabulary")
def test_far_above_the_vocabulary_size(memorised, trained):
    assert evaluate(memorised[0], HELD_OUT) > len(VOCAB)  # learnt by heart: sure, and wrong
    other_vocab = Vocab(sorted(VOCAB.idx_to_token[1:], reverse=True))
    mixed_up = torch.tensor(other_vocab[VOCAB.to_tokens(HELD_OUT)])
    assert evaluate(trained, mixed_up) > 2 * len(VOCAB) > 2 * evaluate(trained, HELD_OUT)


@entry('"a minibatch of 32 x 35 needs 1121 tokens"')
@pytest.mark.parametrize("sampler", [SequentialBatches, RandomBatches])
def test_a_minibatch_needs_more_tokens_than_the_text(sampler):
    with pytest.raises(ValueError, match=r"a minibatch of 32 x 35 needs 1121 tokens.*the text has 1120"):
        sampler(TRAIN[:1120], 32, 35)
    assert len(sampler(TRAIN[:1121], 32, 35)) == 1


@entry("\"the prefix 'Time!' has characters that the model has never seen\"")
def test_a_prefix_with_unknown_characters(trained):
    with pytest.raises(
        ValueError, match=r"the prefix 'Time!' has characters that the model has never seen: \['!', 'T'\].*normalise"
    ):
        predict(trained, VOCAB, "Time!", 5)
    assert predict(trained, VOCAB, normalise("Time!"), 5).startswith("time")


@entry("Every epoch takes longer than the last, or the memory fills up")
def test_slower_and_slower_without_detach():
    """Keeping one graph for the whole epoch hides the message, and each step costs more than the last."""

    def graph_size(node):
        seen, todo = set(), [node]
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo += [parent for parent, _ in node.next_functions]
        return len(seen)

    sizes = {}
    for cut in (detach, lambda state: state):
        model = network()
        state, sizes[cut] = model.begin_state(16), []
        for X, Y in data():
            logits, state = model(X, cut(state))
            loss = F.cross_entropy(logits, Y.T.reshape(-1))
            sizes[cut].append(graph_size(loss.grad_fn))
    with_detach, without = sizes.values()
    assert len(set(with_detach)) <= 2 and without == sorted(set(without)) and without[-1] > 5 * with_detach[-1]
    assert math.isfinite(loss.item())


def test_every_entry_of_the_guide_has_its_test_and_no_test_is_about_another():
    assert sorted(TESTED) == sorted(ENTRIES)
