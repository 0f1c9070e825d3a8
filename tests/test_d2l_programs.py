"""d2l: whole programs in the book's style, with one line changed."""

import math
import random
import re

import matplotlib
import pytest
import torch
from book_programs import CPU, SCRATCH, OwnModel, own_rnn, rnn_forward, rnn_params, rnn_state, without_a_network  # noqa: F401
from torch import nn

from d2lmini import d2l

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("without_a_network")


def perplexities(net, train_iter, num_epochs, lr=1):
    """First and last perplexity of a run through train_epoch_ch8."""
    loss, updater = nn.CrossEntropyLoss(), None
    if isinstance(net, nn.Module):
        updater = torch.optim.SGD(net.parameters(), lr)
    else:

        def updater(batch_size):
            d2l.sgd(net.params, lr, batch_size)

    runs = [d2l.train_epoch_ch8(net, train_iter, loss, updater, CPU, False)[0] for _ in range(num_epochs)]
    return runs[0], runs[-1]


@pytest.mark.parametrize("name", SCRATCH)
@pytest.mark.parametrize("model_class", [d2l.RNNModelScratch, OwnModel])
def test_programs_from_scratch(name, model_class):
    if name.endswith("list") and model_class is d2l.RNNModelScratch:
        pytest.skip("the course's class says that the state must be a tuple; a learner's own may take a list")
    torch.manual_seed(0)
    train_iter, vocab = d2l.load_data_time_machine(8, 10, max_tokens=1500)
    vocab_size, num_hiddens, device = len(vocab), 24, CPU
    net = model_class(vocab_size, num_hiddens, device, *SCRATCH[name])
    state = net.begin_state(2, device)
    Y, new_state = net(torch.arange(10).reshape((2, 5)), state)
    assert Y.shape == (10, 28) and len(new_state) == len(state) and new_state[0].shape == (2, 24)
    first, last = perplexities(net, train_iter, 8)
    assert first < 28 and last < 0.85 * first
    assert len(d2l.predict_ch8("time traveller ", 10, net, vocab, device)) == 25


LAYERS = {
    "rnn": lambda v, h: nn.RNN(v, h),
    "gru": lambda v, h: nn.GRU(v, h),
    "lstm": lambda v, h: nn.LSTM(v, h),
    "deep lstm": lambda v, h: nn.LSTM(v, h, 2),
    "bidirectional lstm": lambda v, h: nn.LSTM(v, h, 2, bidirectional=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_concise_programs(name, capsys):
    torch.manual_seed(0)
    batch_size, num_steps, device = 8, 10, CPU
    train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps, max_tokens=1500)
    model = d2l.RNNModel(LAYERS[name](len(vocab), 24), len(vocab))
    model = model.to(device)
    num_epochs, lr = 10, 2
    before, _ = perplexities(model, train_iter, 1, lr)
    d2l.train_ch8(model, train_iter, vocab, lr * 1.0, num_epochs, device)
    after = float(re.search(r"^perplexity ([\d.]+), ", capsys.readouterr().out, re.MULTILINE)[1])
    assert after < 0.9 * before


def test_a_learners_own_loader_and_loop():
    """The loader and the training loop written out, with the book's helpers only."""

    class OwnLoader:
        def __init__(self, batch_size, num_steps, max_tokens):
            self.corpus, self.vocab = d2l.load_corpus_time_machine(max_tokens)
            self.batch_size, self.num_steps = batch_size, num_steps

        def __iter__(self):
            return d2l.seq_data_iter_sequential(self.corpus, self.batch_size, self.num_steps)

    random.seed(0)
    train_iter = OwnLoader(8, 10, 1500)
    net, loss = own_rnn(len(train_iter.vocab)), nn.CrossEntropyLoss()
    animator = d2l.Animator(xlabel="epoch", ylabel="perplexity", legend=["train"], xlim=[1, 8])
    for epoch in range(8):
        state, timer, metric = None, d2l.Timer(), d2l.Accumulator(2)
        for X, Y in train_iter:
            if state is None:
                state = net.begin_state(batch_size=X.shape[0], device=CPU)
            for s in state:
                s.detach_()
            y = Y.T.reshape(-1)
            y_hat, state = net(X, state)
            value = loss(y_hat, y.long()).mean()
            value.backward()
            d2l.grad_clipping(net, 1)
            d2l.sgd(net.params, 1, batch_size=1)
            metric.add(value * d2l.size(y), d2l.size(y))
        assert metric[1] / timer.stop() > 0
        animator.add(epoch + 1, [math.exp(metric[0] / metric[1])])
    (line,) = animator.axes[0].lines
    assert list(line.get_xdata()) == list(range(1, 9)) and line.get_ydata()[-1] < 0.75 * line.get_ydata()[0]
    first, last = perplexities(net, train_iter, 2)  # and their loader serves our epoch function
    assert last <= first * 1.1


# The whole run of the book


@pytest.mark.slow
@pytest.mark.parametrize(("use_random_iter", "largest"), [(False, 1.1), (True, 1.7)])
def test_the_books_run_ends_no_worse_than_the_book(use_random_iter, largest, capsys):
    torch.manual_seed(0)
    train_iter, vocab = d2l.load_data_time_machine(32, 35, use_random_iter)
    net = d2l.RNNModelScratch(len(vocab), 512, d2l.try_gpu(), rnn_params, rnn_state, rnn_forward)
    d2l.train_ch8(net, train_iter, vocab, 1, 500, d2l.try_gpu(), use_random_iter=use_random_iter)
    out = capsys.readouterr().out
    assert float(re.search(r"^perplexity ([\d.]+), ", out, re.MULTILINE)[1]) <= largest
    assert len(out.splitlines()[-1]) == len("traveller") + 50
