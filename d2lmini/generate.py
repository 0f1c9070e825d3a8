"""Let a trained model continue a text: with the likeliest character each time (`predict`), or a drawn one (`sample`).

The model reads the prefix first, to warm up its state; then each character that it gives is its next input.
"""

import math
from functools import partial

import torch

from .model import reading
from .validate import check_positive, check_seed, check_size, check_vocab, check_vocab_size


def generate(model, vocab, prefix, num_preds, choose, num_sequences=1):
    """Continue `prefix` `num_sequences` times; `choose` maps logits (num_sequences, vocab_size) to one id for each.

    The logits are a tensor, or an array if the model generates with NumPy.
    """
    check_size("num_preds", num_preds)
    check_prefix(prefix, vocab)
    check_vocab_size(vocab, model)
    check_vocab(vocab)
    with reading(model):
        # Warm-up: the whole prefix in one call; only the state and the last step's logits matter.
        X = torch.tensor([vocab[list(prefix)]] * num_sequences, device=model.device)  # (num_sequences, len(prefix))
        logits, state = model(X, model.begin_state(num_sequences))
        check_finite(logits)
        decode = getattr(model, "decode", partial(decode_with, model))  # a model may bring a faster loop of its own
        ids = decode(logits[-num_sequences:], state, num_preds, choose, len(vocab.reserved_tokens)).tolist()
    return [prefix + "".join(vocab.to_tokens(sequence)) for sequence in ids]


def check_prefix(prefix, vocab):
    """Raise TypeError or ValueError unless `prefix` is a str of one or more characters, all in the vocabulary."""
    if not isinstance(prefix, str):
        raise TypeError(f"the prefix must be a str, not {prefix!r}.")
    if not prefix:
        raise ValueError("the prefix must have at least one character, so that there's something to continue from.")
    unknown = sorted({char for char in prefix if char not in vocab})
    if unknown:
        raise ValueError(
            f"the prefix {prefix!r} has characters that the model has never seen: {unknown}. "
            "Use the vocabulary's characters only: normalise(prefix, form) turns a text into them."
        )


def check_finite(scores):
    """Raise ValueError unless all scores are finite numbers."""
    if not scores.isfinite().all():
        raise ValueError("the model's logits aren't finite numbers: its training run diverged. Train a new model.")


def decode_with(model, scores, state, num_preds, choose, num_reserved):
    """Go on from `scores`, the logits (num_sequences, vocab_size) after the prefix.

    Returns ids (num_sequences, num_preds).
    """
    ids = []
    for _ in range(num_preds):
        scores = scores.clone()
        scores[:, :num_reserved] = -torch.inf  # "<unk>" stands for a gap and isn't a character
        X = choose(scores)[:, None].to(scores.device)  # (num_sequences, 1)
        ids.append(X)
        scores, state = model(X, state)
    return torch.cat(ids, dim=1)


def predict(model, vocab, prefix, num_preds):
    """Continue `prefix` by `num_preds` characters, the likeliest each time (greedy decoding). Returns the whole str.

    "<unk>" and other reserved tokens are never generated. Raises ValueError for an empty prefix, a prefix with unknown
    characters, num_preds below 1, or a model whose logits aren't finite; TypeError for a prefix that isn't a str.
    """
    return generate(model, vocab, prefix, num_preds, lambda scores: scores.argmax(1))[0]


def sample(model, vocab, prefix, num_preds, temperature=1.0, seed=0):
    """Continue `prefix` by `num_preds` characters, each drawn from the model's distribution. Returns the whole str.

    temperature: the logits are divided by it. 1 keeps the model's probabilities, below 1 sharpens them
    (towards `predict`), above 1 flattens them. Equal seeds give equal texts. Errors as for `predict`,
    and ValueError for a temperature that isn't above 0, or is infinite.
    """
    return samples(model, vocab, prefix, num_preds, 1, temperature, seed)[0]


def samples(model, vocab, prefix, num_preds, num_samples, temperature=1.0, seed=0):
    """`num_samples` independent continuations of one prefix, drawn side by side as one batch. Returns list of str."""
    check_size("num_samples", num_samples)
    check_seed(seed)
    check_positive("temperature", temperature)
    if temperature == math.inf:
        raise ValueError("temperature must be a finite number: with 1e300, all characters are equally likely already.")
    rng = torch.Generator().manual_seed(int(seed))

    def draw(scores):
        # Drawn on the CPU, so that a seed gives the same text whatever device holds the model.
        # The largest score is made 0 first, in double precision: a tiny temperature then divides 0 and not by 0.
        scores_cpu = torch.as_tensor(scores).cpu().double()
        largest = scores_cpu.amax(dim=1, keepdim=True)
        check_finite(largest)
        probs = torch.softmax((scores_cpu - largest) / temperature, dim=1).float()
        return torch.multinomial(probs, 1, generator=rng)[:, 0]

    return generate(model, vocab, prefix, num_preds, draw, num_samples)
