"""What notebook 12 shows of the whole book is what tests/tools/inside.py measures."""

import json
import math

import inside
import pytest
import torch
from search import load_book
from torch.nn import functional as F

from d2lmini import RNNModelByHand, evaluate, load_corpus, one_hot
from d2lmini.book import data_path

STORED = json.loads(data_path("runs/inside.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def text():
    return load_corpus()


@pytest.fixture
def whole_book():
    try:
        return load_book()
    except ConnectionError as error:
        pytest.skip(f"the stored figures are the whole book's: {error}")


def test_every_network_is_stored():
    runs = {f"{kind}, seed {seed}" for kind in inside.KINDS for seed in inside.SEEDS}
    assert set(STORED) == {"counted", *runs, *(f"{kind}, rates" for kind in inside.KINDS)}
    for kind, (num_epochs, rates, _) in inside.KINDS.items():
        tried = STORED[f"{kind}, rates"]
        assert {float(lr) for lr in tried} == set(rates)
        for seed in inside.SEEDS:
            run = STORED[f"{kind}, seed {seed}"]
            assert run["lr"] == float(min(tried, key=tried.get)) and len(run["curve"]) == num_epochs
            assert {int(k) for k in run["bits"]} == set(inside.CONTEXTS)
            assert run["num_params"] == sum(param.numel() for param in inside.make(kind, 28, seed).parameters())


def test_networks_have_about_equal_size():
    sizes = {kind: STORED[f"{kind}, seed 0"]["num_params"] for kind in inside.KINDS}
    assert max(sizes.values()) < 1.03 * min(sizes.values())


def test_the_whole_past_is_what_evaluate_sees(text):
    _, held_out, vocab = text
    model = inside.make("RNN", len(vocab), 0)
    nll, states = inside.read(model, held_out[:300])
    assert 2 ** float(nll.mean()) == pytest.approx(evaluate(model, held_out[:300]), rel=1e-5)
    assert states[0].shape == (300, 256)


def test_bits_see_k_characters_and_no_more(text):
    _, held_out, vocab = text
    model = RNNModelByHand(len(vocab), 16, orthogonal=True)
    ids = held_out[:80]
    ends = inside.places(ids)
    changed = ids.clone()
    changed[: int(ends[0]) - 3] = 1
    assert inside.bits(model, ids, 3) == inside.bits(model, changed, 3)
    assert inside.bits(model, ids, 3) != inside.bits(model, ids, 4)
    losses = []
    for end in ends.tolist():
        logits, _ = model(ids[None, end - 3 : end], model.begin_state(1))
        losses.append(float(F.cross_entropy(logits[-1:], ids[end : end + 1]).detach()))
    assert inside.bits(model, ids, 3) == pytest.approx(sum(losses) / len(losses) / math.log(2), rel=1e-5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
def test_jacobians_are_those_of_autograd(kind, text):
    _, held_out, vocab = text
    model, ids = inside.make(kind, len(vocab), 0), held_out[:4]
    _, states = inside.read(model, ids)
    before = tuple(part[..., 2:3, :] for part in states)

    def step(flat):
        state = tuple(part.reshape(old.shape) for part, old in zip(flat.chunk(len(before)), before))
        if kind == "RNN":
            W_xh, W_hh, b_h, _, _ = model.params
            return torch.tanh(W_xh[ids[3]] + state[0] @ W_hh + b_h).flatten()
        _, (H, C) = model.rnn(one_hot(ids[3:4, None], len(vocab)), state)
        return torch.cat([H.flatten(), C.flatten()])

    flat = torch.cat([part.flatten() for part in before])
    expected = torch.autograd.functional.jacobian(step, flat).T
    if kind == "RNN":
        found = inside.rnn_jacobians(model, states[0][3:4])
    else:
        found = inside.lstm_jacobians(model, ids[3:4], *(part[0] for part in before))
    torch.testing.assert_close(found[0], expected.detach(), rtol=1e-4, atol=1e-5)


def test_probes_and_units_find_what_is_there_and_nothing_else():
    rng = torch.Generator().manual_seed(0)
    answers = torch.randint(3, (600,), generator=rng)
    noise = torch.randn(600, 20, generator=rng)
    assert inside.probe_accuracy(torch.cat([noise, F.one_hot(answers)], dim=1), answers) == 1
    assert inside.probe_accuracy(noise, answers) < 0.45
    spaces = (answers == 0).long()
    assert inside.best_unit(torch.cat([noise, -spaces[:, None]], dim=1), spaces) == 1
    assert 0.4 < inside.best_unit(noise, spaces) < 0.6


def test_vowels_apart_counts_all_choices_of_five():
    letters = "abcdefghijklmnopqrstuvwxyz"
    apart = torch.tensor([[5.0 * (c in "aeiou")] for c in letters]) + 0.01 * torch.arange(26)[:, None]
    assert inside.vowels_apart(apart, letters)[1] == round(1 / math.comb(26, 5), 5)
    assert inside.vowels_apart(torch.arange(26.0)[:, None] % 7, letters)[1] > 0.05


@pytest.mark.slow
def test_counts_and_the_first_epoch_of_a_network(one_thread, whole_book):
    tokens, held_out, vocab = whole_book
    counted = json.loads(json.dumps(inside.counted(tokens, held_out, vocab)))
    for order, bits in STORED["counted"]["Kneser-Ney"].items():
        assert counted["Kneser-Ney"][order] == pytest.approx(bits, abs=1e-3)
    half = len(held_out) // 2
    _, rates, epochs = inside.KINDS["RNN"]
    _, curve = inside.fit("RNN", tokens, held_out[:half], len(vocab), rates[-1], 0, epochs)
    assert min(ppl for _, ppl in curve.values()) == pytest.approx(STORED["RNN, rates"][str(rates[-1])], rel=0.03)
