"""Checks of notebook 06: perplexity of tokens and of an epoch, one step of training, and early stopping."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .forward_pass import OLD_STATE, STATE_IGNORED, step
from .gradient_clipping import EACH_ITS_OWN, SCALED_UP, joint
from .judge import Check, hot, ids, normal
from .parameters import NAMES, shapes
from .reading import Flaw, Parts, Unread, describe, items_of, number_of, unread
from .watching import usual_settings

NOT_DETACHED = "Did you forget to detach the incoming state? Its history belongs to the previous minibatch."
MEAN_OF_EXPONENTIALS = "Did you average exponentials, instead of taking the exponential of the average?"
SUMMED = "Did you sum the losses instead of averaging them?"
NO_EXPONENTIAL = "Did you forget the exponential?"
REBOUND = "it puts new tensors into the list params, so the model's own stay as they were"
TOO_MANY_MINUS = "Is there a minus sign too many or too few? Perplexity is at least 1."


def exp(value):
    """Without Python's OverflowError: what a learner computes with torch becomes infinite."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def geometric(probs, *, sign=-1, logarithm=torch.log, average="mean", exponential=exp):
    """The perplexity of tokens, with places to go wrong."""
    losses = sign * logarithm(probs.double())
    if average == "of exponentials":
        return sum(map(exponential, losses.tolist())) / len(losses)
    averages = {"mean": losses.mean(), "sum": losses.sum(), "median": -(-losses).median()}
    return exponential(float(averages[average]))


perplexity = Check(
    "perplexity",
    lambda probs: float(np.exp(-np.mean(np.log(probs.double().numpy())))),
    lambda rng: [
        ("a single token", (torch.tensor([0.125]),)),
        ("two tokens", (torch.tensor([0.5, 0.1]),)),
        ("tokens that are all certain", (torch.ones(6),)),
        ("five probabilities", (torch.tensor([0.9, 0.5, 0.1, 0.25, 0.6]),)),
        ("very small probabilities", (torch.tensor([1e-9, 0.5, 1e-6]),)),
        ("19 equally likely tokens", (torch.full((20,), 1 / 19),)),
        ("5,000 tokens", (torch.rand(5000, generator=rng) * 0.9 + 0.05,)),
    ],
    geometric,
    {
        MEAN_OF_EXPONENTIALS: {"average": "of exponentials"},
        "Did you average the probabilities? Average their logarithms.": lambda probs: float(1 / probs.mean()),
        SUMMED: {"average": "sum"},
        "Did you take the median instead of the mean?": {"average": "median"},
        TOO_MANY_MINUS: {"sign": 1},
        NO_EXPONENTIAL: {"exponential": lambda value: value},
        "Do the logarithm and the exponential have different bases?": [
            {"exponential": lambda value: 2**value if value < 1000 else math.inf},
            {"logarithm": torch.log2},
            {"logarithm": torch.log10},
        ],
        "Does the product of many probabilities become zero? Add their logarithms.": [
            lambda probs: float(probs.prod() ** (-1 / len(probs))),
            lambda probs: float(1 / probs.prod() ** (1 / len(probs))),
            lambda probs: float(probs.double().prod() ** (-1 / len(probs))),
            lambda probs: probs.prod().item() ** (-1 / len(probs)),
            lambda probs: math.prod(probs.tolist()) ** (-1 / len(probs)),
            lambda probs: (1 / math.prod(probs.tolist())) ** (1 / len(probs)),
        ],
    },
)


def epoch(mean_losses, num_tokens, *, weights="tokens", divisor="tokens", exponential=exp, sign=1, average="first"):
    """The perplexity of an epoch, with places to go wrong."""
    losses, tokens = sign * np.array(mean_losses), np.array(num_tokens)
    if average == "of exponentials":
        losses, exponential = np.array([exponential(loss) for loss in losses]), float
    total = float((losses * (tokens if weights == "tokens" else 1)).sum())
    return exponential(total / {"tokens": tokens.sum(), "minibatches": len(tokens), "one": 1}[divisor])


epoch_perplexity = Check(
    "epoch_perplexity",
    lambda mean_losses, num_tokens: math.exp(float(np.average(mean_losses, weights=num_tokens))),
    lambda rng: [
        ("a single minibatch", ([math.log(19)], [3])),
        ("a loss of zero", ([0.0, 0.0], [5, 3])),
        ("a large and a small minibatch", ([1.0, 3.0], [90, 10])),
        ("three minibatches of different sizes", ([2.0, 1.0, 3.0], [10, 70, 20])),
        ("minibatches of one size", ([2.5, 1.5, 0.5, 1.0], [36, 36, 36, 36])),
        (
            "500 minibatches",
            ((torch.rand(500, generator=rng) * 3).tolist(), torch.randint(1, 900, (500,), generator=rng).tolist()),
        ),
    ],
    epoch,
    {
        "Does every minibatch count equally? Multiply each loss by its number of tokens.": {
            "weights": "equal",
            "divisor": "minibatches",
        },
        MEAN_OF_EXPONENTIALS: [
            {"average": "of exponentials"},
            lambda mean_losses, num_tokens: sum(map(math.exp, mean_losses)) / len(mean_losses),
        ],
        NO_EXPONENTIAL: {"exponential": float},
        SUMMED: [
            {"divisor": "one"},
            lambda mean_losses, num_tokens: exp(sum(mean_losses)),
        ],
        "Did you divide the losses by the tokens without multiplying first? They're already means.": {
            "weights": "equal"
        },
        "Did you divide the sum by the number of minibatches, instead of tokens?": {"divisor": "minibatches"},
        "Did you use base 2? The losses are in nats.": {"exponential": lambda value: 2.0 ** min(value, 1e3)},
        TOO_MANY_MINUS: {"sign": -1},
        "Did you take the first or the last minibatch only?": [
            lambda mean_losses, num_tokens: exp(mean_losses[0]),
            lambda mean_losses, num_tokens: exp(mean_losses[-1]),
        ],
        "Did you take the lowest or the highest loss?": [
            lambda mean_losses, num_tokens: exp(min(mean_losses)),
            lambda mean_losses, num_tokens: exp(max(mean_losses)),
        ],
    },
)


def clip_nothing(params, theta):
    pass


def clip_each(params, theta):
    for param in params:
        nn.utils.clip_grad_norm_([param], theta)


def clip_numbers(params, theta):
    nn.utils.clip_grad_value_(params, theta)


def clip_always(params, theta):
    factor = theta / joint([param.grad for param in params])
    for param in params:
        param.grad *= factor


def training_step(X, Y, state, params, lr, theta, *, targets=lambda X, Y: Y.T, reduction="mean", detach=True, start=1,
                  returned="new", clear=True, clip=nn.utils.clip_grad_norm_, times=1, only=slice(None), softmax=False,
                  inputs=lambda X: X.T, **mistake):  # fmt: skip
    """One step of training from PyTorch's own parts, with places to go wrong."""
    H = start_H = start * (state[0].detach() if detach else state[0])
    states = []
    for column in inputs(X):
        H = step(hot(column, len(params[0])), H, params, **mistake)
        states.append(H)
    logits = torch.cat(states) @ params[3] + params[4]
    if softmax:
        logits = logits.softmax(-1)
    loss = F.cross_entropy(logits, targets(X, Y).flatten(), reduction=reduction)
    if clear:
        for param in params:
            param.grad = None
    loss.backward()
    clip(params, theta)
    with torch.no_grad():
        for param in params[only]:
            param -= times * lr * param.grad
    return float(loss.detach()), (H if returned == "new" else start_H,)


def observe_training(function, batches, H, params, lr, theta):
    """Run the steps one after the other, from a state that, as in training, is the result of a computation."""
    params = [param.clone().requires_grad_() for param in params]
    for param in params:
        param.grad = torch.full_like(param, 0.3)  # of the previous minibatch
    handed, state, found = list(params), (torch.tanh(H @ params[1]),), Parts()
    for X, Y in batches:
        result = function(X, Y, state, handed, lr, theta)
        usual_settings()  # whatever the function has set
        pair = items_of(result, 2)
        if result is None:
            return Parts({"result": unread((0.0, 0.0), None)})
        if pair is None or len(pair) != 2:
            return Parts({"result": Unread(f"expected a loss and the new state, got {describe(result)}")})
        found["loss"], state = pair
        new = items_of(state, 1)
        if new is None or len(new) != 1 or not isinstance(new[0], torch.Tensor):
            hint = "Is the new state a tuple, (H,)? The comma makes the tuple."
            return Parts({"new state": Unread(f"expected a tuple with one tensor, got {describe(state)}", hint)})
        if new[0].shape != H.shape:
            return Parts({"new state": new[0]})
        state = (new[0],)
    if any(a is not b for a, b in zip(params, handed)) or len(params) != len(handed):
        hint = "Change each tensor itself, under no_grad: param -= ..., not params[i] = ..."
        found["rebound"] = Flaw(REBOUND, hint)
        params = handed
    elif not all(param.requires_grad and param.is_leaf for param in params):
        found["leaves"] = Flaw("the parameters no longer take gradients", "Leave requires_grad as it is.")
    found |= {"new state": state[0]} | {f"{name} after the step": param for name, param in zip(NAMES, params)}
    return found


def batch(rng, vocab_size, *shape):
    return ids(rng, vocab_size, *shape), ids(rng, vocab_size, *shape)


def network_to_train(rng, vocab_size, num_hiddens):
    return [normal(rng, *shape, std=0.5) for shape in shapes(vocab_size, num_hiddens)]


train_step = Check(
    "train_step",
    training_step,
    lambda rng: [
        (
            what.format(batch_size, num_steps),
            ([batch(rng, vocab_size, batch_size, num_steps) for _ in range(times)],
             normal(rng, batch_size, num_hiddens), network_to_train(rng, vocab_size, num_hiddens), lr, theta),
        )
        for what, times, batch_size, num_steps, vocab_size, num_hiddens, lr, theta in [
            ("a batch of {} with {} step, vocabulary 2", 1, 1, 1, 2, 3, 0.5, 0.1),
            ("X of shape ({}, {})", 1, 2, 3, 5, 4, 0.7, 0.3),
            ("X of shape ({}, {}), gradients with a norm below theta", 1, 3, 2, 5, 4, 0.7, 40.0),
            ("two steps one after the other, X of shape ({}, {})", 2, 3, 4, 5, 4, 0.4, 0.8),
            ("X of shape ({}, {})", 1, 40, 15, 7, 6, 60.0, 0.02),
        ]
    ],
    training_step,
    {
        NOT_DETACHED: {"detach": False},
        "Are the targets in the wrong order? The logits are time-major, so the targets come from Y.T.": {
            "targets": lambda X, Y: Y
        },
        "Did you use the inputs X as targets? The targets are Y.": [
            {"targets": lambda X, Y: X.T},
            {"targets": lambda X, Y: X},
        ],
        "Did you forget .T for the inputs? The network reads one column of X in each step.": {
            "inputs": lambda X: X.reshape(X.shape[1], X.shape[0])
        },
        SUMMED: {"reduction": "sum"},
        "Did you apply softmax before cross_entropy? It takes logits.": {"softmax": True},
        "Did you forget to clip, or clip too late? Clip between backward and the update.": {"clip": clip_nothing},
        "Did you cut each number of the gradients (clamp)? Scale them all by one factor.": {"clip": clip_numbers},
        EACH_ITS_OWN: {"clip": clip_each},
        SCALED_UP: {"clip": clip_always},
        "Are the gradients of the previous step still there? Set every grad to None first.": {"clear": False},
        "Did you leave the parameters unchanged? Change them in place, before you clear their gradients.": {"times": 0},
        "Does the step go uphill? The sign of the update is minus.": {"times": -1},
        "Did you forget the learning rate?": lambda X, Y, state, params, lr, theta: training_step(
            X, Y, state, params, 1.0, theta
        ),
        "Did you update twice?": {"times": 2},
        "Did you update only some of the parameters?": [
            {"only": slice(0, 3)}, {"only": slice(3, 5)}, {"only": slice(0, 4)}, {"only": slice(0, 1)},
        ],
        STATE_IGNORED: {"start": 0},
        OLD_STATE: {"returned": "old"},
    },
    run=observe_training,
    changes=("params",),
    shares=True,
)  # fmt: skip


ENDLESS = 40  # epochs after which a training run without an end is ended


class Endless(Exception):
    """The training run goes on and on."""


def rounds(curve, params):
    """A pretended training run: what trains it for an epoch, what measures it, and how many epochs there were."""
    epochs = []

    def train_one_epoch():
        epochs.append(len(epochs) + 1)
        if len(epochs) > ENDLESS:
            raise Endless
        with torch.no_grad():
            for number, param in enumerate(params):
                param += 0.25 * (number + 1) * len(epochs)

    def validation_ppl():
        return 28.0 if not epochs else curve[min(len(epochs), len(curve)) - 1]

    return train_one_epoch, validation_ppl, epochs


def observe_stopping(function, curve, params, patience):
    """The best epoch that is found, how long it trained, and the parameters that it leaves behind."""
    params = [param.clone().requires_grad_() for param in params]
    handed, found = list(params), Parts()
    train_one_epoch, validation_ppl, epochs = rounds(curve, params)
    try:
        found["result"] = function(train_one_epoch, validation_ppl, handed, patience)
    except Endless:
        return Parts({"number of epochs": f"no end after {ENDLESS}"})
    usual_settings()  # whatever the function has set
    found["number of epochs"] = number_of(len(epochs), "epoch")
    if len(handed) != len(params) or any(a is not b for a, b in zip(params, handed)):
        hint = "Copy the numbers into each tensor, under no_grad: param.copy_(...), not params[i] = ..."
        found["rebound"] = Flaw(REBOUND, hint)
    return found | {f"parameter {i}": param for i, param in enumerate(params)}


def stopping(train_one_epoch, validation_ppl, params, patience, *, better=lambda ppl, best: ppl < best, saved="best",
             kept=slice(None), offset=0, waits="since best", returned=lambda best, last, ppl: best):  # fmt: skip
    """Early stopping, with places to go wrong."""
    best, best_ppl, copies, epoch, previous, bad = 0, None, None, 0, None, 0
    while True:
        before = [param.detach().clone() for param in params]
        train_one_epoch()
        epoch, ppl = epoch + 1, validation_ppl()
        rival = previous if waits == "since falling" else best_ppl
        improved = rival is None or better(ppl, rival)
        if best_ppl is None or better(ppl, best_ppl):
            best, best_ppl = epoch, ppl
            if copies is None or saved != "first":
                copies = before if saved == "before" else [param.detach().clone() for param in params]
        bad = 0 if improved and waits != "altogether" else bad + (not improved)
        previous = ppl
        if bad >= patience + offset:
            break
    if saved != "last":
        with torch.no_grad():
            for param, copy in list(zip(params, copies))[kept]:
                param.copy_(copy)
    return returned(best, epoch, best_ppl)


def reference_stopping(train_one_epoch, validation_ppl, params, patience):
    """All states are kept, and the choice is made from the whole list."""
    ppls, states = [], []
    while len(ppls) <= patience or min(ppls[-patience:]) < min(ppls[:-patience]):
        train_one_epoch()
        ppls.append(validation_ppl())
        states.append([param.detach().clone() for param in params])
    best = ppls.index(min(ppls))
    for param, numbers in zip(params, states[best]):
        param.data.copy_(numbers)
    return best + 1


FORGOTTEN = (
    "Are these the weights of the last epoch? Keep copies (.clone()) in the best epoch, and put them back at the end."
)

early_stopping = Check(
    "early_stopping",
    reference_stopping,
    lambda rng: [
        (
            f"validation perplexities {str(curve[:13])[1:-1]}{', ...' * (len(curve) > 13)}, patience {patience}",
            (curve, [normal(rng, *shape) for shape in shapes], patience),
        )
        for curve, patience, shapes in [
            ([9, 7, 8, 8.5, 8.6, 5], 2, [(2,)]),
            ([9, 7.5, 7, 7, 7, 6.5, 6, 8], 2, [(2, 3), (3,)]),
            ([6, 6.5, 6.4, 6.3, 6.2, 5], 4, [(2,), (1, 2)]),
            ([9, 9.5, 8, 8.5, 7, 7.5, 6.5, 6.4, 6.45, 6.44, 6.43, 6.42, 5], 3, [(2, 2), (3,), (2,)]),
            ([9, 10, 8], 1, [(3,), (2,)]),
            ([30, 29, 31, 28.5, 31, 31, 31, 31], 3, [(4, 2), (2,)]),
            ([7.002, 7.001, 7.003, 7, 7.004, 7.005], 2, [(3,), (2, 2)]),
            ([*range(30, 5, -1), 5.5, 6, 8, 9], 3, [(2,), (3, 2)]),
        ]
    ],
    stopping,
    {
        FORGOTTEN: {"saved": "last"},
        "Did you keep the weights of the first epoch only? Copy them again in every better epoch.": {"saved": "first"},
        "Did you copy the weights before the epoch? The best weights are those that were measured.": {
            "saved": "before"
        },
        "Did you put back only some of the parameters?": [{"kept": slice(1)}, {"kept": slice(1, None)}],
        "Did you use <=? Of two equal perplexities, the first counts.": {"better": lambda ppl, best: ppl <= best},
        "Did you look for the highest perplexity? The lowest is the best.": {"better": lambda ppl, best: ppl > best},
        "Did you wait an epoch too long? Stop after `patience` epochs without a new best.": {"offset": 1},
        "Did you stop an epoch too soon? Stop after `patience` epochs without a new best.": lambda a, b, params, n: (
            stopping(a, b, params, n, offset=-1) if n > 1 else stopping(a, b, params, n)
        ),
        "Did you compare with the previous epoch? Compare with the best so far.": {"waits": "since falling"},
        "Did you forget to count from zero again after a new best?": {"waits": "altogether"},
        "Did you return the last epoch? Return the best.": {"returned": lambda best, last, ppl: last},
        "Did you number the epochs from 0? The first is 1.": {"returned": lambda best, last, ppl: best - 1},
        "Did you return the perplexity? Return the number of the best epoch.": {
            "returned": lambda best, last, ppl: ppl
        },
        "Does it train without end? After `patience` epochs without a new best, stop.": {"offset": ENDLESS + 1},
    },
    run=observe_stopping,
    changes=("params",),
    shares=True,
)
