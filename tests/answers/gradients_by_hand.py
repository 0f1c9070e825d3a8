"""Answers to the exercises of notebook 08."""

import numpy as np
import torch
from torch.nn import functional as F

from . import changes, right, wrong


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


wrong("softmax_gradient", "Did you take the softmax over the wrong axis? It belongs to the last one (dim=-1).")(
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


@wrong("softmax_gradient", "Did you change the targets' columns in all rows? Pair each row with its own target.")
def _(logits, targets):
    probs = torch.softmax(logits, dim=1)
    probs[:, targets] -= 1
    return probs / len(logits)


# --- tanh_backward ---


right("tanh_backward")(lambda dH, H: dH * (1 - H**2))


right("tanh_backward")(lambda dH, H: dH - dH * H * H)


wrong("tanh_backward", changes("dH"))(lambda dH, H: dH.mul_(1 - H).mul_(1 + H))


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


@right("backward_through_time")
def _(dH, H, W_hh):
    dZ = np.zeros_like(dH)
    later = np.zeros_like(H[0])
    for t in reversed(range(len(H))):
        dZ[t] = (dH[t] + later) * (1 - H[t] ** 2)
        later = dZ[t] @ W_hh.T
    return dZ


@wrong("backward_through_time", changes("dH"))
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


wrong("recurrent_gradient", "Did you pair dZ with the state of the same step? Z was made from the state before it.")(
    shifted(lambda dZ, H, H_first, t: H[t].T @ dZ[t])
)


wrong("recurrent_gradient", "Did you swap the factors? The state's transpose comes first.")(
    shifted(lambda dZ, H, H_first, t: dZ[t].T @ (H[t - 1] if t else H_first))
)


wrong("recurrent_gradient", "Did you forget H_first? It is the state before the first step.")(
    shifted(lambda dZ, H, H_first, t: H[t - 1].T @ dZ[t] if t else 0 * H_first.T @ dZ[0])
)
