"""Write the golden files: what this version stores, for all later versions to read. Run once for a version.

    python tests/golden/make.py

It writes three files and expected.json beside itself. When the format changes, old golden files stay.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from d2lmini import RNNModel, RNNModelScratch, SequentialBatches, Vocab, Watch, evaluate, save_model, train

FOLDER = Path(__file__).parent
TEXT = "the time machine " * 12
VOCAB = Vocab(list(TEXT), reserved_tokens=["<pad>"])
IDS = torch.tensor(VOCAB[list(TEXT)])


def scratch():
    return RNNModelScratch(len(VOCAB), 4, input_std=0.5)


def batches():
    return SequentialBatches(IDS[:150], 3, 8, seed=1)


def options():
    """The arguments of `train` for the run whose checkpoint is stored."""
    watch = Watch(held_out=IDS[150:], vocab=VOCAB, prefixes=["the "], every=2)
    return {"lr": 1.0, "theta": 0.5, "watch": watch}


def numbers(model):
    return {"held_out_ppl": evaluate(model, IDS[150:]), "sums": [float(p.detach().sum()) for p in model.parameters()]}


def main(folder):
    """Train, save and describe three small models."""
    expected = {}
    model = scratch()
    history = train(model, batches(), 4, **options(), checkpoint=folder / "checkpoint.safetensors")
    expected["checkpoint"] = {**numbers(model), "train_ppl": history.train_ppl, "samples": asdict(history)["samples"]}
    model = scratch()
    expected["six epochs"] = {"train_ppl": train(model, batches(), 6, **options()).train_ppl, **numbers(model)}
    model = scratch()
    train(model, batches(), 3, 1.0)
    save_model(model, VOCAB, folder / "scratch.safetensors")
    expected["scratch"] = numbers(model)
    torch.manual_seed(0)
    model = RNNModel(nn.LSTM(len(VOCAB), 4, num_layers=2, dropout=0.1), len(VOCAB))
    train(model, batches(), 3, 1.0)
    save_model(model, VOCAB, folder / "lstm.safetensors")
    expected["lstm"] = numbers(model)
    text = json.dumps(expected, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if list(FOLDER.glob("*.safetensors")):
        sys.exit(f"{FOLDER} has golden files already: those of a released version stay as they are.")
    main(FOLDER)
