"""Models that only count, against arithmetic by hand and against a Kneser-Ney model written a second time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import d2lmini
from d2lmini import KneserNey, baselines, load_corpus
from d2lmini.counting import discount

TOKENS = torch.tensor([1, 2, 3, 4, 2, 3, 1, 4, 4, 2] * 40)
TRAIN, TEST, VOCAB = load_corpus()

texts = st.lists(st.integers(0, 3), max_size=40)
orders = st.integers(1, 8)


# baselines


def test_baselines_by_hand():
    # a b a b b: add-one counts. Unigram: P(b) = 4/7. Bigram: P(b|a) = 3/4, P(b|b) = 2/4.
    result = baselines([0, 1, 0, 1, 1], [0, 1, 1], vocab_size=2)
    assert result["uniform"] == 2
    assert result["unigram"] == pytest.approx(7 / 4)
    assert result["bigram"] == pytest.approx((4 / 3 * 4 / 2) ** 0.5)


def test_baselines_are_ordered_on_text_that_repeats():
    uniform, unigram, bigram, five_gram = baselines(TOKENS, TOKENS, 5).values()
    assert uniform == 5 > unigram > bigram > five_gram > 1


def test_baselines_on_the_chapter():
    result = {name: round(ppl, 2) for name, ppl in baselines(TRAIN, TEST, len(VOCAB)).items()}
    assert result == {"uniform": 28, "unigram": 16.78, "bigram": 9.80, "5-gram": 4.89}


@pytest.mark.parametrize(("train", "test", "sizes"), [(TOKENS, TOKENS[:1], "400 and 1"), ([], [1, 2], "0 and 2")])
def test_baselines_need_two_tokens(train, test, sizes):
    with pytest.raises(ValueError, match=f"at least 2 tokens, not {sizes}"):
        baselines(train, test, 5)


def test_the_function_keeps_its_name_beside_the_module():
    assert callable(d2lmini.baselines) and d2lmini.baselines is baselines


# KneserNey


def windows(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def textbook(tokens, vocab_size, order, context, token):
    """Chen and Goodman's recursion as it is printed, recounting the whole text at every step."""
    return interpolated(tokens, vocab_size, order, context[-(order - 1) :] if order > 1 else (), token, top=True)


def interpolated(tokens, vocab_size, n, context, token, top):
    def count(ngram):
        if top:
            return windows(tokens, n).count(ngram)
        return len({w[0] for w in windows(tokens, n + 1) if w[1:] == ngram})

    def lower():
        if n == 1:
            return 1 / vocab_size
        return interpolated(tokens, vocab_size, n - 1, context[1:], token, top=False)

    if len(context) < n - 1:  # the text has no n - 1 tokens yet
        return interpolated(tokens, vocab_size, n - 1, context, token, top=False)
    total = sum(count((*context, w)) for w in range(vocab_size))
    if total == 0:
        return lower()
    n1, n2, n3, n4 = (sum(count(w) == r for w in set(windows(tokens, n))) for r in (1, 2, 3, 4))
    D1, D2, D3 = 0.5, 1, 1.5
    if n1 * n2 * n3 > 0:
        Y = n1 / (n1 + 2 * n2)
        estimates = 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3
        if all(D > 0 for D in estimates):
            D1, D2, D3 = estimates

    def D(c):
        return 0 if c == 0 else D1 if c == 1 else D2 if c == 2 else D3

    N1, N2, N3 = (sum(test(count((*context, w))) for w in range(vocab_size))
                  for test in (lambda c: c == 1, lambda c: c == 2, lambda c: c >= 3))  # fmt: skip
    gamma = (D1 * N1 + D2 * N2 + D3 * N3) / total
    c = count((*context, token))
    return (c - D(c)) / total + gamma * lower()


@given(texts, orders, st.lists(st.integers(0, 4), max_size=9))
def test_kneser_ney_is_the_textbooks_recursion(tokens, order, context):
    probs = KneserNey(tokens, 5, order).probs(context)
    for token in range(5):
        assert probs[token].item() == pytest.approx(textbook(tokens, 5, order, tuple(context), token), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_kneser_ney_is_the_textbooks_recursion_where_discounts_are_estimated(order):
    tokens = TRAIN[:300].tolist()
    model = KneserNey(tokens, len(VOCAB), order)
    for i in range(5):
        context, token = tuple(TEST[i : i + 4].tolist()), int(TEST[i + 4])
        expected = textbook(tokens, len(VOCAB), order, context, token)
        assert model.probs(context)[token].item() == pytest.approx(expected, rel=1e-9)


@given(texts, orders, st.lists(st.integers(0, 4), max_size=9))
def test_probabilities_sum_to_one_after_every_context(tokens, order, context):
    probs = KneserNey(tokens, 5, order).probs(context)
    assert probs.shape == (5,) and probs.dtype == torch.float64
    assert probs.min() > 0  # id 4 was never seen
    assert probs.sum().item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("order", range(1, 9))
def test_probabilities_on_the_chapter_sum_to_one_seen_or_not(order):
    model = KneserNey(TRAIN, len(VOCAB), order)
    seen, unseen = TRAIN[500:508], torch.full((8,), VOCAB["q"])
    for context in (seen, unseen, torch.tensor([VOCAB.unk] * 8), torch.cat([unseen, seen[-2:]])):
        probs = model.probs(context)
        assert probs.sum().item() == pytest.approx(1, rel=1e-12) and probs.min() > 0


def test_perplexities_on_the_chapter_by_order():
    found = [round(KneserNey(TRAIN, len(VOCAB), order).perplexity(TEST), 2) for order in range(2, 9)]
    assert found == [9.68, 6.65, 5.23, 4.89, 4.81, 4.80, 4.78]


@given(texts, orders, st.lists(st.integers(0, 4), min_size=2, max_size=12))
def test_token_probs_are_the_probs_of_what_comes_next(tokens, order, text):
    model = KneserNey(tokens, 5, order)
    expected = [model.probs(text[:i])[text[i]].item() for i in range(1, len(text))]
    assert model.token_probs(text).tolist() == expected
    mean_nll = -sum(map(math.log, expected)) / len(expected)
    assert model.perplexity(text) == pytest.approx(math.exp(mean_nll))


def test_the_default_order_is_five():
    assert KneserNey(TRAIN, len(VOCAB)).perplexity(TEST) == KneserNey(TRAIN, len(VOCAB), 5).perplexity(TEST)


def test_a_text_of_one_token_has_no_token_probs():
    assert KneserNey(TOKENS, 5).token_probs([3]).tolist() == []


@pytest.mark.parametrize("tokens", [[], [2], [2, 1, 2]])
def test_a_text_shorter_than_the_order_still_gives_probabilities(tokens):
    probs = KneserNey(tokens, 4, order=5).probs([2, 1, 2, 1])
    assert probs.sum().item() == pytest.approx(1) and probs.min() > 0
    if len(tokens) < 2:  # nothing to count
        assert probs.tolist() == [0.25] * 4


def test_an_unseen_context_leaves_the_answer_to_its_end():
    model = KneserNey(TRAIN, len(VOCAB), order=3)
    end = [VOCAB["h"]]
    assert model.probs([VOCAB["q"], *end]).tolist() == model.probs(end).tolist()


def test_a_lower_order_counts_contexts_and_not_places():
    # After an unseen token, b (5 times, always after a) is less likely than c (3 times, after three tokens).
    a, b, c, d, e, unseen = range(6)
    text = [a, b] * 5 + [c, d, c, e, c]
    probs = KneserNey(text, 6, order=2).probs([unseen])
    assert probs[c] > probs[b] > probs[unseen]


def test_discounts_follow_the_counts_of_counts():
    counts = {(0, i): c for i, c in enumerate([1] * 8 + [2] * 4 + [3] * 2 + [4] * 1 + [9])}
    Y = 8 / (8 + 2 * 4)
    D1, D2, D3 = 1 - 2 * Y * 4 / 8, 2 - 3 * Y * 2 / 4, 3 - 4 * Y * 1 / 2
    total = 8 + 8 + 6 + 4 + 9
    left, freed = discount(counts)
    assert freed == {(0,): pytest.approx((8 * D1 + 4 * D2 + 4 * D3) / total)}
    assert [left[0, i] * total for i in (0, 8, 12, 14, 15)] == pytest.approx([1 - D1, 2 - D2, 3 - D3, 4 - D3, 9 - D3])


@pytest.mark.parametrize("counts", [
    [5, 6, 7],  # nothing rare: no estimate at all
    [1, 1, 2, 5],  # no count of 3
    [1, 1, 1, 1, 2, 3, 3, 3, 3, 3],  # many of 3 and few of 2: the discount for 2 would be negative
    [1, 1, 1, 1, 2, 3],  # the discount for 2 would be 0
])  # fmt: skip
def test_discounts_without_an_estimate_are_the_usual_ones(counts):
    _, freed = discount({(0, i): c for i, c in enumerate(counts)})
    expected = sum({1: 0.5, 2: 1, 3: 1.5}[min(c, 3)] for c in counts) / sum(counts)
    assert freed == {(0,): pytest.approx(expected)}


def test_tensors_and_lists_are_the_same_text():
    assert KneserNey(TOKENS, 5).perplexity(TOKENS) == KneserNey(TOKENS.tolist(), 5).perplexity(TOKENS.tolist())


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (([1, 5], 5), ValueError, "from 1 to 5, but the vocabulary has 5"),
    (([-1, 2], 5), ValueError, "from -1 to 2"),
    (([0.5, 1.5], 5), TypeError, "ids must be integers"),
    (("abc", 5), TypeError, "encode the text with a Vocab first"),
    (([[1, 2]], 5), TypeError, "1-D"),
    (([1, 2], 0), ValueError, "vocab_size must be at least 1"),
    (([1, 2], 5, 0), ValueError, "order must be at least 1"),
    (([1, 2], 5, 2.0), TypeError, "order must be an integer"),
])  # fmt: skip
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        KneserNey(*arguments)


def test_bad_texts_to_measure():
    model = KneserNey(TOKENS, 5)
    with pytest.raises(ValueError, match=r"at least 2 tokens .* not 1"):
        model.perplexity([1])
    for method in (model.probs, model.token_probs, model.perplexity):
        with pytest.raises(ValueError, match="the vocabulary has 5"):
            method([1, 5])
