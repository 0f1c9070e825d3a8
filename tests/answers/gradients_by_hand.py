"""Answers to the exercises of notebook 08."""

import numpy as np
import torch
from torch.nn import functional as F

from . import NUMPY, OVERWRITTEN, changes, right, wrong


def gradient(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[torch.arange(len(targets)), targets] -= 1
    return probs


def through_time(
    order=reversed, W=lambda W_hh: W_hh.T, join=lambda dH, later, slope: (dH + later) * slope, pass_on="dZ"
):
    def backward_through_time(dH, H, W_hh):
        dZ = np.empty_like(dH)
        later = np.zeros(dH.shape[1:])
        for t in order(range(len(dH))):
            slope = 1 - H[t] * H[t]
            dZ[t] = join(dH[t], later, slope)
            later = (dZ[t] if pass_on == "dZ" else dH[t] * slope) @ W(W_hh)
        return dZ

    return backward_through_time


# --- softmax_gradient ---


@right("softmax_gradient")
def _(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[range(len(targets)), targets] -= 1
    return probs / len(targets)


right("softmax_gradient")(
    lambda logits, targets: (logits.softmax(-1) - F.one_hot(targets, logits.shape[1])).div_(logits.shape[0])
)


@wrong("softmax_gradient", "Write the formula yourself: no backward, no autograd.")
def _(logits, targets):
    logits.requires_grad_()
    F.cross_entropy(logits, targets).backward()
    return logits.grad


@right("softmax_gradient")
def _(logits, targets):
    scores = logits.double().numpy()
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return torch.tensor((exp / exp.sum(axis=1, keepdims=True) - np.eye(scores.shape[1])[targets.numpy()]) / len(scores))


wrong("softmax_gradient", "Did you forget to divide by the number of rows? The loss is a mean.")(gradient)


wrong("softmax_gradient", "Did you forget to subtract 1 at the target?")(
    lambda logits, targets: torch.softmax(logits, dim=1) / logits.shape[0]
)


wrong("softmax_gradient", "Is the sign the wrong way round? It is probabilities minus one-hot.")(
    lambda logits, targets: (F.one_hot(targets, logits.shape[1]) - logits.softmax(1)) / len(logits)
)


wrong("softmax_gradient", "Did you divide by something other than the number of rows?")(
    lambda logits, targets: gradient(logits, targets) / logits.numel()
)


wrong("softmax_gradient", "Did you take the softmax over the wrong axis? Take it over the last axis (dim=-1).")(
    lambda logits, targets: (torch.softmax(logits, dim=0) - torch.eye(logits.shape[1])[targets]) / len(logits)
)


wrong("softmax_gradient",
      "Did you divide only one of the two terms by the number of rows? Divide both.")(
    lambda logits, targets: torch.softmax(logits, 1) / len(logits) - torch.eye(logits.shape[1])[targets]
)  # fmt: skip


wrong("softmax_gradient", "Does exp overflow? torch.softmax is safe for large numbers.")(
    lambda logits, targets: (
        (logits.exp() / logits.exp().sum(1, keepdim=True) - torch.eye(logits.shape[1])[targets]) / len(logits)
    )
)


@wrong("softmax_gradient")
def _(logits, targets):
    return (logits.softmax(1) - F.one_hot(targets)) / len(targets)


@wrong("softmax_gradient")
def _(logits, targets):
    probs = logits.softmax(1)
    return (torch.where(probs < 1e-4, 0.0, probs) - torch.eye(logits.shape[1])[targets]) / len(targets)


@wrong("softmax_gradient", "Did you subtract the largest logit of all rows?")
def _(logits, targets):
    exp = (logits - logits.max()).exp()
    return (exp / exp.sum(1, keepdim=True) - torch.eye(logits.shape[1])[targets]) / len(logits)


@wrong("softmax_gradient", "Does exp overflow?", "Did you forget to divide by the number of rows?")
def _(logits, targets):
    exp = (logits - logits.mean(1, keepdim=True)).exp()
    return exp / exp.sum(1, keepdim=True) - torch.eye(logits.shape[1])[targets]


@right("softmax_gradient")
def _(logits, targets):
    grad = torch.zeros_like(logits)
    for row, target in enumerate(targets.tolist()):
        shifted = (logits[row] - logits[row].max()).exp()
        grad[row] = shifted / shifted.sum()
        grad[row, target] -= 1
    return grad.mul(1 / len(targets))


@wrong("softmax_gradient", "Write the formula yourself: no backward, no autograd.")
def _(logits, targets):
    return torch.func.grad(F.cross_entropy)(logits, targets)


@wrong("softmax_gradient", "Did you change the targets' columns in all rows? Pair each row with its own target.")
def _(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[:, targets] -= 1
    return probs / len(logits)


# --- tanh_backward ---


right("tanh_backward")(lambda dH, H: dH * (1 - H**2))


right("tanh_backward")(lambda dH, H: dH - dH * H * H)


wrong("tanh_backward", changes("dH"))(lambda dH, H: dH.mul_(1 - H).mul_(1 + H))


wrong("tanh_backward", "Write the formula yourself: no backward, no autograd.")(
    lambda dH, H: torch.func.jvp(torch.tanh, (H.atanh().nan_to_num(posinf=20, neginf=-20),), (dH,))[1]
)


right("tanh_backward")(lambda dH, H: dH / torch.cosh(torch.atanh(H)) ** 2)


wrong("tanh_backward", "Did you apply tanh a second time? H is tanh(Z) already.")(
    lambda dH, H: dH * (1 - H.tanh().pow(2))
)


wrong("tanh_backward", "Did you forget to square H?")(lambda dH, H: dH - dH * H)


wrong("tanh_backward", "Did you take the derivative of sigmoid?")(lambda dH, H: dH * (H - H * H))


wrong("tanh_backward", "Did you forget dH? By the chain rule, it is multiplied by the derivative.")(
    lambda dH, H: 1 - H * H
)


wrong("tanh_backward", "Did you swap dH and H?")(lambda dH, H: (1 - dH**2) * H)


wrong("tanh_backward", "Is the sign of the square wrong? It is 1 minus H squared.")(lambda dH, H: dH + dH * H * H)


# --- backward_through_time ---


wrong("backward_through_time", "Did you compute in float32?")(
    lambda dH, H, W_hh: through_time()(dH, H, W_hh).astype(np.float32)
)


@wrong("backward_through_time", "Did you forget the derivative of tanh at the last step?")
def _(dH, H, W_hh):
    dZ = np.zeros_like(H)
    dZ[-1] = dH[-1]
    for t in reversed(range(len(H) - 1)):
        dZ[t] = (dH[t] + dZ[t + 1] @ W_hh.T) * (1 - H[t] ** 2)
    return dZ


@right("backward_through_time")
def _(dH, H, W_hh):
    dZ = np.zeros_like(dH)
    later = np.zeros_like(H[0])
    for t in reversed(range(len(H))):
        dZ[t] = (dH[t] + later) * (1 - H[t] ** 2)
        later = dZ[t] @ W_hh.T
    return dZ


@wrong("backward_through_time", changes("dH_own"))
def _(dH, H, W_hh):
    for t in range(len(dH) - 1, -1, -1):  # in place
        if t + 1 < len(dH):
            dH[t] += np.einsum("bj,ij->bi", dH[t + 1], W_hh)
        dH[t] *= 1 - H[t] * H[t]
    return dH


@right("backward_through_time")
def _(dH, H, W_hh):
    slope, result = 1 - H**2, []
    for t in range(len(H)):  # the sum over all paths, one by one: slow and plain
        total = dH[t] * slope[t]
        for s in range(t + 1, len(H)):
            path = dH[s] * slope[s]
            for r in range(s - 1, t - 1, -1):
                path = (path @ W_hh.T) * slope[r]
            total = total + path
        result.append(total)
    return np.stack(result)


wrong("backward_through_time", "Did you forget to transpose W_hh? Backwards, the gradient is multiplied by W_hh.T.")(
    through_time(W=lambda W_hh: W_hh)
)


wrong("backward_through_time", "Did you forget the paths through later steps? Each step also changes the next state.")(
    through_time(join=lambda dH, later, slope: dH * slope)
)


wrong(
    "backward_through_time",
    "Does the gradient reach back one step only? Pass on the dZ of the next step.",
)(through_time(pass_on="dH"))


wrong("backward_through_time", "Did you forget the derivative of tanh on the way from the later steps?")(
    through_time(join=lambda dH, later, slope: dH * slope + later)
)


wrong("backward_through_time", "Did you forget the derivative of tanh?")(
    through_time(join=lambda dH, later, slope: dH + later)
)


wrong("backward_through_time", "Does the loop run forwards? Gradients flow from the last step to the first.")(
    through_time(order=list)
)


# --- softmax_gradient, more ---

right("softmax_gradient")(
    lambda logits, targets: (logits.softmax(1) - torch.eye(logits.shape[1])[targets]) / len(logits)
)
right("softmax_gradient")(
    lambda logits, targets: torch.scatter_add(
        logits.log_softmax(1).exp(), 1, targets[:, None], -torch.ones(len(targets), 1)
    ).div(len(targets))
)
wrong("softmax_gradient", "Write the formula yourself")(
    lambda logits, targets: torch.func.grad(lambda x: F.cross_entropy(x, targets))(logits)
)
wrong("softmax_gradient", "Did you forget the softmax?")(
    lambda logits, targets: (logits - torch.eye(logits.shape[1])[targets]) / len(logits)
)
wrong("softmax_gradient", "Did you add 1 at the target?")(
    lambda logits, targets: (logits.softmax(1) + torch.eye(logits.shape[1])[targets]) / len(logits)
)
wrong("softmax_gradient", "Did you take logarithms")(
    lambda logits, targets: (logits.log_softmax(1) - torch.eye(logits.shape[1])[targets]) / len(logits)
)
wrong("softmax_gradient")(lambda logits, targets: gradient(logits, targets)[:32] / len(logits))
wrong("softmax_gradient", "Did you forget to divide", "Is the sign the wrong way round?")(
    lambda logits, targets: -gradient(logits, targets)
)
wrong("softmax_gradient", "Did you forget to divide", "Did you forget to subtract 1")(
    lambda logits, targets: logits.softmax(1)
)
wrong("softmax_gradient", "Did you forget to divide", "Did you take the softmax over the wrong axis?")(
    lambda logits, targets: logits.softmax(0) - torch.eye(logits.shape[1])[targets]
)
wrong("softmax_gradient", "Did you forget to divide", "Does exp overflow?")(
    lambda logits, targets: logits.exp() / logits.exp().sum(1, keepdim=True) - torch.eye(logits.shape[1])[targets]
)
wrong("softmax_gradient", "Did you divide by something other", "Did you forget to subtract 1")(
    lambda logits, targets: logits.softmax(1) / logits.shape[1]
)

# --- tanh_backward, more ---

right("tanh_backward")(lambda dH, H: torch.addcmul(dH, dH, H.square(), value=-1))
right("tanh_backward")(lambda dH, H: torch.ops.aten.tanh_backward(dH, H))
right("tanh_backward")(lambda dH, H: torch.tensor(dH.double().numpy() * (1 - H.double().numpy() ** 2)))
wrong("tanh_backward", "Did you forget the 1 minus?")(lambda dH, H: dH * H**2)
wrong("tanh_backward", "Did you pass dH on unchanged?")(lambda dH, H: dH.clone())
wrong("tanh_backward", "Did you divide by the derivative")(lambda dH, H: dH / (1 - H**2))
wrong("tanh_backward", "Is the sign of the result wrong?")(lambda dH, H: dH * (H**2 - 1))
wrong("tanh_backward", "Did you square the whole bracket")(lambda dH, H: dH * (1 - H) ** 2)
wrong("tanh_backward")(lambda dH, H: dH / torch.cosh(torch.atanh(H)) ** 2 if H.abs().max() < 1 else dH / 0)
wrong("tanh_backward", "Did you apply tanh a second time?", "Did you forget dH?")(lambda dH, H: 1 - H.tanh() ** 2)
wrong("tanh_backward", "Did you apply tanh a second time?", "Is the sign of the square wrong?")(
    lambda dH, H: dH * (1 + H.tanh() ** 2)
)
wrong("tanh_backward", "Did you forget to square H?", "Did you forget dH?")(lambda dH, H: 1 - H)
wrong("tanh_backward", "Did you forget to square H?", "Is the sign of the square wrong?")(lambda dH, H: dH * (1 + H))

# --- backward_through_time, more ---


@right("backward_through_time")
def _(dH, H, W_hh):
    dZ = [(1 - H[-1] ** 2) * dH[-1]]
    for before, h in zip(dH[-2::-1], H[-2::-1]):
        dZ.insert(0, (1 - h**2) * (before + dZ[0] @ W_hh.transpose()))
    return np.array(dZ)


@right("backward_through_time")
def _(dH, H, W_hh):
    dZ = dH * (1 - H**2)
    for t in range(len(dH) - 2, -1, -1):
        dZ[t] += np.einsum("bj,ij->bi", dZ[t + 1], W_hh) * (1 - H[t]) * (1 + H[t])
    return dZ


@right("backward_through_time")
def _(dH, H, W_hh):
    def back(t):
        later = back(t + 1)[0] @ W_hh.T if t + 1 < len(dH) else 0
        return (
            np.concatenate([((dH[t] + later) * (1 - H[t] ** 2))[None], back(t + 1)])
            if t + 1 < len(dH)
            else ((dH[t] * (1 - H[t] ** 2))[None])
        )

    if len(dH) < 6:
        return back(0)
    dZ, later = np.empty_like(dH), 0
    for t in reversed(range(len(dH))):
        dZ[t] = (dH[t] + later) * (1 - H[t] ** 2)
        later = np.matmul(dZ[t], W_hh.T)
    return dZ


@wrong("backward_through_time", "Did you read dZ[t + 1] at the last step?")
def _(dH, H, W_hh):
    dZ = np.zeros_like(dH)
    for t in reversed(range(len(dH))):
        dZ[t] = (dH[t] + dZ[t + 1] @ W_hh.T) * (1 - H[t] ** 2)
    return dZ


@wrong("backward_through_time", "Did you leave out the last step?")
def _(dH, H, W_hh):
    dZ = np.zeros_like(dH)
    for t in reversed(range(len(dH) - 1)):
        dZ[t] = (dH[t] + dZ[t + 1] @ W_hh.T) * (1 - H[t] ** 2)
    return dZ


@wrong("backward_through_time")
def _(dH, H, W_hh):
    dZ = dH * (1 - H**2)
    for t in reversed(range(len(dH) - 1)):
        dZ[t] += dZ[t + 1] @ W_hh.T * (1 - H[t] ** 2) * (len(dH) - t < 10)  # a limit: ten steps back
    return dZ


wrong("backward_through_time", "Did you apply tanh a second time?")(
    lambda dH, H, W_hh: through_time()(dH, np.tanh(H), W_hh)
)
wrong("backward_through_time", "Did you reverse the order of time")(lambda *args: through_time()(*args)[::-1])
wrong("backward_through_time", "Did you forget to transpose W_hh?", "Did you forget the derivative of tanh?")(
    through_time(W=lambda W_hh: W_hh, join=lambda dH, later, slope: dH + later)
)
wrong("backward_through_time", "Did you forget to transpose W_hh?", "Does the loop run forwards?")(
    through_time(W=lambda W_hh: W_hh, order=list)
)
wrong("backward_through_time", "Did you forget to transpose W_hh?", "Did you reverse the order of time")(
    lambda *args: through_time(W=lambda W_hh: W_hh)(*args)[::-1]
)
wrong("backward_through_time", "Did you forget to transpose W_hh?", "Did you forget the derivative of tanh on the way")(
    through_time(W=lambda W_hh: W_hh, join=lambda dH, later, slope: dH * slope + later)
)
wrong("backward_through_time", "Does the loop run forwards?", "Did you apply tanh a second time?")(
    lambda dH, H, W_hh: through_time(order=list)(dH, np.tanh(H), W_hh)
)


# --- recurrent_gradient ---


@right("recurrent_gradient")
def _(dZ, H, H_first):
    H_before = np.concatenate([H_first[None], H[:-1]])
    return sum(h.T @ dz for h, dz in zip(H_before, dZ))


@right("recurrent_gradient")
def _(dZ, H, H_first):
    total = H_first.T @ dZ[0]
    for t in range(1, len(H)):
        total = total + np.einsum("bi,bj->ij", H[t - 1], dZ[t])
    return total


def shifted(pair):
    """Answers that pair each step's gradient with a state, and add up the products."""
    return lambda dZ, H, H_first: sum(pair(dZ, H, H_first, t) for t in range(len(dZ)))


wrong("recurrent_gradient", "Did you pair dZ with the state of the same step? Z was made from the previous state.")(
    shifted(lambda dZ, H, H_first, t: H[t].T @ dZ[t])
)


wrong("recurrent_gradient", "Did you swap the factors? The state's transpose comes first.")(
    shifted(lambda dZ, H, H_first, t: dZ[t].T @ (H[t - 1] if t else H_first))
)


wrong("recurrent_gradient", "Did you forget H_first? It is the state before the first step.")(
    shifted(lambda dZ, H, H_first, t: H[t - 1].T @ dZ[t] if t else 0 * H_first.T @ dZ[0])
)


def state_before(H, H_first):
    return np.concatenate([H_first[None], H[:-1]])


wrong("recurrent_gradient", "Did you read H[t - 1] at t = 0?")(shifted(lambda dZ, H, H_first, t: H[t - 1].T @ dZ[t]))
wrong("recurrent_gradient", "Did you divide by the number of sequences?")(
    shifted(lambda dZ, H, H_first, t: state_before(H, H_first)[t].T @ dZ[t] / len(H_first))
)
wrong("recurrent_gradient", "Did you compute in float32?")(
    shifted(lambda dZ, H, H_first, t: (state_before(H, H_first)[t].T @ dZ[t]).astype(np.float32))
)
right("recurrent_gradient")(lambda dZ, H, H_first: np.einsum("tbi,tbj->ij", state_before(H, H_first), dZ))
right("recurrent_gradient")(lambda dZ, H, H_first: np.tensordot(state_before(H, H_first), dZ, axes=[(0, 1), (0, 1)]))
right("recurrent_gradient")(
    lambda dZ, H, H_first: np.vstack([H_first, *H[:-1]]).T @ dZ.reshape(-1, dZ.shape[-1])  # all rows at once
)
wrong("recurrent_gradient", "Did you pair dZ with the state of the next step?")(
    lambda dZ, H, H_first: sum((h.T @ dz for h, dz in zip(H[1:], dZ)), start=0 * dZ[0].T @ H[0])
)
wrong("recurrent_gradient", "Did you take the mean over the steps?")(
    lambda dZ, H, H_first: np.mean([h.T @ dz for h, dz in zip(state_before(H, H_first), dZ)], axis=0)
)
wrong("recurrent_gradient", "Did you keep the last step only?")(
    lambda dZ, H, H_first: state_before(H, H_first)[-1].T @ dZ[-1]
)
wrong("recurrent_gradient")(
    lambda dZ, H, H_first: sum(h.T @ dz for h, dz in zip(state_before(H, H_first)[:10], dZ))  # a limit
)
wrong("recurrent_gradient", changes("dZ"))(lambda dZ, H, H_first: sum(shifted_in_place(dZ, H, H_first)))
wrong("recurrent_gradient", "Did you pair dZ with the state of the same step?", "Did you swap the factors?")(
    lambda dZ, H, H_first: sum(dz.T @ h for h, dz in zip(H, dZ))
)
wrong("recurrent_gradient", "Did you pair dZ with the state of the same step?", "Did you take the mean")(
    lambda dZ, H, H_first: sum(h.T @ dz for h, dz in zip(H, dZ)) / len(H)
)
wrong("recurrent_gradient", "Did you swap the factors?", "Did you take the mean over the steps?")(
    lambda dZ, H, H_first: sum(dz.T @ h for h, dz in zip(state_before(H, H_first), dZ)) / len(H)
)


def shifted_in_place(dZ, H, H_first):
    for h, dz in zip(state_before(H, H_first), dZ):
        yield h.T @ dz
        dz *= 0


# --- hoist ---


OUTSIDE = "Take the product with W_xh out of the loop"


def through_steps(shares, H, W_hh):
    states = []
    for share in shares:
        H = torch.tanh(share + H @ W_hh)
        states.append(H)
    return torch.stack(states)


right("hoist")(lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, H, W_hh))
right("hoist")(lambda X, H, W_xh, W_hh, b_h: through_steps(torch.einsum("tbi,ih->tbh", X, W_xh).add(b_h), H, W_hh))
right("hoist")(
    lambda X, H, W_xh, W_hh, b_h: through_steps((X.flatten(0, 1) @ W_xh).unflatten(0, X.shape[:2]) + b_h, H, W_hh)
)
right("hoist")(lambda X, H, W_xh, W_hh, b_h: through_steps((X[..., None] * W_xh).sum(2) + b_h, H, W_hh))


wrong("hoist", OUTSIDE)(
    lambda X, H, W_xh, W_hh, b_h: through_steps(torch.cat([x @ W_xh + b_h for x in X.split(5)]), H, W_hh)
)
wrong("hoist", "Use reshape")(
    lambda X, H, W_xh, W_hh, b_h: through_steps((X.view(-1, X.shape[2]) @ W_xh + b_h).view(*X.shape[:2], -1), H, W_hh)
)


@right("hoist")
def _(X, H, W_xh, W_hh, b_h):
    shares = torch.addmm(b_h, X.contiguous().view(-1, len(W_xh)), W_xh).split(len(H))
    states = [H]
    for t, _ in enumerate(X):  # X only counts the steps
        states.append(torch.baddbmm(shares[t][None], states[-1][None], W_hh[None])[0].tanh())
    return torch.stack(states[1:])


@right("hoist")
def _(X, H, W_xh, W_hh, b_h):
    shares, states = torch.tensordot(X, W_xh, dims=1), torch.empty(0, *H.shape)
    for t in range(X.size(0)):
        H = torch.tanh(shares[t] + b_h + torch.matmul(H, W_hh))  # the bias is small: it may stay in the loop
        states = torch.cat([states, H[None]])
    return states


@right("hoist")
def _(X, H, W_xh, W_hh, b_h):
    def follow(t, H):
        if t == len(shares):
            return []
        H = torch.tanh(shares[t] + H @ W_hh)
        return [H, *follow(t + 1, H)]

    shares = F.linear(X, W_xh.T, b_h)
    return torch.stack(follow(0, H))


@wrong("hoist", OUTSIDE)
def _(X, H, W_xh, W_hh, b_h):
    states = []
    for X_t in X:
        H = torch.tanh(X_t @ W_xh + H @ W_hh + b_h)
        states.append(H)
    return torch.stack(states)


wrong("hoist", OUTSIDE)(lambda X, H, W_xh, W_hh, b_h: through_steps([X_t @ W_xh + b_h for X_t in X], H, W_hh))


@wrong("hoist", OUTSIDE)
def _(X, H, W_xh, W_hh, b_h):
    both, states = torch.cat([W_xh, W_hh]), []  # a single product, but it stays in the loop
    for X_t in X:
        H = torch.tanh(torch.cat([X_t, H], dim=1) @ both + b_h)
        states.append(H)
    return torch.stack(states)


@wrong("hoist", OUTSIDE)
def _(X, H, W_xh, W_hh, b_h):
    states = []
    for t in range(len(X)):
        H = torch.mm(H, W_hh).add_(b_h).addmm_(X[t], W_xh).tanh_()
        states.append(H)
    return torch.stack(states)


@wrong("hoist", OUTSIDE)
def _(X, H, W_xh, W_hh, b_h):
    weights, states = W_xh.clone(), []
    for t in range(len(X)):
        share = torch.stack([(X[t] * column).sum(1) for column in weights.T], dim=1)
        H = torch.tanh(share + H @ W_hh + b_h)
        states.append(H)
    return torch.stack(states)


wrong("hoist", "Did you forget the bias b_h?")(lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh, H, W_hh))
wrong("hoist", "Did you forget H?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, torch.zeros_like(H), W_hh)
)
wrong("hoist", "Did you transpose W_hh?")(lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, H, W_hh.T))
wrong("hoist", "Did you return the last state only?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, H, W_hh)[-1]
)
wrong("hoist", "Are the axes swapped?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, H, W_hh).transpose(0, 1)
)
wrong("hoist", "Did you use torch.cat?")(
    lambda X, H, W_xh, W_hh, b_h: torch.cat([*through_steps(X @ W_xh + b_h, H, W_hh)])
)
wrong("hoist", "Did you mix up steps and sequences in a reshape?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(
        (X.reshape(-1, X.shape[2]) @ W_xh + b_h).reshape(X.shape[1], X.shape[0], -1).transpose(0, 1), H, W_hh
    )
)
wrong("hoist", OUTSIDE)(  # out of the loop, but two steps at a time
    lambda X, H, W_xh, W_hh, b_h: through_steps(torch.cat([part @ W_xh for part in X.split(2)]) + b_h, H, W_hh)
)
wrong("hoist", "Did you begin every step with the same state?")(
    lambda X, H, W_xh, W_hh, b_h: torch.tanh(X @ W_xh + b_h + H @ W_hh)
)
wrong("hoist", "Did you return something other than a tensor?")(
    lambda X, H, W_xh, W_hh, b_h: list(through_steps(X @ W_xh + b_h, H, W_hh))
)
wrong("hoist", NUMPY)(
    lambda X, H, W_xh, W_hh, b_h: through_steps(torch.from_numpy(X.numpy() @ W_xh.numpy()) + b_h, H, W_hh)
)
wrong("hoist", "Did you detach something")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, H, W_hh).detach()
)
wrong("hoist")(  # a limit: ten steps
    lambda X, H, W_xh, W_hh, b_h: torch.cat(
        [through_steps((X @ W_xh + b_h)[:10], H, W_hh), torch.tanh(X @ W_xh + b_h)[10:]]
    )
)


@wrong("hoist", OVERWRITTEN)
def _(X, H, W_xh, W_hh, b_h):
    states = X @ W_xh + b_h
    for t in range(len(X)):
        states[t] = torch.tanh(states[t] + (states[t - 1] if t else H) @ W_hh)
    return states


wrong("hoist", "Did you forget H?", "Did you forget the bias b_h?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh, 0 * H, W_hh)
)
wrong("hoist", "Did you transpose W_hh?", "Did you forget H?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h, 0 * H, W_hh.T)
)
wrong("hoist", "Did you add the bias b_h twice?", "Did you return the last state only?")(
    lambda X, H, W_xh, W_hh, b_h: through_steps(X @ W_xh + b_h + b_h, H, W_hh)[-1]
)
