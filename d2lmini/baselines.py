"""Models that only count: what every network must beat."""

import math
from collections import Counter
from itertools import pairwise

from .metrics import perplexity
from .validate import check_size


def baselines(train, test, vocab_size):
    """Perplexities on `test` of three models that only count, on `train`: what every network must beat.

    Returns {"uniform": vocab_size, "unigram": ..., "bigram": ...}. Counts start at one (Laplace), so that
    a pair never seen is unlikely and not impossible. Raises ValueError if a text has fewer than 2 tokens.
    """
    check_size("vocab_size", vocab_size)
    if min(len(train), len(test)) < 2:
        raise ValueError(f"baselines need two texts of at least 2 tokens, not {len(train)} and {len(test)}.")
    train, test = list(map(int, train)), list(map(int, test))
    ones, pairs, firsts = Counter(train), Counter(pairwise(train)), Counter(train[:-1])
    unigram = sum(-math.log((ones[b] + 1) / (len(train) + vocab_size)) for b in test[1:])
    bigram = sum(-math.log((pairs[a, b] + 1) / (firsts[a] + vocab_size)) for a, b in pairwise(test))
    return {
        "uniform": float(vocab_size),
        "unigram": perplexity(unigram, len(test) - 1),
        "bigram": perplexity(bigram, len(test) - 1),
    }
