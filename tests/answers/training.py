"""Answers to the exercises of notebook 06."""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import d2lmini

from . import RIGHT, changes, right, wrong
from .forward_pass import logits, network
from .gradient_clipping import joint


def training_step(detach=True, targets=lambda X, Y: Y.T, reduction="mean", clip="joint", clear=True, sign=-1,
                  update=True, start=lambda H: H, new=lambda H, old: (H,)):  # fmt: skip
    """A learner's training step, with something left out."""

    def train_step(X, Y, state, params, lr, theta):
        (H,) = state
        if detach:
            H = H.detach()
        states = network(torch.eye(len(params[0]))[X.T], (start(H),), params)
        loss = F.cross_entropy(logits(torch.cat(states), params), targets(X, Y).reshape(-1), reduction=reduction)
        if clear:
            for param in params:
                param.grad = None
        loss.backward()
        with torch.no_grad():
            grads = [param.grad for param in params]
            for group in {"joint": [grads], "each": [[grad] for grad in grads], "no": [], "always": [grads]}[clip]:
                factor = theta / joint(group)
                for grad in group:
                    grad *= factor if clip == "always" else min(1, factor)
            for param in params if update else []:
                param += sign * lr * param.grad
        return loss.item(), new(states[-1], H)

    return train_step


# --- perplexity ---


right("perplexity")(lambda probs: math.exp(-probs.log().mean()))


right("perplexity")(lambda probs: d2lmini.perplexity(float(-probs.log().sum()), len(probs)))


right("perplexity")(lambda probs: 1 / np.exp(np.log(probs.numpy()).mean()))


right("perplexity")(lambda probs: torch.exp(-torch.log(probs).sum() / probs.numel()))


right("perplexity")(lambda probs: 2 ** (-probs.log2().mean().item()))


right("perplexity")(lambda probs: math.prod(float(p) ** (-1 / len(probs)) for p in probs))


wrong("perplexity", "Did you average exponentials, instead of taking the exponential of the average?")(
    lambda probs: torch.exp(-torch.log(probs)).mean().item()
)


wrong("perplexity", "Did you average exponentials, instead of taking the exponential of the average?")(
    lambda probs: (1 / probs).mean().item()
)


wrong("perplexity", "Did you average the probabilities? Average their logarithms.")(
    lambda probs: len(probs) / probs.sum().item()
)


wrong("perplexity", "Did you sum the losses instead of averaging them?")(
    lambda probs: torch.exp(-probs.log().sum()).item()
)


wrong("perplexity", "Is there a minus sign too many or too few? Perplexity is at least 1.")(
    lambda probs: torch.exp(torch.mean(torch.log(probs))).item()
)


wrong("perplexity", "Did you forget the exponential?")(lambda probs: -probs.log().mean().item())


wrong("perplexity", "Do the logarithm and the exponential have different bases?")(
    lambda probs: 2 ** -probs.log().mean().item()
)


wrong("perplexity", "Does the product of many probabilities become zero? Add their logarithms.")(
    lambda probs: (torch.prod(probs) ** (-1 / len(probs))).item()
)


# --- epoch_perplexity ---


@right("epoch_perplexity")
def _(mean_losses, num_tokens):
    total = 0.0
    for loss, n in zip(mean_losses, num_tokens):
        total += loss * n
    return math.exp(total / sum(num_tokens))


right("epoch_perplexity")(lambda losses, tokens: np.exp(np.dot(losses, tokens) / np.sum(tokens)))


right("epoch_perplexity")(
    lambda losses, tokens: torch.exp((torch.tensor(losses) * torch.tensor(tokens)).sum() / sum(tokens)).item()
)


wrong("epoch_perplexity", "Did you average exponentials, instead of taking the exponential of the average?")(
    lambda mean_losses, num_tokens: np.exp(mean_losses).mean().item()
)


wrong("epoch_perplexity", "Did you average exponentials, instead of taking the exponential of the average?")(
    lambda mean_losses, num_tokens: sum(math.exp(x) * n for x, n in zip(mean_losses, num_tokens)) / sum(num_tokens)
)


wrong("epoch_perplexity", "Does every minibatch count equally? Multiply each loss by its number of tokens.")(
    lambda mean_losses, num_tokens: np.exp(np.mean(mean_losses)).item()
)


wrong("epoch_perplexity", "Did you forget the exponential?")(
    lambda mean_losses, num_tokens: sum(x * n for x, n in zip(mean_losses, num_tokens)) / sum(num_tokens)
)


wrong("epoch_perplexity", "Did you sum the losses instead of averaging them?")(
    lambda mean_losses, num_tokens: math.exp(sum(x * n for x, n in zip(mean_losses, num_tokens)))
)


wrong("epoch_perplexity", "Did you divide the losses by the tokens without multiplying first? They're already means.")(
    lambda mean_losses, num_tokens: np.exp(np.sum(mean_losses) / np.sum(num_tokens)).item()
)


wrong("epoch_perplexity", "Did you divide the sum by the number of minibatches, instead of tokens?")(
    lambda mean_losses, num_tokens: math.exp(sum(x * n for x, n in zip(mean_losses, num_tokens)) / len(num_tokens))
)


# --- train_step ---


@right("train_step")
def _(X, Y, state, params, lr, theta):
    inputs, state = d2lmini.one_hot(X.T, len(params[0])), tuple(s.detach() for s in state)
    logits, state = d2lmini.rnn(inputs, state, params)
    loss = F.cross_entropy(logits, Y.T.reshape(-1))
    for param in params:
        param.grad = None
    loss.backward()
    d2lmini.clip_gradients(params, theta)
    d2lmini.sgd(params, lr)
    return loss.item(), state


@right("train_step")
def _(X, Y, state, params, lr, theta):
    state = (state[0].detach().clone(),)
    optimizer = torch.optim.SGD(params, lr=lr)
    logits, state = d2lmini.rnn(F.one_hot(X.t(), len(params[0])).float(), state, params)
    loss = nn.CrossEntropyLoss()(logits, Y.t().flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(params, theta)
    optimizer.step()
    return loss.detach(), (state[0].detach(),)


@right("train_step")
def _(X, Y, state, params, lr, theta):
    logits, (H,) = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), (state[0].data,), params)
    loss = -logits.log_softmax(-1)[torch.arange(Y.numel()), Y.T.flatten()].mean()
    grads = torch.autograd.grad(loss, params)
    factor = min(1, theta / joint(grads))
    with torch.no_grad():
        for param, grad in zip(params, grads):
            param.sub_(lr * factor * grad)
    return float(loss.detach()), (H,)


@wrong("train_step")
def _(X, Y, state, params, lr, theta):
    with torch.no_grad():
        before = [param * (lr * 1e-5) for param in params]  # a weight decay, however small
    result = RIGHT["train_step"][0](X, Y, state, params, lr, theta)
    with torch.no_grad():
        for param, decay in zip(params, before):
            param -= decay
    return result


wrong("train_step", "Did you forget to detach the incoming state? Its history belongs to the previous minibatch.")(
    training_step(detach=False)
)


wrong("train_step", "Are the targets in the wrong order? The logits are time-major, so the targets come from Y.T.")(
    training_step(targets=lambda X, Y: Y)
)


wrong("train_step", "Did you use the inputs X as targets? The targets are Y.")(training_step(targets=lambda X, Y: X.T))


wrong("train_step", "Did you sum the losses instead of averaging them?")(training_step(reduction="sum"))


wrong("train_step", "Did you forget to clip, or clip too late? Clip between backward and the update.")(
    training_step(clip="no")
)


wrong("train_step", "Did you clip each gradient by its own norm? They share one norm.")(training_step(clip="each"))


wrong("train_step", "Did you scale small gradients up? Without min(1, ...) the norm always becomes theta.")(
    training_step(clip="always")
)


wrong("train_step", "Are the gradients of the previous step still there? Set every grad to None first.")(
    training_step(clear=False)
)


wrong("train_step", "Did you leave the parameters unchanged? Change them in place, before you clear their gradients.")(
    training_step(update=False)
)


wrong("train_step", "Does the step go uphill? The sign of the update is minus.")(training_step(sign=1))


wrong("train_step", "Did you ignore the incoming state?")(training_step(start=torch.zeros_like))


wrong("train_step", "Did you return the old state? The new state is the H of the last step.")(
    training_step(new=lambda H, old: (old,))
)


wrong("train_step", "Is the new state a tuple, (H,)? The comma makes the tuple.")(training_step(new=lambda H, old: H))


# --- perplexity, more ---

wrong("perplexity", "Did you take the median")(lambda probs: math.exp(-probs.log().median()))
wrong("perplexity")(lambda probs: math.exp(-probs[:100].log().mean()))
wrong("perplexity", "Do the logarithm and the exponential")(lambda probs: math.exp(-probs.log2().mean()))
wrong("perplexity", "Did you forget the exponential?", "Is there a minus sign")(lambda probs: probs.log().mean().item())
wrong("perplexity", "Did you sum the losses", "Did you forget the exponential?")(
    lambda probs: -probs.log().sum().item()
)
wrong("perplexity", "Is there a minus sign", "Do the logarithm and the exponential")(
    lambda probs: 2 ** probs.log().mean().item()
)
wrong("perplexity", "Did you average exponentials", "Is there a minus sign")(lambda probs: probs.mean().item())

# --- epoch_perplexity, more ---

right("epoch_perplexity")(
    lambda losses, tokens: math.prod(math.exp(x * n / sum(tokens)) for x, n in zip(losses, tokens))
)
right("epoch_perplexity")(lambda losses, tokens: torch.tensor(np.repeat(losses, tokens)).mean().exp())
wrong("epoch_perplexity", "Did you take the lowest")(lambda losses, tokens: math.exp(min(losses)))
wrong("epoch_perplexity", "Did you take the first")(lambda losses, tokens: math.exp(losses[-1]))
wrong("epoch_perplexity", "Did you use base 2?")(lambda losses, tokens: 2 ** (np.dot(losses, tokens) / sum(tokens)))
wrong("epoch_perplexity", "Is there a minus sign")(
    lambda losses, tokens: math.exp(-np.dot(losses, tokens) / sum(tokens))
)
wrong("epoch_perplexity")(lambda losses, tokens: math.exp(np.dot(losses[:100], tokens[:100]) / sum(tokens[:100])))
wrong("epoch_perplexity", changes("mean_losses"))(
    lambda losses, tokens: math.exp(sum([losses.pop() * tokens[len(losses)] for _ in tokens]) / sum(tokens))
)
wrong("epoch_perplexity", "Does every minibatch count equally?", "Did you forget the exponential?")(
    lambda losses, tokens: np.mean(losses)
)
wrong("epoch_perplexity", "Does every minibatch count equally?", "Did you use base 2?")(
    lambda losses, tokens: 2 ** np.mean(losses)
)
wrong("epoch_perplexity", "Did you divide the sum by the number of minibatches", "Did you forget the exponential?")(
    lambda losses, tokens: np.dot(losses, tokens) / len(tokens)
)

# --- train_step, more ---


def detailed(
    clip_at="gradients",
    detach="before",
    update="in place",
    clear="before",
    result=lambda loss: loss.item(),
    softmax=False,
):
    def train_step(X, Y, state, params, lr, theta):
        inputs, (H,) = torch.eye(len(params[0]))[X.T], state
        states = network(inputs, (H.detach(),), params)
        outputs = logits(torch.cat(states), params)
        loss = F.cross_entropy(outputs.softmax(-1) if softmax else outputs, Y.T.reshape(-1))
        if clear == "before":
            for param in params:
                param.grad = None
        loss.backward()
        if clear == "after":
            for param in params:
                param.grad = None
        if clip_at == "gradients":
            nn.utils.clip_grad_norm_(params, theta)
        if clip_at == "numbers":
            for param in params:
                param.grad.clamp_(-theta, theta)
        if update == "in place":
            with torch.no_grad():
                for param in params:
                    param -= lr * (param.grad if param.grad is not None else 0)
        elif update == "rebinding":
            for i, param in enumerate(params):
                params[i] = (param - lr * param.grad).detach().requires_grad_()
        elif update == "outside":
            for param in params:
                param -= lr * param.grad
        if clip_at == "end":
            nn.utils.clip_grad_norm_(params, theta)
        return result(loss), (states[-1],)

    return train_step


wrong("train_step", "Change each tensor itself")(detailed(update="rebinding"))
wrong("train_step", "Return a plain number")(detailed(result=lambda loss: loss))
wrong("train_step", "Did you forget to clip, or clip too late?")(detailed(clip_at="end"))
wrong("train_step", "Did you cut each number")(detailed(clip_at="numbers"))
wrong("train_step", "Did you leave the parameters unchanged?")(detailed(clear="after", clip_at="end"))
wrong("train_step", "Did you change a parameter outside")(detailed(update="outside"))
wrong("train_step", "Did you apply softmax before cross_entropy?")(detailed(softmax=True))
right("train_step")(detailed(result=lambda loss: loss.detach()))
right("train_step")(lambda *args: list(detailed()(*args)))


@right("train_step")
def _(X, Y, state, params, lr, theta):
    for s in state:
        s.detach_()
    model_loss, new = None, None
    outputs, new = d2lmini.rnn(d2lmini.one_hot(X.T, len(params[0])), state, params)
    model_loss = F.cross_entropy(outputs, Y.T.reshape(-1))
    for param in params:
        if param.grad is not None:
            param.grad.zero_()
    model_loss.backward()
    d2lmini.clip_gradients(params, theta)
    for param in params:
        param.data -= lr * param.grad
    return model_loss.item(), tuple(s.detach() for s in new)


wrong("train_step", "Are the targets in the wrong order?", "Did you forget to clip")(
    training_step(targets=lambda X, Y: Y, clip="no")
)
wrong("train_step", "Did you sum the losses", "Did you forget to clip")(training_step(reduction="sum", clip="no"))
wrong("train_step", "Did you forget to detach", "Are the gradients of the previous step")(
    training_step(detach=False, clear=False)
)
wrong("train_step", "Are the targets in the wrong order?", "Did you return the old state?")(
    training_step(targets=lambda X, Y: Y, new=lambda H, old: (old,))
)
wrong("train_step", "Did you ignore the incoming state?", "Did you return the old state?")(
    training_step(start=torch.zeros_like, new=lambda H, old: (old,))
)
wrong("train_step", "Does the step go uphill?", "Did you forget to clip")(training_step(sign=1, clip="no"))
wrong("train_step", "Did you sum the losses", "Did you scale small gradients up?")(
    training_step(reduction="sum", clip="always")
)
wrong("train_step", "Did you use the inputs X as targets?", "Did you clip each gradient")(
    training_step(targets=lambda X, Y: X.T, clip="each")
)


# --- early_stopping ---


def stopper(better=lambda ppl, best: ppl < best, keep=lambda param: param.detach().clone(), restore="copy", wait=0,
            first=1, result=lambda best, epoch, ppl: best, keep_when="better", since="best"):  # fmt: skip
    """A learner's early stopping, with something wrong."""

    def early_stopping(train_one_epoch, validation_ppl, params, patience):
        best_ppl, best, epoch, kept, last, waited = math.inf, 0, first - 1, None, math.inf, 0
        while True:
            if keep_when == "before":
                before = [keep(param) for param in params]
            train_one_epoch()
            epoch += 1
            ppl = validation_ppl()
            waited += 1
            if better(ppl, last if since == "last" else best_ppl):
                waited = 0
            if better(ppl, best_ppl):
                best_ppl, best = ppl, epoch
                if keep_when == "better" or kept is None:
                    kept = before if keep_when == "before" else [keep(param) for param in params]
                elif keep_when == "before":
                    kept = before
            last = ppl
            if waited >= patience + wait:
                break
        with torch.no_grad():
            for i, (param, numbers) in enumerate(zip(params, kept)):
                if restore == "copy" or (restore == "first only" and i == 0):
                    param.copy_(numbers)
                elif restore == "rebind":
                    params[i] = numbers
                elif restore == "loop variable":
                    param = numbers
        return result(best, epoch, best_ppl)

    return early_stopping


right("early_stopping")(stopper())
right("early_stopping")(stopper(keep=copy.deepcopy))
right("early_stopping")(stopper(keep=lambda param: param.clone(), result=lambda best, epoch, ppl: torch.tensor(best)))


@right("early_stopping")
def _(train_one_epoch, validation_ppl, params, patience):
    curve, kept = [], None
    while not curve or len(curve) - 1 - np.argmin(curve) < patience:
        train_one_epoch()
        curve.append(validation_ppl())
        if np.argmin(curve) == len(curve) - 1:
            kept = [param.data.numpy().copy() for param in params]
    for param, numbers in zip(params, kept):
        param.data = torch.from_numpy(numbers)
    return np.argmin(curve) + 1


@right("early_stopping")
def _(train_one_epoch, validation_ppl, params, patience):
    best, states = 0, []
    ppls = []
    while len(ppls) < best + patience + 1:
        train_one_epoch()
        ppls += [validation_ppl()]
        states += [copy.deepcopy(params)]
        if ppls[-1] < ppls[best]:
            best = len(ppls) - 1
    with torch.no_grad():
        for param, state in zip(params, states[best]):
            param[:] = state
    return best + 1


@right("early_stopping")
def _(train_one_epoch, validation_ppl, params, patience):
    kept, best_ppl, best, epoch = [torch.empty_like(param) for param in params], None, 0, 0
    while epoch - best < patience or best_ppl is None:
        train_one_epoch()
        epoch += 1
        if best_ppl is None or validation_ppl() < best_ppl:
            best_ppl, best = validation_ppl(), epoch
            for store, param in zip(kept, params):
                store.copy_(param.detach())
    for store, param in zip(kept, params):
        param.data.copy_(store)
    return best


LAST_WEIGHTS = "Are these the weights of the last epoch?"
wrong("early_stopping", LAST_WEIGHTS)(stopper(keep=lambda param: param))
wrong("early_stopping", LAST_WEIGHTS)(stopper(keep=lambda param: param.detach()))
wrong("early_stopping", LAST_WEIGHTS)(stopper(keep=lambda param: param.data))
wrong("early_stopping", LAST_WEIGHTS)(stopper(restore="none"))
wrong("early_stopping", LAST_WEIGHTS)(stopper(restore="loop variable"))
wrong("early_stopping", LAST_WEIGHTS, "Copy the numbers into each tensor")(stopper(restore="rebind"))
wrong("early_stopping", "Did you put back only some")(stopper(restore="first only"))
wrong("early_stopping", "Did you keep the weights of the first epoch only?")(stopper(keep_when="once"))
wrong("early_stopping", "Did you copy the weights before the epoch?")(stopper(keep_when="before"))
wrong("early_stopping", "Did you use <=?")(stopper(better=lambda ppl, best: ppl <= best))
wrong("early_stopping", "Did you look for the highest")(
    stopper(better=lambda ppl, best: ppl > best or best == math.inf)
)
wrong("early_stopping", "Did you wait an epoch too long?")(stopper(wait=1))
wrong("early_stopping", "Did you stop an epoch too soon?")(
    lambda train, measure, params, patience: stopper(wait=-1 if patience > 1 else 0)(train, measure, params, patience)
)
wrong("early_stopping")(stopper(better=lambda ppl, best: ppl < best - 0.01))  # any new lowest one counts
wrong("early_stopping")(stopper(better=lambda ppl, best: round(ppl, 1) < round(best, 1)))
wrong("early_stopping", "Did you compare with the previous epoch?")(stopper(since="last"))
wrong("early_stopping", "Did you number the epochs from 0?")(stopper(first=0))
wrong("early_stopping", "Did you return the last epoch?")(stopper(result=lambda best, epoch, ppl: epoch))
wrong("early_stopping", "Did you return the perplexity?")(stopper(result=lambda best, epoch, ppl: ppl))
wrong("early_stopping", "Did you forget the return?")(stopper(result=lambda *_: None))
wrong("early_stopping", "Does it train without end?")(stopper(wait=10**6))
wrong("early_stopping", LAST_WEIGHTS, "Did you wait an epoch too long?")(stopper(restore="none", wait=1))
wrong("early_stopping", LAST_WEIGHTS, "Did you use <=?")(
    stopper(keep=lambda param: param, better=lambda ppl, best: ppl <= best)
)
wrong("early_stopping", "Did you use <=?", "Did you wait an epoch too long?")(
    stopper(better=lambda ppl, best: ppl <= best, wait=1)
)
wrong("early_stopping", "Did you number the epochs from 0?", LAST_WEIGHTS)(stopper(first=0, restore="none"))


@wrong("early_stopping", "Did you forget to count from zero again")
def _(train_one_epoch, validation_ppl, params, patience):
    best_ppl, best, bad, epoch, kept = math.inf, 0, 0, 0, None
    while bad < patience:
        train_one_epoch()
        epoch += 1
        ppl = validation_ppl()
        if ppl < best_ppl:
            best_ppl, best, kept = ppl, epoch, copy.deepcopy(params)
        else:
            bad += 1
    for param, numbers in zip(params, kept):
        param.data.copy_(numbers)
    return best


@wrong("early_stopping", "Did you change a parameter outside")
def _(train_one_epoch, validation_ppl, params, patience):
    best = stopper()(train_one_epoch, validation_ppl, params, patience)
    for param in params:
        param.copy_(param.detach().clone())
    return best
