"""text.py: reading, normalising, tokenising, the vocabulary. (Odd files and downloads have tests of their own.)"""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lmini import Vocab, load_corpus, normalise, read_text, tokenize


def test_the_chapter_ships():
    text = read_text()
    assert text.startswith("The Time Machine, by H. G. Wells [1898]")
    assert len(text) == 17_364


def test_words_at_line_ends_stay_apart():
    # The very places where joining lines without a space glued words together.
    letters = normalise(read_text())
    for glued, apart in [("himwas", "him was"), ("ofcheerfulness", "of cheerfulness")]:
        assert glued not in letters
        assert apart.split()[1] in letters.split()
    assert letters.split() == re.findall("[a-z]+", read_text().lower())


@given(st.lists(st.text("abcXYZ.,'-", min_size=1), min_size=1), st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
def test_letters_are_the_words_of_the_text(lines, line_break):
    text = line_break.join(lines)
    words = re.findall("[a-z]+", text.lower())
    if words:
        assert normalise(text) == " ".join(words)
        assert normalise(normalise(text)) == normalise(text)
    else:
        with pytest.raises(ValueError, match="nothing is left"):
            normalise(text)


@given(st.text(min_size=1).filter(str.strip))
def test_characters_keep_all_but_case_and_line_breaks(text):
    result = normalise(text, "characters")
    assert "\n" not in result and "\r" not in result
    assert result == text.lower().replace("\r\n", " ").replace("\r", " ").replace("\n", " ")


@pytest.mark.parametrize("blank", ["", " ", "\n", " \r\n\t\u2003"])
@pytest.mark.parametrize("form", ["letters", "characters"])
def test_of_white_space_nothing_is_left_in_either_form(blank, form):
    with pytest.raises(ValueError, match=f'nothing is left of the text after normalising it to "{form}"'):
        normalise(blank, form)


def test_sizes_of_the_two_forms():
    letters, characters = normalise(read_text())[:10_000], normalise(read_text(), "characters")[:10_000]
    assert set(letters) == set(" abcdefghijklmnopqrstuvwxyz")
    assert len(Vocab(tokenize(letters))) == 28
    assert len(set(characters)) == 43


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["a line"]])
def test_normalise_refuses_what_is_no_str(bad):
    with pytest.raises(TypeError, match="must be a str"):
        normalise(bad)


def test_unknown_forms_and_tokens_are_named():
    with pytest.raises(ValueError, match=r"'upper'.*letters.*characters"):
        normalise("a", "upper")
    with pytest.raises(ValueError, match=r"'byte'.*char.*word"):
        tokenize("a", "byte")


def test_tokenize():
    assert tokenize("a bc") == ["a", " ", "b", "c"]
    assert tokenize("a  bc ", "word") == ["a", "bc"]


@given(st.lists(st.sampled_from("abcdef")), st.integers(0, 4))
def test_vocab_is_a_bijection_ordered_by_frequency(tokens, min_freq):
    vocab = Vocab(tokens, min_freq=min_freq)
    assert vocab.to_tokens(list(range(len(vocab)))) == vocab.idx_to_token
    assert vocab[vocab.idx_to_token] == list(range(len(vocab)))
    assert vocab.idx_to_token[0] == "<unk>" and vocab["never seen"] == 0
    freqs = [tokens.count(token) for token in vocab.idx_to_token[1:]]
    assert freqs == sorted(freqs, reverse=True)
    assert set(vocab.idx_to_token[1:]) == {token for token in tokens if tokens.count(token) >= min_freq}
    assert all((token in vocab) == (tokens.count(token) >= min_freq) for token in set(tokens))


def test_vocab_takes_lines_and_reserved_tokens():
    vocab = Vocab([["b", "a"], ["a"]], reserved_tokens=["<pad>"])
    assert vocab.idx_to_token == ["<unk>", "<pad>", "a", "b"]
    assert vocab.token_freqs == [("a", 2), ("b", 1)]
    assert vocab[["a", ["b", "z"]]] == [2, [3, 0]]
    assert vocab.to_tokens(torch.tensor([[2, 3]])) == [["a", "b"]]


def test_equally_frequent_tokens_come_in_the_order_of_the_text():
    assert Vocab(list("cabcab")).idx_to_token == ["<unk>", "c", "a", "b"]


@pytest.mark.parametrize("reserved", [["<unk>"], ["<pad>", "<unk>"], ["<pad>", "<pad>"]])
def test_reserving_unk_or_a_token_twice_changes_nothing(reserved):
    vocab = Vocab(list("abca"), reserved_tokens=reserved)
    assert vocab.idx_to_token == [*vocab.reserved_tokens, "a", "b", "c"]
    assert vocab.reserved_tokens == (["<unk>", "<pad>"] if "<pad>" in reserved else ["<unk>"])
    assert vocab[vocab.idx_to_token] == list(range(len(vocab)))


def test_a_tuple_is_one_token():
    vocab = Vocab([("a", "b"), ("a", "b"), ("b", "c")])
    assert vocab.idx_to_token == ["<unk>", ("a", "b"), ("b", "c")]
    assert ("a", "b") in vocab and vocab["a", "b"] == 1 and vocab["b", "a"] == 0
    assert vocab[[("b", "c"), ("a", "b")]] == [2, 1]
    assert Vocab([[("a", "b")], [("a", "b")]]).token_freqs == [(("a", "b"), 2)]


@pytest.mark.parametrize("make", [iter, tuple, np.array, lambda lines: (line for line in lines)])
def test_tokens_or_lines_of_them_may_come_from_any_iterable(make):
    assert Vocab(make(list("abab"))).idx_to_token == ["<unk>", "a", "b"]
    assert Vocab(make(list("abab")))[np.array(["b"])[0]] == 2
    if make is not np.array:
        assert Vocab(make([["b", "a"], ["a"]])).token_freqs == [("a", 2), ("b", 1)]


@pytest.mark.parametrize("bad", ["a text", b"a text", torch.tensor([1, 2])])
def test_what_is_no_list_of_tokens_is_refused(bad):
    with pytest.raises(TypeError, match=r"^tokens must be a list of tokens, not a .*tokenize"):
        Vocab(bad)
    with pytest.raises(TypeError, match=r"^reserved_tokens must be a list of tokens, not a "):
        Vocab(["a"], reserved_tokens=bad)


@pytest.mark.parametrize(
    "bad", [torch.tensor([1]), torch.tensor(1), np.array(["a"]), np.int64(1), iter("ab"), {"a"}, None, 1.0]
)
def test_what_can_be_no_token_is_not_looked_up(bad):
    with pytest.raises(TypeError, match=r"takes a token or a list of tokens, not a .*to_tokens"):
        Vocab(["a", "b"])[bad]
    with pytest.raises(TypeError, match=r"takes a token or a list of tokens"):
        Vocab(["a", "b"])[["a", bad]]


@pytest.mark.parametrize("bad", [torch.tensor(1), np.int64(1), None, 1.0])
def test_what_can_be_no_token_gets_no_id(bad):
    for make in (lambda: Vocab(["a", bad]), lambda: Vocab([["a"], [bad]]), lambda: Vocab(["a"], reserved_tokens=[bad])):
        with pytest.raises(TypeError, match=r"a token must be a str or a tuple, not a .*: see tokenize"):
            make()


def test_to_tokens_takes_ids_only():
    vocab = Vocab(["a", "b"])
    assert vocab.to_tokens(0) == "<unk>" and vocab.to_tokens(np.int16(2)) == "b"
    assert vocab.to_tokens((1, [2])) == ["a", ["b"]] and vocab.to_tokens(np.array([2, 1])) == ["b", "a"]
    for bad in (-1, 3, [0, 3]):
        with pytest.raises(IndexError, match=r"^id (-1|3) isn't in the vocabulary: ids run from 0 to 2\."):
            vocab.to_tokens(bad)
    for bad in ("a", 1.0, True, None, torch.tensor([1.0])):
        with pytest.raises(TypeError, match="an id must be an integer"):
            vocab.to_tokens(bad)


@given(st.integers(1, 16_555))
def test_train_and_held_out_parts_never_overlap(num_train):
    train, held_out, vocab = load_corpus(num_train=num_train)
    assert (len(train), len(held_out)) == (num_train, 16_555 - num_train)
    text = normalise(read_text())
    assert "".join(vocab.to_tokens(train)) == text[:num_train]
    known = [char if char in vocab else "<unk>" for char in text[num_train:]]
    assert vocab.to_tokens(held_out) == known


def test_load_corpus_takes_10_000_characters_of_the_text_and_form_that_it_is_given():
    train, held_out, vocab = load_corpus()
    assert (len(train), len(held_out), len(vocab)) == (10_000, 6_555, 28)
    assert train.dtype == held_out.dtype == torch.int64
    train, held_out, vocab = load_corpus("A, b!\nc", "characters", 5)
    assert "".join(vocab.to_tokens(train)) == "a, b!"
    assert vocab.to_tokens(held_out) == [" ", "<unk>"]


@pytest.mark.parametrize(("num_train", "error"), [(0, ValueError), (-1, ValueError), (16_556, ValueError),
                                                  (1e4, TypeError), (None, TypeError), (True, TypeError)])  # fmt: skip
def test_load_corpus_names_the_limits(num_train, error):
    with pytest.raises(error, match=rf"num_train .*{num_train}" if error is TypeError else rf"{num_train}.*1 to 16555"):
        load_corpus(num_train=num_train)
