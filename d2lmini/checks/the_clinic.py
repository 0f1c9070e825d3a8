"""Checks of notebook 10: the diagnoses of eight runs, what logits depend on, and faults of minibatches."""

from itertools import pairwise

import torch

from .judge import Check, ids, normal
from .reading import NO_RETURN, Parts, Unread, describe, items_of

CAUSES = {
    "rate": "the learning rate is too high",
    "explosion": "nothing limits the length of a step",
    "saturation": "the initialization saturates tanh",
    "order": "inputs and targets are in different orders",
    "vocabulary": "the test text has the ids of another vocabulary",
    "state": "the state goes on where the text doesn't",
    "graph": "the graph of earlier minibatches is never cut",
    "memorizing": "it learns the training text by heart",
    "ignored": "the network ignores its state",
    "underfitting": "training has stopped too early",
    "greedy": "nothing: greedy decoding loops even for a good model",
}
REMEDIES = {
    "slower": "a smaller learning rate",
    "clip": "clip the gradients",
    "smaller input": "draw W_xh with a smaller standard deviation",
    "transpose": "flatten the targets with Y.T.reshape(-1)",
    "same vocab": "encode every text with the training vocabulary",
    "new state": "begin each minibatch with a new state",
    "detach": "detach the state before each minibatch",
    "keep the best": "keep the weights with the lowest validation perplexity",
    "use the state": "feed each step with the state of the step before",
    "more epochs": "train for more epochs",
    "sample": "sample instead of greedy decoding",
}
# run: (cause, remedies that work, what a wrong diagnosis has overlooked)
DIAGNOSES = {
    1: ("rate", ("slower",), "how long is each update, compared with the updates of the healthy run?"),
    2: ("vocabulary", ("same vocab",), "training goes well. From which epoch on is the test perplexity bad?"),
    3: ("state", ("new state",), "where in the sequences is the perplexity worse than the bigram's?"),
    4: ("memorizing", ("keep the best",), "when is the test perplexity lowest, and what does it do after that?"),
    5: ("saturation", ("smaller input",), "which number is unusual before the first update?"),
    6: ("order", ("transpose",), "which counting model's perplexity does the training curve approach?"),
    7: ("explosion", ("clip", "slower"), "how long is its longest update, and what would have limited it?"),
    8: ("graph", ("detach",), "the curves are fine. What else grows from minibatch to minibatch?"),
}
OTHER_REMEDY = "If a cause is right but its remedy isn't, look for the remedy that removes just that cause."


def observe_diagnoses(function, runs):
    """How many causes and remedies are right, and which runs are diagnosed wrongly; never the right answer."""
    found, causes, remedies = {}, 0, 0
    for run in runs:
        answer = function(run)
        pair = items_of(answer, 2)
        if pair is None or len(pair) != 2:
            text = f"expected a cause and a remedy for run {run}, got {describe(answer)}"
            return Parts(
                {"result": Unread(text, NO_RETURN if answer is None else 'Return a pair: return "rate", "slower"')}
            )
        for name, known in zip(pair, (CAUSES, REMEDIES)):
            if not isinstance(name, str) or name not in known:
                text = f"expected one of the {'causes' if known is CAUSES else 'remedies'}, got {str(name)[:40]!r}"
                return Parts({"result": Unread(text, "Take the short names from the two printed lists.")})
        cause, cures, _ = DIAGNOSES[run]
        causes, remedies = causes + (pair[0] == cause), remedies + (pair[1] in cures)
        found[f"run {run}"] = "right" if pair[0] == cause else "another cause"
        if pair[0] == cause:
            found["remedies"] = "right" if pair[1] in cures and found.get("remedies") != "wrong" else "wrong"
    return Parts({"score": f"{causes} of 8 causes, {remedies} of 8 remedies"} | found)


diagnose = Check(
    "diagnose",
    lambda run: (DIAGNOSES[run][0], DIAGNOSES[run][1][0]),
    lambda rng: [("all eight runs", (tuple(DIAGNOSES),))] * 3,  # all at once, so that the verdict counts them
    run=observe_diagnoses,
    about={f"run {run}": f"Run {run}: {overlooked}" for run, (_, _, overlooked) in DIAGNOSES.items()}
    | {"remedies": OTHER_REMEDY},
)


class Network:
    """A small network with the calls of the course's models, and with places to go wrong."""

    def __init__(self, rng, vocab_size, num_hiddens=5, reads="the state before", quiet=False):
        self.vocab_size, self.num_hiddens, self.reads = vocab_size, num_hiddens, reads
        self.W_xh, self.W_hh, self.W_hq = (
            normal(rng, *shape) for shape in ((vocab_size, num_hiddens), (num_hiddens,) * 2, (num_hiddens, vocab_size))
        )

        if quiet:  # the first logit is always 0, the others change little
            self.W_hq = self.W_hq * torch.tensor([0.0, *[0.003] * (vocab_size - 1)])

    def __repr__(self):
        return "a network"

    def begin_state(self, batch_size):
        return (torch.full((batch_size, self.num_hiddens), 0.1),)

    def __call__(self, X, state):
        inputs = self.W_xh[X.T]  # (num_steps, batch_size, num_hiddens)
        (start,) = state
        H, found = start, []
        for t, x in enumerate(inputs):
            if self.reads == "the token before":
                H = inputs[t - 1] if t else torch.zeros_like(x)
            elif self.reads == "its neighbours":
                H = H.roll(1, dims=0)
            elif self.reads == "the token ahead":
                x = x + inputs[min(t + 1, len(inputs) - 1)] / 2
            H = torch.tanh(x + (start if self.reads == "the start" else H) @ self.W_hh / 2)
            found.append(H)
        return torch.cat(found) @ self.W_hq, (H,)


def changed_logits(model, X, r, t, *, row=lambda r, t, X: t * X.shape[0] + r, new=lambda old, n: (old + 1) % n,
                   undo=True, same=torch.equal, where=lambda i, j, r, t: True, carry=False,
                   turn=lambda D: D):  # fmt: skip
    """Which tokens of X the logits of sequence r at step t depend on, with places to go wrong."""
    with torch.no_grad():
        before, state = model(X, model.begin_state(X.shape[0]))
        result, changed = torch.zeros(X.shape, dtype=torch.bool), X.clone()
        for i in range(X.shape[0]):
            for j in range(X.shape[1]):
                changed = X.clone() if undo else changed
                changed[i, j] = new(X[i, j], model.vocab_size)
                after, _ = model(changed, state if carry else model.begin_state(X.shape[0]))
                result[i, j] = where(i, j, r, t) and not same(before[row(r, t, X)], after[row(r, t, X)])
    return turn(result)


dependencies = Check(
    "dependencies",
    lambda model, X, r, t: changed_logits(model, X, r, t),
    lambda rng: [
        (
            f"a network that reads {reads}, X of shape ({batch_size}, {num_steps})",
            (Network(rng, n, reads=reads, quiet=bool(quiet)), ids(rng, n, batch_size, num_steps), r, t),
        )
        for reads, n, batch_size, num_steps, r, t, *quiet in [
            ("the state before", 4, 3, 4, 1, 2),
            ("the start", 4, 3, 4, 1, 2),
            ("the token before", 5, 2, 5, 0, 3),
            ("the token ahead", 6, 2, 4, 1, 1),
            ("its neighbours", 4, 3, 4, 2, 2),
            ("the state before", 2, 1, 5, 0, 4),
            ("the state before", 30, 4, 3, 3, 0),
            ("the start", 2, 5, 2, 4, 1),
            ("the state before", 5, 2, 3, 1, 1, "quiet"),
        ]
    ],
    changed_logits,
    {
        "Is that the row of sequence r at step t? The logits are time-major: t * batch_size + r.": [
            {"row": lambda r, t, X: r * X.shape[1] + t},
            {"row": lambda r, t, X: t},
            {"row": lambda r, t, X: r},
        ],
        "Did you compare all the logits? Only those of sequence r at step t count.": {
            "row": lambda r, t, X: slice(None)
        },
        "Did you compare all the sequences at step t? Only sequence r counts.": {
            "row": lambda r, t, X: slice(t * X.shape[0], (t + 1) * X.shape[0])
        },
        "Did you forget to undo a change before the next one? Begin each time with a copy of X.": {"undo": False},
        "Is the new token always another token? (old + 1) % vocab_size is.": [
            {"new": lambda old, n: 0},
            {"new": lambda old, n: n - 1},
            {"new": lambda old, n: min(int(old) + 1, n - 1)},
        ],
        "Did you change the tokens of sequence r only? A fault may mix the sequences.": {
            "where": lambda i, j, r, t: i == r
        },
        "Did you change only the tokens up to step t? A fault may read ahead.": {"where": lambda i, j, r, t: j <= t},
        "Did you leave out the token at step t itself?": {"where": lambda i, j, r, t: (i, j) != (r, t)},
        "Did you compare the likeliest tokens? The logits can change without a new winner.": {
            "same": lambda a, b: torch.equal(a.argmax(-1), b.argmax(-1))
        },
        "Does each call begin with a new state? Otherwise the logits differ anyway.": {"carry": True},
        "Is it the other way round? True means that the logits change.": {"turn": lambda D: ~D},
        "Did you transpose the result? Its entry [i, j] belongs to X[i, j].": {"turn": lambda D: D.T},
    },
    about={
        "IndexError": "Is the new id below vocab_size? (old + 1) % vocab_size is.",
    },
)


class Given:
    """Minibatches as a sampler gives them, any number of times."""

    def __init__(self, carries_state, pairs):
        self.carries_state, self.pairs = carries_state, list(pairs)

    def __repr__(self):
        return "minibatches"

    def __iter__(self):
        return iter([(X.clone(), Y.clone()) for X, Y in self.pairs])


def sequential(carries_state, batch_size, num_steps, number, gap=0, order=None, since=1, targets=lambda X, Y: Y,
               spoilt=()):  # fmt: skip
    """Minibatches of a text, with faults: a gap between them, sequences in another order, other targets."""
    length = number * (num_steps + gap) + 1
    ids = torch.randperm(batch_size * length, generator=torch.Generator().manual_seed(1))  # shuffled
    if gap:  # in order: the next input is one more than the last target
        ids = torch.arange(batch_size * length)
    text = ids.reshape(batch_size, length)
    pairs = []
    for n in range(number):
        begin = n * (num_steps + gap)
        X, Y = text[:, begin : begin + num_steps], text[:, begin + 1 : begin + num_steps + 1]
        if order is not None and n >= since:
            X, Y = X[order], Y[order]
        pairs.append((X, targets(X, Y) if not spoilt or n in spoilt else Y))
    return Given(carries_state, pairs)


def faults(batches, *, last=None, believe=True, end=lambda X, Y: Y[:, -1], only=slice(None), equal=torch.equal,
           both=True, check_targets=True, following=lambda X: X[:, 1:]):  # fmt: skip
    """The faults of minibatches, with places to go wrong."""
    pairs, found = list(batches)[:last], []
    if check_targets and any(not equal(following(X)[only], Y[only, :-1]) for X, Y in pairs):
        found.append("targets")
    broken = any(not equal(end(X, Y)[only], later[only, 0]) for (X, Y), (later, _) in pairwise(pairs))
    if (batches.carries_state or not believe) and broken and (both or not found):
        found.append("state")
    return found


def scrambled(X, Y):
    """What a missing transpose makes of the targets."""
    return Y.reshape(Y.shape[1], Y.shape[0]).T


def nearly(a, b):
    """Equal in at least one place: what `any` makes of a comparison."""
    return a.numel() == 0 or bool((a == b).any())


batch_faults = Check(
    "batch_faults",
    lambda batches: faults(batches),
    lambda rng: [
        (what, (sequential(*args, **fault),))
        for what, args, fault in [
            ("sequential minibatches, the state carries over", (True, 3, 4, 3), {}),
            ("sequential minibatches, each begins with a new state", (False, 3, 4, 3), {}),
            ("sequences in another order, each begins with a new state", (False, 3, 4, 2), {"order": [2, 0, 1]}),
            ("sequences in another order, the state carries over", (True, 3, 4, 2), {"order": [2, 0, 1]}),
            ("the last two sequences change places, the state carries over", (True, 3, 4, 3), {"order": [0, 2, 1]}),
            ("sequences in another order from the third minibatch on, the state carries over", (True, 3, 4, 4),
             {"order": [2, 0, 1], "since": 2}),
            ("a token is left out between two minibatches, the state carries over", (True, 2, 3, 2), {"gap": 1}),
            ("targets in another order", (False, 3, 4, 2), {"targets": scrambled}),
            ("targets in another order, the state carries over", (True, 3, 4, 2), {"targets": scrambled}),
            ("targets that are the inputs", (False, 2, 3, 2), {"targets": lambda X, Y: X}),
            ("targets that are the inputs, the state carries over", (True, 2, 3, 2), {"targets": lambda X, Y: X}),
            ("the last minibatch has other targets", (False, 3, 4, 4), {"targets": scrambled, "spoilt": (3,)}),
            ("the last target of one sequence is wrong", (False, 2, 4, 2),
             {"targets": lambda X, Y: Y + torch.tensor([[0, 0, 0, 0], [0, 0, 5, 0]])}),
            ("sequences of one token, the state carries over", (True, 2, 1, 4), {}),
            ("sequences of one token in another order, the state carries over", (True, 2, 1, 3), {"order": [1, 0]}),
            ("a single minibatch", (True, 2, 3, 1), {}),
        ]
    ],
    faults,
    {
        "Did you look at the first minibatch only?": [{"last": 1}, {"last": 2}],
        "Does the state matter here? Look at batches.carries_state.": {"believe": False},
        "Which token follows the last input of a sequence? Its target, Y[:, -1].": {"end": lambda X, Y: X[:, -1]},
        "Is the next input one more than the last target? They are the same token.": {
            "end": lambda X, Y: Y[:, -1] + 1
        },
        "Is a target one more than its input? It is the token in the next column of X.": {
            "following": lambda X: X[:, :-1] + 1
        },
        "Did you look at one sequence only?": [{"only": slice(0, 1)}, {"only": slice(-1, None)}],
        "Did you accept tokens that agree in one place only? All of them must be equal.": {"equal": nearly},
        "Did you stop at the first fault? There may be two.": {"both": False},
        "Did you forget the targets? Within a sequence, Y[:, :-1] is X[:, 1:].": {"check_targets": False},
        "Did you always return an empty list?": lambda batches: [],
    },
)  # fmt: skip
