"""Models that only count: what every network must beat on the same text."""

import math
from collections import Counter
from itertools import pairwise

import torch

from .metrics import perplexity
from .validate import check_ids, check_size


def baselines(train, test, vocab_size):
    """Perplexities on `test` of four models that only count what is in `train`: what every network must beat.

    Returns {"uniform": vocab_size, "unigram": ..., "bigram": ..., "5-gram": ...}. Unigram and bigram use add-one
    smoothing (Laplace), so that a pair never seen is unlikely but not impossible. "5-gram" is KneserNey of order 5.
    The order is fixed, because choosing it on `test` would flatter the model: longer contexts still help a
    little (on the chapter that ships, order 5 has 4.89 and order 8 has 4.78), but most of the gain is there.

    Raises TypeError or ValueError for texts that aren't token ids of the vocabulary, and ValueError if a text
    has fewer than 2 tokens.
    """
    train, test = (to_ids(tokens, vocab_size) for tokens in (train, test))
    if min(len(train), len(test)) < 2:
        raise ValueError(f"baselines need two texts of at least 2 tokens, not {len(train)} and {len(test)}.")
    ones, pairs, firsts = Counter(train), Counter(pairwise(train)), Counter(train[:-1])
    unigram = [(ones[b] + 1) / (len(train) + vocab_size) for b in test[1:]]
    bigram = [(pairs[a, b] + 1) / (firsts[a] + vocab_size) for a, b in pairwise(test)]
    return {
        "uniform": float(vocab_size),
        "unigram": perplexity_of(unigram),
        "bigram": perplexity_of(bigram),
        "5-gram": KneserNey(train, vocab_size, order=5).perplexity(test),
    }


class KneserNey:
    """A strong model that only counts: interpolated modified Kneser-Ney n-grams.

    A token's probability after a context of order - 1 tokens is its count there, less a discount, divided by the
    context's total. The probability that the discounts free is shared out by the same model without the context's
    oldest token, and so on down to the uniform distribution over all `vocab_size` ids. So nothing is
    impossible, `<unk>` included, and the probabilities after every context, seen or not, sum to 1. Below the highest
    order, a count says after how many distinct tokens an n-gram occurs, not how often: a token that always follows
    the same token counts once, however frequent it is.

    tokens: the ids to count, 1-D; order: the length of the longest n-gram, its last token included.
    Idea: R. Kneser and H. Ney, Improved backing-off for m-gram language modeling (1995); modified and interpolated by
    S. F. Chen and J. Goodman, An empirical study of smoothing techniques for language modeling (1999).
    Raises TypeError or ValueError if `tokens` aren't ids below `vocab_size`, or a size isn't an integer of at least 1.
    """

    def __init__(self, tokens, vocab_size, order=5):
        check_size("order", order)
        tokens = to_ids(tokens, vocab_size)
        self.vocab_size, self.order = vocab_size, order
        self.levels = []  # for n-grams of 1, 2, ..., order tokens
        for n in range(1, order):
            self.levels.append(discount(Counter(ngram[1:] for ngram in set(ngrams(tokens, n + 1)))))
        self.levels.append(discount(Counter(ngrams(tokens, order))))

    def prob(self, token, context):
        """Probability of one id after `context`, a tuple of the ids before it (all of them, or the last order - 1)."""
        p = 1 / self.vocab_size
        for length, (seen, freed) in enumerate(self.levels):
            end = context[len(context) - length :]
            if end not in freed:
                break  # it never occurred, or the text doesn't have that many tokens yet: the shorter context decides
            p = seen.get((*end, token), 0) + freed[end] * p
        return p

    def probs(self, context):
        """Probability of every id after `context` (1-D ids, possibly none): float64 tensor (vocab_size,), sum 1."""
        context = to_ids(context, self.vocab_size)
        return torch.tensor([self.prob(token, context) for token in range(self.vocab_size)], dtype=torch.float64)

    def token_probs(self, tokens):
        """Probability of each token but the first, given those before it in `tokens`: float64 tensor (len - 1,)."""
        tokens = to_ids(tokens, self.vocab_size)
        probs = [self.prob(tokens[i], tokens[max(0, i - self.order + 1) : i]) for i in range(1, len(tokens))]
        return torch.tensor(probs, dtype=torch.float64)

    def perplexity(self, tokens):
        """Perplexity of a text whose first token is given. Raises ValueError if there's no other token."""
        if len(tokens) < 2:
            raise ValueError(f"a perplexity needs at least 2 tokens (the first is given), not {len(tokens)}.")
        return perplexity_of(self.token_probs(tokens).tolist())


def discount(counts):
    """From {n-gram: count} to what interpolation needs: ({n-gram: probability left}, {context: probability freed}).

    Counts of 1, of 2, and of 3 and more have a discount each, estimated from how many n-grams have count 1, 2, 3
    and 4 (Chen and Goodman). A short text has no such estimate, and neither do single characters, because hardly
    any of them is rare; then the discounts are 0.5, 1 and 1.5, as in K. Heafield's KenLM.
    """
    number = Counter(counts.values())
    discounts = {1: 0.5, 2: 1.0, 3: 1.5}
    if number[1] and number[2] and number[3]:
        Y = number[1] / (number[1] + 2 * number[2])
        estimates = {k: k - (k + 1) * Y * number[k + 1] / number[k] for k in discounts}
        if min(estimates.values()) > 0:
            discounts = estimates
    totals, freed = Counter(), Counter()
    for ngram, count in counts.items():
        totals[ngram[:-1]] += count
        freed[ngram[:-1]] += discounts[min(count, 3)]
    left = {ngram: (count - discounts[min(count, 3)]) / totals[ngram[:-1]] for ngram, count in counts.items()}
    return left, {context: freed[context] / totals[context] for context in totals}


def ngrams(tokens, n):
    """All n-grams of a tuple, one for each place where n tokens are left."""
    return zip(*(tokens[i:] for i in range(n)))


def to_ids(tokens, vocab_size):
    """The ids as a tuple. Raises TypeError or ValueError unless they are 1-D and each is an id of the vocabulary."""
    check_size("vocab_size", vocab_size)
    try:
        tokens = torch.as_tensor(tokens)
    except (TypeError, ValueError, RuntimeError):  # PyTorch's three ways to say that these aren't numbers
        tokens = torch.zeros(())
    if tokens.dim() != 1:
        raise TypeError("tokens must be a 1-D tensor or list of integer ids: encode the text with a Vocab first.")
    if len(tokens):
        check_ids(tokens, vocab_size)
    return tuple(tokens.tolist())


def perplexity_of(probs):
    """Perplexity from a list with the probability of each token."""
    return perplexity(-sum(map(math.log, probs)), len(probs))
