"""Files that an earlier version has stored are read, and hold the same numbers: names and format stay forever."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from d2lmini import History, evaluate, load_model, predict, train
from d2lmini.files import read_file

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
import make  # noqa: E402

EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def about(numbers):
    """Equal up to what another processor may round in another way."""
    return pytest.approx(numbers, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["scratch", "lstm"])
def test_a_stored_model_is_read(name):
    model, vocab = load_model(GOLDEN / f"{name}.safetensors")
    assert vars(vocab) == vars(make.VOCAB)
    assert evaluate(model, make.IDS[150:]) == about(EXPECTED[name]["held_out_ppl"])
    assert [float(param.detach().sum()) for param in model.parameters()] == about(EXPECTED[name]["sums"])
    assert len(predict(model, vocab, "the ", 5)) == 9


def test_the_names_of_the_tensors_stay():
    tensors, description = read_file(GOLDEN / "scratch.safetensors", "model")
    assert set(tensors) == {"W_xh", "W_hh", "b_h", "W_hq", "b_q"}
    assert description["model"] == {"network": "rnn", "vocab_size": 11, "num_hiddens": 4, "class": "RNNModelScratch"}


def test_a_stored_run_goes_on(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    shutil.copyfile(GOLDEN / path.name, path)
    model = make.scratch()
    history = train(model, make.batches(), 4, **make.options(), checkpoint=path)
    assert history.train_ppl == EXPECTED["checkpoint"]["train_ppl"]  # read, not computed: equal to the last bit
    assert history.samples == {int(epoch): texts for epoch, texts in EXPECTED["checkpoint"]["samples"].items()}
    assert [float(param.detach().sum()) for param in model.parameters()] == about(EXPECTED["checkpoint"]["sums"])
    history = train(model, make.batches(), 6, **make.options(), checkpoint=path)
    assert history.train_ppl == about(EXPECTED["six epochs"]["train_ppl"])
    assert evaluate(model, make.IDS[150:]) == about(EXPECTED["six epochs"]["held_out_ppl"])
    assert isinstance(history, History) and history.stopped is None
