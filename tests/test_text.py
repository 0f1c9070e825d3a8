"""text.py: reading, normalising, tokenising, the vocabulary. (Odd files and downloads have tests of their own.)"""

import re

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


def test_vocab_refuses_a_str_and_a_wrong_id():
    with pytest.raises(TypeError, match="tokenize"):
        Vocab("a text")
    for index in (-1, 3):
        with pytest.raises(IndexError, match=r"ids run from 0 to 2"):
            Vocab(["a", "b"]).to_tokens(index)


@given(st.integers(1, 16_555))
def test_train_and_held_out_parts_never_overlap(num_train):
    train, held_out, vocab = load_corpus(num_train=num_train)
    assert (len(train), len(held_out)) == (num_train, 16_555 - num_train)
    text = normalise(read_text())
    assert "".join(vocab.to_tokens(train)) == text[:num_train]
    known = [char if char in vocab else "<unk>" for char in text[num_train:]]
    assert vocab.to_tokens(held_out) == known


@pytest.mark.parametrize("num_train", [0, -1, 16_556])
def test_load_corpus_names_the_limits(num_train):
    with pytest.raises(ValueError, match=rf"{num_train}.*16555"):
        load_corpus(num_train=num_train)
