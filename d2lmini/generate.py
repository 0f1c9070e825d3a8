"""Let a trained model write: the likeliest character each time (`predict`), or a drawn one (`sample`)."""

from functools import partial

import torch

from .batches import check_size


@torch.no_grad()
def generate(prefix, num_preds, model, vocab, choose, num_rows=1):
    """Continue `prefix` in `num_rows` rows; `choose` maps logits (num_rows, vocab_size) to ids (num_rows,).

    The logits are a tensor, or an array if the model writes with NumPy.
    """
    check_size("num_preds", num_preds)
    if not isinstance(prefix, str) or not prefix:
        raise ValueError(f"the prefix must be a str of at least one character, not {prefix!r}.")
    unknown = sorted({char for char in prefix if char not in vocab})
    if unknown:
        raise ValueError(
            f"the prefix {prefix!r} has characters that the model has never seen: {unknown}. "
            "Use the vocabulary's characters only; normalise(prefix, form) makes them so."
        )
    # Warm-up: the whole prefix in one call; only the state and the last step's logits matter.
    X = torch.tensor([vocab[list(prefix)]] * num_rows, device=model.device)  # (num_rows, len(prefix))
    logits, state = model(X, model.begin_state(batch_size=num_rows))
    write = getattr(model, "write", partial(write_on, model))  # a model may bring a faster loop of its own
    ids = write(logits[-num_rows:], state, num_preds, choose, len(vocab.reserved_tokens)).tolist()
    return [prefix + "".join(vocab.to_tokens(row)) for row in ids]


def write_on(model, scores, state, num_preds, choose, num_reserved):
    """Go on from `scores`, the logits (num_rows, vocab_size) after the prefix: returns ids (num_rows, num_preds)."""
    written = []
    for _ in range(num_preds):
        scores = scores.clone()
        scores[:, :num_reserved] = -torch.inf  # "<unk>" stands for a gap, it is not a character
        X = choose(scores)[:, None].to(scores.device)  # (num_rows, 1)
        written.append(X)
        scores, state = model(X, state)
    return torch.cat(written, dim=1)


def predict(prefix, num_preds, model, vocab):
    """Continue `prefix` by `num_preds` characters, the likeliest each time (greedy decoding). Returns str.

    "<unk>" is never written. Raises ValueError for an empty prefix, one with unknown characters, or
    num_preds below 1.
    """
    return generate(prefix, num_preds, model, vocab, lambda scores: scores.argmax(1))[0]


def sample(prefix, num_preds, model, vocab, temperature=1.0, seed=0):
    """Continue `prefix` by `num_preds` characters, each drawn from the model's distribution. Returns str.

    temperature: the logits are divided by it. 1 keeps the model's probabilities, below 1 sharpens them
    (towards `predict`), above 1 flattens them. Equal seeds give equal texts. Errors as for `predict`,
    and ValueError for a temperature that is not above 0.
    """
    return samples(prefix, 1, num_preds, model, vocab, temperature, seed)[0]


def samples(prefix, num_samples, num_preds, model, vocab, temperature=1.0, seed=0):
    """`num_samples` independent continuations of one prefix, drawn side by side as one batch. Returns list of str."""
    check_size("num_samples", num_samples)
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"temperature must be a number above 0, not {temperature}; for the likeliest character use predict."
        )
    rng = torch.Generator().manual_seed(seed)

    def draw(scores):
        # Drawn on the CPU, so that a seed gives the same text whatever device holds the model.
        # The largest score is made 0 first, in double precision: a tiny temperature then divides 0 and not by 0.
        scores_cpu = torch.as_tensor(scores).cpu().double()
        probs = torch.softmax((scores_cpu - scores_cpu.amax(dim=1, keepdim=True)) / temperature, dim=1).float()
        return torch.multinomial(probs, 1, generator=rng)[:, 0]

    return generate(prefix, num_preds, model, vocab, draw, num_samples)
