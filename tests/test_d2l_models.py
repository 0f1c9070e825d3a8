"""d2l: models, prediction and training by the book's names, each against the same thing written out."""

import math

import matplotlib
import pytest
import torch
from book_programs import (
    CHAPTER,
    CPU,
    OwnModule,
    OwnVocab,
    greedy,
    own_rnn,
    parameters,
    tiny_data,
    without_a_network,  # noqa: F401 (a fixture)
)  # fmt: skip
from torch import nn
from torch.nn import functional as F

import d2lmini
from d2lmini import d2l

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("without_a_network")


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (2, False), (2, True)])
def test_rnn_model_is_its_layer_and_a_linear_one(layer, num_layers, bidirectional):
    torch.manual_seed(0)
    rnn_layer = layer(9, 6, num_layers, bidirectional=bidirectional)
    net = d2l.RNNModel(rnn_layer, vocab_size=9)
    X = torch.randint(9, (3, 4))
    state = net.begin_state(batch_size=3, device=CPU)
    for same in (net.begin_state(CPU, 3), net.begin_state(device=CPU, batch_size=3)):
        assert torch.equal(torch.stack(list(same)), torch.stack(list(state)))
    shape = (num_layers * (2 if bidirectional else 1), 3, 6)
    assert all(s.shape == shape for s in (state if layer is nn.LSTM else [state]))
    assert (net.begin_state(CPU)[0] if layer is nn.LSTM else net.begin_state(CPU)).shape[1] == 1
    logits, _ = net(X, state)
    outputs, _ = rnn_layer(F.one_hot(X.T, 9).float())
    expected = outputs.reshape(12, -1) @ net.linear.weight.T + net.linear.bias
    torch.testing.assert_close(logits, expected)


def test_rnn_model_is_for_the_books_functions_and_its_weights_fit_the_courses_own():
    train_iter, vocab = tiny_data()
    net = d2l.RNNModel(nn.LSTM(len(vocab), 8), len(vocab))
    batches = d2lmini.SequentialBatches(train_iter.corpus, 8, 10)
    with pytest.raises(TypeError, match=r"d2lmini\.RNNModel"):
        d2lmini.train(net, batches, 2, 1.0)
    twin = d2lmini.RNNModel(nn.LSTM(len(vocab), 8), len(vocab))
    twin.load_state_dict(net.state_dict())
    assert d2lmini.predict(twin, vocab, "time", 9) == d2l.predict_ch8("time", 9, net, vocab, CPU)


def test_rnn_model_scratch_is_the_courses():
    assert d2l.RNNModelScratch is d2lmini.RNNModelScratch and d2l.try_gpu is d2lmini.try_gpu


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert d2l.try_all_gpus() == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert d2l.try_gpu(1) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert d2l.try_all_gpus() == [CPU] and d2l.try_gpu(10) == CPU


def test_predict_ch8_is_greedy_for_any_model_and_any_vocab():
    _, vocab = tiny_data()
    own_vocab = OwnVocab(d2lmini.normalise(CHAPTER))
    assert own_vocab.idx_to_token == vocab.idx_to_token
    torch.manual_seed(0)
    nets = [
        own_rnn(28),
        OwnModule(nn.GRU(28, 8), 28),
        OwnModule(nn.LSTM(28, 8, 2), 28),
        d2l.RNNModel(nn.RNN(28, 8), 28),
    ]
    varied = 0
    for net in nets:
        params = net.parameters() if isinstance(net, nn.Module) else net.params
        with torch.no_grad():
            for param in params:
                param += torch.randn(param.shape)  # an untrained net would write one letter only
        expected = greedy("time traveller ", 12, net, vocab)
        varied += len(set(expected[15:])) > 1
        assert d2l.predict_ch8("time traveller ", 12, net, vocab, CPU) == expected
        assert d2l.predict_ch8("time traveller ", 12, net, own_vocab, d2l.try_gpu()) == expected
    assert varied >= 3


def test_predict_ch8_refuses_what_the_model_cannot_read():
    net, vocab = own_rnn(28), tiny_data()[1]
    with pytest.raises(ValueError, match="at least one character"):
        d2l.predict_ch8("", 5, net, vocab, CPU)
    with pytest.raises(ValueError, match=r"never seen: \['T', 'é'\]"):
        d2l.predict_ch8("Té", 5, net, OwnVocab("abc"), CPU)
    with pytest.raises(ValueError, match="vocabulary has 4 tokens, but the model gives 28 logits"):
        d2l.predict_ch8("abc", 5, net, OwnVocab("abc"), CPU)
    odd = OwnVocab("abc")
    odd.idx_to_token = odd.idx_to_token[1:]
    with pytest.raises(ValueError, match=r"first entry of vocab\.idx_to_token"):
        d2l.predict_ch8("a", 5, net, odd, CPU)


def test_grad_clipping_and_sgd_are_torchs():
    for make in (lambda: own_rnn(28), lambda: d2l.RNNModel(nn.GRU(28, 5), 28)):
        for theta in (1e-3, 1e6):
            net, twin = make(), make()
            if isinstance(net, nn.Module):
                twin.load_state_dict(net.state_dict())
            ours, theirs = (list(n.parameters() if isinstance(n, nn.Module) else n.params) for n in (net, twin))
            for p, q in zip(ours, theirs):
                p.grad = torch.randn(p.shape)
                q.grad = p.grad.clone()
            d2l.grad_clipping(net, theta)
            nn.utils.clip_grad_norm_(theirs, theta)
            for p, q in zip(ours, theirs):
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-9)
            torch.optim.SGD(theirs, lr=0.5 / 4).step()
            d2l.sgd(ours, 0.5, batch_size=4)
            for p, q in zip(ours, theirs):
                torch.testing.assert_close(p, q)
                assert not p.grad.any()


def reference_epoch(net, minibatches, optimizer, reset):
    """One epoch written out with torch's own tools."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    state, losses, tokens = None, 0.0, 0
    for X, Y in minibatches:
        if state is None or reset:
            state = net.begin_state(batch_size=len(X), device=CPU)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        logits, state = net(X, state)
        loss = nn.CrossEntropyLoss()(logits, Y.T.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1)
        optimizer.step()
        losses, tokens = losses + loss.item() * Y.numel(), tokens + Y.numel()
    return math.exp(losses / tokens)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", ["function", "SGD", "Adam"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_train_epoch_ch8_is_the_loop_written_out(kind, reset, wrapped):
    """`wrapped`: the loader, which knows about the state; else a plain list, for which use_random_iter decides."""
    train_iter, _ = tiny_data(use_random_iter=reset)
    minibatches = list(train_iter)
    if kind == "function":
        net, twin = own_rnn(28), own_rnn(28)
        updater, optimizer = lambda batch_size: d2l.sgd(net.params, 1, batch_size), torch.optim.SGD(twin.params, 1)
    else:
        torch.manual_seed(0)
        net, twin = OwnModule(nn.LSTM(28, 8), 28), OwnModule(nn.LSTM(28, 8), 28)
        twin.load_state_dict(net.state_dict())
        make = {"SGD": lambda n: torch.optim.SGD(n.parameters(), 1), "Adam": lambda n: torch.optim.Adam(n.parameters())}
        updater, optimizer = make[kind](net), make[kind](twin)
    given = d2l.SeqDataLoader(8, 10, reset, 1500) if wrapped else minibatches
    loss = nn.CrossEntropyLoss(reduction="none" if wrapped else "mean")
    ppl, speed = d2l.train_epoch_ch8(net, given, loss, updater, CPU, reset)
    assert ppl == pytest.approx(reference_epoch(twin, minibatches, optimizer, reset), rel=1e-5) and speed > 0
    for p, q in zip(parameters(net), parameters(twin)):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_the_samplers_word_on_the_state_wins_with_a_warning():
    loss, given = nn.CrossEntropyLoss(), {}
    for sampler_is_random in (False, True):
        for use_random_iter in (False, True):
            net = own_rnn(28)
            train_iter, _ = tiny_data(use_random_iter=sampler_is_random)
            step = torch.optim.SGD(net.params, 1)
            if sampler_is_random == use_random_iter:
                ppl, _ = d2l.train_epoch_ch8(net, train_iter, loss, step, CPU, use_random_iter)
            else:
                kind = "random: the state starts anew" if sampler_is_random else "sequential: the state carries over"
                with pytest.warns(UserWarning, match=f"minibatches are {kind}") as caught:
                    ppl, _ = d2l.train_epoch_ch8(net, train_iter, loss, step, CPU, use_random_iter)
                assert caught[0].filename == __file__
            given[sampler_is_random, use_random_iter] = ppl
    assert given[False, False] == given[False, True] != given[True, True] == given[True, False]


def test_another_loss_function_is_used():
    net, (train_iter, _) = own_rnn(28), tiny_data()
    smooth = nn.CrossEntropyLoss(label_smoothing=0.5)
    ppl, _ = d2l.train_epoch_ch8(net, train_iter, smooth, torch.optim.SGD(net.params, 1e-9), CPU, False)
    assert ppl == pytest.approx(28, rel=1e-3)
    half, _ = d2l.train_epoch_ch8(
        net, train_iter, lambda y_hat, y: F.cross_entropy(y_hat, y) / 2, torch.optim.SGD(net.params, 1e-9), CPU, False
    )
    assert half == pytest.approx(math.sqrt(28), rel=1e-3)


def test_a_generator_serves_one_epoch_and_an_empty_one_is_named():
    net, (train_iter, _) = own_rnn(28), tiny_data()
    step = torch.optim.SGD(net.params, 1)
    generator = (pair for pair in d2l.seq_data_iter_sequential(train_iter.corpus, 8, 10))
    ppl, _ = d2l.train_epoch_ch8(net, generator, nn.CrossEntropyLoss(), step, CPU, False)
    assert 1 < ppl < 28
    with pytest.raises(ValueError, match=r"gave no minibatch.*generator"):
        d2l.train_epoch_ch8(net, generator, nn.CrossEntropyLoss(), step, CPU, False)


def test_a_loss_that_is_not_a_number_is_named():
    net, (train_iter, vocab) = own_rnn(28), tiny_data()
    with torch.no_grad():
        net.params[0][3] = math.nan
    with pytest.raises(d2lmini.TrainingDiverged, match="loss is nan"):
        d2l.train_ch8(net, train_iter, vocab, 1, 1, CPU)
    with pytest.raises(d2lmini.TrainingDiverged, match="learning rate of the updater"):
        d2l.train_epoch_ch8(net, train_iter, nn.CrossEntropyLoss(), torch.optim.SGD(net.params, 1), CPU, False)
    with pytest.raises(ValueError, match="num_epochs"):
        d2l.train_ch8(net, train_iter, vocab, 1, 0, CPU)


def test_train_ch8_prints_training_and_held_out_perplexity_and_two_texts(capsys):
    net, twin, (train_iter, vocab) = own_rnn(28), own_rnn(28), tiny_data()
    d2l.train_ch8(net, train_iter, vocab, 1, 20, CPU)
    lines = capsys.readouterr().out.splitlines()[-6:]
    optimizer = torch.optim.SGD(twin.params, 1)
    again, _ = tiny_data()
    for _ in range(20):
        ppl = reference_epoch(twin, list(again), optimizer, False)
    held_out = torch.tensor(train_iter.held_out)
    rows = held_out[: 32 * (len(held_out) // 32)].reshape(32, -1)
    logits, _ = twin(rows[:, :-1], twin.begin_state(32, CPU))
    unseen = F.cross_entropy(logits, rows[:, 1:].T.flatten()).exp().item()
    assert lines[2].startswith(f"perplexity {ppl:.1f}, ") and lines[2].endswith(" tokens/sec on cpu")
    assert lines[3].startswith(f"perplexity {unseen:.1f} on the text that follows")
    assert lines[1] == lines[4] == greedy("time traveller", 50, net, vocab)
    assert lines[5] == greedy("traveller", 50, net, vocab) and lines[0].startswith("time traveller")


@pytest.mark.parametrize(("length", "measured"), [(0, False), (1, False), (2, True), (3, True)])
def test_train_ch8_measures_a_text_of_two_tokens(length, measured, capsys):
    train_iter, vocab = tiny_data()
    train_iter.held_out = train_iter.held_out[:length]
    d2l.train_ch8(own_rnn(28), train_iter, vocab, 1, 1, CPU)
    assert ("on the text that follows" in capsys.readouterr().out) == measured


@pytest.mark.parametrize(("num_epochs", "expected"), [(9, 0), (10, 1), (30, 3), (105, 10), (200, 10)])
def test_train_ch8_prints_a_text_every_ten_epochs_or_ten_times_in_all(num_epochs, expected, capsys):
    tokens = list("time traveller ") * 3
    vocab = d2l.Vocab(tokens)
    minibatches = list(d2l.seq_data_iter_sequential(vocab[tokens], 2, 10))
    d2l.train_ch8(own_rnn(len(vocab), 4), minibatches, vocab, 0.1, num_epochs, CPU)
    lines = capsys.readouterr().out.splitlines()
    (summary,) = [i for i, line in enumerate(lines) if line.startswith("perplexity ")]
    assert summary == expected and all(line.startswith("time traveller") for line in lines[:expected])


def test_train_ch8_on_another_text_leaves_out_the_prefixes_it_cannot_read(capsys):
    tokens = list("el camino de vuelta a casa ") * 20
    vocab = OwnVocab(tokens)
    minibatches = list(d2l.seq_data_iter_sequential(vocab[tokens], 4, 10))
    d2l.train_ch8(own_rnn(len(vocab)), minibatches, vocab, 1, 10, CPU)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1 and out[0].startswith("perplexity ")
