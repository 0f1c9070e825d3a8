"""Checks of notebook 08: the gradients of softmax, of tanh, and through time; a product hoisted out of the loop."""

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .judge import Check, hot, ids, normal
from .prediction import ONE_MAXIMUM, OVERFLOW, SOFTMAX_AXIS, SOFTMAXES
from .reading import Flaw, Parts
from .watching import Calls, floats, memory, with_gradients


def without_autograd(function, *args):
    """The result, and whether autograd has computed it: then it unpacks what it had saved, or makes dual numbers."""
    unpacked, saved = [], torch.autograd.graph.saved_tensors_hooks
    with saved(lambda tensor: tensor, lambda tensor: unpacked.append(1) or tensor), Calls() as calls:
        found = Parts({"result": function(*args)})
    if unpacked or "_make_dual" in calls.names:
        found["way"] = Flaw("autograd computes it", "Write the formula yourself: no backward, no autograd.")
    return found


def cross_entropy_gradient(logits, targets):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(logits, targets), logits)[0]


def probs_minus_hot(
    logits, targets, *, by="softmax", axis=-1, minus=1, rows="own", divide="both", divisor="rows", sign=1
):
    """The gradient of the mean cross-entropy, with places to go wrong."""
    ones = hot(targets, logits.shape[1])
    if rows == "all":
        ones = ones.amax(0).expand_as(ones)
    n = {"rows": len(logits), "none": 1, "columns": logits.shape[1], "all": logits.numel(), "twice": len(logits) ** 2}
    probs = SOFTMAXES[by](logits, axis) / (1 if divide == "ones" else n[divisor])
    return sign * (probs - minus * ones / (1 if divide == "probs" else n[divisor]))


softmax_gradient = Check(
    "softmax_gradient",
    cross_entropy_gradient,
    lambda rng: [
        ("a single row, vocabulary 2", (torch.tensor([[0.5, -1.2]]), torch.tensor([1]))),
        ("two rows, vocabulary 3", (torch.tensor([[0.5, -1.2, 0.1], [2.0, 0.3, -0.4]]), torch.tensor([2, 0]))),
        (
            "large logits, from -1,000 to 1,000",
            (torch.tensor([[1000.0, 0.0, -1000.0], [-900.0, -901.0, -899.0]]), torch.tensor([1, 2])),
        ),
        ("logits (3, 5), targets without the last id", (normal(rng, 3, 5), torch.tensor([0, 3, 1]))),
        ("unlikely tokens", (torch.tensor([[0.0, -10.0, -11.0, -9.5]]), torch.tensor([0]))),
        ("logits (3, 4), all targets 0", (normal(rng, 3, 4), torch.tensor([0, 0, 0]))),
        ("logits (5, 3), the same target several times", (normal(rng, 5, 3), torch.tensor([2, 0, 2, 2, 0]))),
        ("logits (4, 6) that are a transposed tensor", (normal(rng, 6, 4).T, ids(rng, 6, 4))),
        ("200 rows, a vocabulary of 300", (2 * normal(rng, 200, 300), ids(rng, 300, 200))),
    ],
    probs_minus_hot,
    {
        "Did you forget to divide by the number of rows? The loss is a mean.": {"divisor": "none"},
        "Did you forget to subtract 1 at the target?": {"minus": 0},
        "Did you add 1 at the target? Subtract it.": {"minus": -1},
        "Is the sign the wrong way round? It is probabilities minus one-hot.": {"sign": -1},
        "Did you divide only one of the two terms by the number of rows? Divide both.": [
            {"divide": "probs"},
            {"divide": "ones"},
        ],
        "Did you divide by something other than the number of rows?": [
            {"divisor": "columns"},
            {"divisor": "all"},
            {"divisor": "twice"},
        ],
        SOFTMAX_AXIS: {"axis": 0},
        "Did you forget the softmax?": {"by": "none"},
        "Did you take logarithms of probabilities (log_softmax)?": {"by": "log"},
        "Did you use sigmoid? Cross-entropy over a vocabulary uses softmax.": {"by": "sigmoid"},
        OVERFLOW: [{"by": "unsafe"}, {"by": "minus mean"}],
        ONE_MAXIMUM: {"by": "one maximum"},
        "Did you change the targets' columns in all rows? Pair each row with its own target.": {"rows": "all"},
    },
    run=without_autograd,
    any_float=True,
    atol=1e-6,
)


def reference_tanh_backward(dH, H):
    return torch.ops.aten.tanh_backward(dH, H)


def through_tanh(dH, H, *, of=lambda H: H, power=2, minus=1, keep=1, by="product", sign=1):
    """The gradient through tanh, with places to go wrong."""
    slope = keep - minus * of(H) ** power
    return sign * {"product": dH * slope, "quotient": dH / slope, "slope": slope, "sum": dH + slope}[by]


tanh_backward = Check(
    "tanh_backward",
    reference_tanh_backward,
    lambda rng: [
        ("a batch of 1 with one hidden unit", (torch.tensor([[1.5]]), torch.tensor([[-0.6]]))),
        ("a state of 0.99", (torch.tensor([[1.0, -2.0]]), torch.full((1, 2), 0.99))),
        ("shape (2, 3)", (normal(rng, 2, 3), torch.tensor([[0.2, -0.6, 0.9], [-0.3, 0.5, -0.8]]))),
        ("a state of zeros", (normal(rng, 2, 3), torch.zeros(2, 3))),
        ("a saturated state, exactly 1 and -1", (torch.tensor([[2.0, 3.0, -1.0]]), torch.tensor([[1.0, -1.0, 0.5]]))),
        ("tensors of shape (3, 4) that are transposed", (normal(rng, 4, 3).T, torch.tanh(normal(rng, 4, 3)).T)),
        ("shape (2, 3, 1, 5)", (normal(rng, 2, 3, 1, 5), torch.tanh(normal(rng, 2, 3, 1, 5)))),
        ("shape (70, 40)", (normal(rng, 70, 40), torch.tanh(normal(rng, 70, 40)))),
    ],
    through_tanh,
    {
        "Did you apply tanh a second time? H is tanh(Z) already.": {"of": torch.tanh},
        "Did you forget to square H?": {"power": 1},
        "Did you raise H to the third power?": {"power": 3},
        "Did you take the derivative of sigmoid?": lambda dH, H: dH * H * (1 - H),
        "Did you forget dH? By the chain rule, it is multiplied by the derivative.": {"by": "slope"},
        "Did you add instead of multiplying?": {"by": "sum"},
        "Did you divide by the derivative instead of multiplying?": {"by": "quotient"},
        "Is the sign of the square wrong? It is 1 minus H squared.": {"minus": -1},
        "Is the sign of the result wrong?": {"sign": -1},
        "Did you swap dH and H?": lambda dH, H: H * (1 - dH**2),
        "Did you forget the 1 minus?": [{"keep": 0, "minus": -1}, {"keep": 0}],
        "Did you multiply by tanh(H), instead of the derivative?": lambda dH, H: dH * torch.tanh(H),
        "Did you pass dH on unchanged?": {"minus": 0},
        "Did you square the whole bracket, or subtract from dH? Only H is squared.": [
            lambda dH, H: dH * (1 - H) ** 2,
            lambda dH, H: dH - H**2,
            lambda dH, H: (dH * (1 - H**2)) ** 2,
        ],
    },
    run=without_autograd,
    any_float=True,
    atol=1e-6,
)  # fmt: skip


def backward(dH, H, W_hh, *, W=lambda W_hh: W_hh.T, slope=lambda H: 1 - H**2, derivative="all", reach="dZ",
             forwards=False, own="all", skip=None, result=lambda dZ, slopes: dZ, add=1):  # fmt: skip
    """Backpropagation through time, with places to go wrong."""
    dZ, later = np.zeros_like(dH), np.zeros_like(dH[0])
    steps = list(range(len(dH))) if forwards else list(range(len(dH)))[::-1]
    steps = {None: steps, "last": [t for t in steps if t < len(dH) - 1], "first": [t for t in steps if t]}[skip]
    for t in steps:
        at = slope(
            H[min(t + 1, len(H) - 1) if derivative == "next" else max(t - 1, 0) if derivative == "previous" else t]
        )
        here = dH[t] if own == "all" or t == len(dH) - 1 else 0 * dH[t]
        if derivative == "not last" and t == len(dH) - 1:
            at = 1
        if derivative in ("own", "no"):
            dZ[t] = here * (at if derivative == "own" else 1) + add * later
        elif derivative == "later":
            dZ[t] = here + add * later * at
        else:
            dZ[t] = (here + add * later) * at
        later = {"dZ": dZ[t], "one step": here * at, "dH": dH[t], "H": here + later}[reach] @ W(W_hh)
    return result(dZ, slope(H))


def reference_backward(dH_own, H, W_hh):
    """Autograd through a network whose inputs are chosen so that its states are H."""
    dH, H, W_hh = (torch.tensor(a, dtype=torch.float64) for a in (dH_own, H, W_hh))
    before = torch.cat([torch.zeros_like(H[:1]), H[:-1]])
    U = (torch.atanh(H) - before @ W_hh).requires_grad_()
    state, total = torch.zeros_like(H[0]), 0
    for t in range(len(H)):
        state = torch.tanh(U[t] + state @ W_hh)
        total = total + (dH[t] * state).sum()
    return torch.autograd.grad(total, U)[0].numpy()


def arrays(rng, num_steps, batch_size, num_hiddens, last_only=False):
    dH, Z = (normal(rng, num_steps, batch_size, num_hiddens).double().numpy() for _ in range(2))
    if last_only:
        dH[:-1] = 0
    return dH, np.tanh(Z), normal(rng, num_hiddens, num_hiddens, std=0.7).double().numpy()


backward_through_time = Check(
    "backward_through_time",
    reference_backward,
    lambda rng: [
        ("one step, a batch of 2, 3 hidden units", arrays(rng, 1, 2, 3)),
        ("two steps, a batch of 1, 3 hidden units", arrays(rng, 2, 1, 3)),
        ("a gradient at the last step only, 4 steps", arrays(rng, 4, 2, 3, last_only=True)),
        ("5 steps, a batch of 3, 4 hidden units", arrays(rng, 5, 3, 4)),
        ("20 steps, a batch of 2, 3 hidden units", arrays(rng, 20, 2, 3)),
        ("3 steps, a batch of 50, 6 hidden units", arrays(rng, 3, 50, 6)),
    ],
    backward,
    {
        "Did you forget to transpose W_hh? Backwards, the gradient is multiplied by W_hh.T.": {"W": lambda W_hh: W_hh},
        "Did you forget W_hh on the way to the previous step?": {"W": lambda W_hh: np.eye(len(W_hh))},
        "Did you forget the paths through later steps? Each step also changes the next state.": {"add": 0},
        "Does the gradient reach back one step only? Pass on the dZ of the next step.": [
            {"reach": "one step"},
            {"reach": "dH"},
        ],
        "Did you pass on the gradient before the derivative of tanh? Pass on dZ.": {"reach": "H"},
        "Did you forget the derivative of tanh on the way from the later steps?": {"derivative": "own"},
        "Did you forget the derivative of tanh at the step's own gradient?": {"derivative": "later"},
        "Did you forget the derivative of tanh?": {"derivative": "no"},
        "Did you forget the derivative of tanh at the last step? Every step has one.": {"derivative": "not last"},
        "Did you apply tanh a second time? H is tanh(Z) already.": {"slope": lambda H: 1 - np.tanh(H) ** 2},
        "Did you forget to square H?": {"slope": lambda H: 1 - H},
        "Does the loop run forwards? Gradients flow from the last step to the first.": {"forwards": True},
        "Did you leave out the last step? Begin with t = len(dH_own) - 1.": {"skip": "last"},
        "Did you leave out the first step? The loop goes down to t = 0.": {"skip": "first"},
        "Did you use the H of a neighbouring step for the derivative? Step t takes H[t].": [
            {"derivative": "next"},
            {"derivative": "previous"},
        ],
        "Did you subtract what comes from the later steps?": {"add": -1},
        "Did you count what comes from the later steps twice?": {"add": 2},
        "Did you reverse the order of time in the result?": {"result": lambda dZ, slopes: dZ[::-1]},
        "Did you return dH, before the derivative of tanh at its own step?": {
            "result": lambda dZ, slopes: dZ / slopes
        },
        "Did you use dH_own[t], the step's own gradient, at the last step only? Every step has one.": {"own": "last"},
    },
    about={"IndexError": "Did you read dZ[t + 1] at the last step? No gradient comes from later steps there."},
)  # fmt: skip


def weight_gradient(dZ, H, H_first, *, before="shifted", order="right", reduce="sum", steps=slice(None)):
    """The gradient of a matrix that is used at every step, with places to go wrong."""
    states = {
        "shifted": np.concatenate([H_first[None], H[:-1]]),
        "same": H,
        "zero": np.concatenate([0 * H_first[None], H[:-1]]),
        "last": np.concatenate([H[-1:], H[:-1]]),
        "next": np.concatenate([H[1:], 0 * H_first[None]]),
        "rolled": np.concatenate([H[1:], H_first[None]]),
    }[before]
    parts = np.stack([h.T @ dz if order == "right" else dz.T @ h for h, dz in zip(states, dZ)])[steps]
    if reduce == "last":
        return parts[-1] if len(parts) else np.zeros(parts.shape[1:])
    return parts.sum(0) / {"sum": 1, "mean": len(parts), "batch": len(H_first)}[reduce]


def reference_recurrent_gradient(dZ, H, H_first):
    """Autograd: W_hh is a leaf, and the loss weighs each step's product with dZ."""
    dZ, H, H_first = (torch.tensor(a, dtype=torch.float64) for a in (dZ, H, H_first))
    W_hh = torch.zeros(H.shape[2], H.shape[2], dtype=torch.float64, requires_grad=True)
    loss = sum(((before @ W_hh) * dz).sum() for before, dz in zip([H_first, *H], dZ))
    return torch.autograd.grad(loss, W_hh)[0].numpy()


def steps_of_states(rng, num_steps, batch_size, num_hiddens):
    dZ, Z = (normal(rng, num_steps, batch_size, num_hiddens).double().numpy() for _ in range(2))
    return dZ, np.tanh(Z), np.tanh(normal(rng, batch_size, num_hiddens).double().numpy())


recurrent_gradient = Check(
    "recurrent_gradient",
    reference_recurrent_gradient,
    lambda rng: [
        ("one step, a batch of 2, 3 hidden units", steps_of_states(rng, 1, 2, 3)),
        ("two steps, a batch of 1, 3 hidden units", steps_of_states(rng, 2, 1, 3)),
        ("5 steps, a batch of 3, 4 hidden units", steps_of_states(rng, 5, 3, 4)),
        ("20 steps, a batch of 2, 3 hidden units", steps_of_states(rng, 20, 2, 3)),
        ("3 steps, a batch of 50, 6 hidden units", steps_of_states(rng, 3, 50, 6)),
    ],
    weight_gradient,
    {
        "Did you pair dZ with the state of the same step? Z was made from the previous state.": {"before": "same"},
        "Did you forget H_first? It is the state before the first step.": [
            {"before": "zero"},
            {"steps": slice(1, None)},
        ],
        "Did you read H[t - 1] at t = 0? H[-1] is the last state; the state before the first step is H_first.": {
            "before": "last"
        },
        "Did you pair dZ with the state of the next step? Z was made from the previous state.": [
            {"before": "next"},
            {"before": "rolled"},
        ],
        "Did you swap the factors? The state's transpose comes first.": {"order": "swapped"},
        "Did you take the mean over the steps? The gradients of all uses add up.": {"reduce": "mean"},
        "Did you keep the last step only? The gradients of all uses add up.": {"reduce": "last"},
        "Did you leave out the last step?": {"steps": slice(None, -1)},
        "Did you divide by the number of sequences? Only add up: the loss has its mean already.": {"reduce": "batch"},
    },
)  # fmt: skip


class Uses(TorchFunctionMode):
    """Counts the computations with a tensor of at least `size` numbers; a view is no computation."""

    def __init__(self, size):
        super().__init__()
        self.size, self.count = size, 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        large = [tensor for tensor in floats([*args, *(kwargs or {}).values()]) if tensor.numel() >= self.size]
        self.count += bool(large and memory(result) - memory(large))
        return result


def outside_the_loop(function, X, *others):
    """The states and their gradients, and whether an input or W_xh is used anew at each step."""
    uses = Uses(size=X[0].numel())

    def counted(*args):
        with uses:
            return function(*args)

    found = with_gradients(counted, X, *others)
    if not isinstance(found["result"], torch.Tensor):
        found.pop("gradients", None)  # those of a list of states can't be compared
    if uses.count >= 8 and len(X) >= 12:  # with fewer steps it can't be told from a handful of operations outside
        hint = "Take the product with W_xh out of the loop: it doesn't have to wait for a state."
        found["way"] = Flaw("it computes with X or W_xh at every step", hint)
    return found


def reference_hoist(X, H, W_xh, W_hh, b_h):
    states = []
    for inputs in F.linear(X, W_xh.T, b_h):
        H = torch.tanh(torch.addmm(inputs, H, W_hh))
        states.append(H)
    return torch.stack(states)


def unrolled(X, H, W_xh, W_hh, b_h, *, first="given", bias=1, W=lambda W_hh: W_hh, squeeze=torch.tanh, inputs="own",
             join=torch.add, state="new", result="states"):  # fmt: skip
    """The states of all steps, with places to go wrong."""
    shares = X @ W_xh + bias * b_h
    if inputs == "mixed":
        shares = shares.reshape(shares.shape[1], shares.shape[0], -1).transpose(0, 1)
    shares = {"first": shares[:1].expand_as(shares), "previous": shares.roll(1, 0)}.get(inputs, shares)
    given = H = H if first == "given" else torch.zeros_like(H)
    states = [H]
    for share in shares:
        H = squeeze(join(share, (H if state == "new" else given) @ W(W_hh)))
        states.append(H)
    return {
        "states": lambda: torch.stack(states[1:]), "before": lambda: torch.stack(states[:-1]),
        "all": lambda: torch.stack(states), "last": lambda: H, "copies": lambda: torch.stack([H] * len(X)),
        "batch first": lambda: torch.stack(states[1:], dim=1), "reversed": lambda: torch.stack(states[:0:-1]),
        "rows": lambda: torch.cat(states[1:]),
    }[result]()  # fmt: skip


def layer(rng, num_steps, batch_size, num_inputs, num_hiddens):
    n, h = num_inputs, num_hiddens
    shapes = [(num_steps, batch_size, n), (batch_size, h), (n, h), (h, h), (h,)]
    return tuple(normal(rng, *shape, std=std) for shape, std in zip(shapes, (1, 0.5, n**-0.5, h**-0.5, 0.5)))


hoist = Check(
    "hoist",
    reference_hoist,
    lambda rng: [
        ("one step, a batch of 2, 4 inputs, 3 hidden units", layer(rng, 1, 2, 4, 3)),
        ("3 steps, a batch of 1, 2 inputs, 3 hidden units", layer(rng, 3, 1, 2, 3)),
        ("5 steps, a batch of 4, 3 inputs, 6 hidden units", layer(rng, 5, 4, 3, 6)),
        ("12 steps, a batch of 2, 50 inputs, 3 hidden units", layer(rng, 12, 2, 50, 3)),
        ("48 steps, a batch of 2, 200 inputs, 3 hidden units", layer(rng, 48, 2, 200, 3)),
        (
            "inputs (4, 3, 5) that are a transposed tensor",
            (normal(rng, 3, 4, 5).transpose(0, 1), *layer(rng, 4, 3, 5, 2)[1:]),
        ),
    ],
    unrolled,
    {
        "Did you forget H? It is the state before the first step.": {"first": "zero"},
        "Did you forget the bias b_h?": {"bias": 0},
        "Did you add the bias b_h twice?": {"bias": 2},
        "Did you transpose W_hh?": {"W": lambda W_hh: W_hh.T},
        "Did you forget W_hh? It multiplies the previous state.": {"W": lambda W_hh: torch.eye(len(W_hh))},
        "Did you forget tanh?": {"squeeze": lambda Z: Z},
        "Did you apply tanh before the two shares were added?": {
            "join": lambda share, past: torch.tanh(share) + past,
            "squeeze": lambda Z: Z,
        },
        "Did you multiply the two shares? Add them.": {"join": torch.mul},
        "Did you use the inputs of the first step at every step?": {"inputs": "first"},
        "Did you use the inputs of another step?": {"inputs": "previous"},
        "Did you mix up steps and sequences in a reshape? The first axis of X is the step.": {"inputs": "mixed"},
        "Did you begin every step with the same state? Each step begins with the state that the step before made.": {
            "state": "given"
        },
        "Did you return the last state only?": {"result": "last"},
        "Did you return the last state for every step? H[:] = ... overwrites the states that you have kept.": {
            "result": "copies"
        },
        "Did you return the states before the steps? Return the states after them.": {"result": "before"},
        "Did you return H, too? Return only the states after the steps.": {"result": "all"},
        "Are the axes swapped? The first axis of the result is the step.": {"result": "batch first"},
        "Did you reverse the order of time?": {"result": "reversed"},
        "Did you use torch.cat? torch.stack makes the axis of the steps.": {"result": "rows"},
    },
    run=outside_the_loop,
)
