"""python -m d2lmini: train the course's model without a notebook. python -m d2lmini doctor: is everything there?"""

import argparse
import io
import os
import sys
from pathlib import Path

from .doctor import doctor

try:
    import torch

    from . import (
        RNNModelScratch,
        SequentialBatches,
        TrainingDiverged,
        load_corpus,
        normalise,
        predict,
        read_text,
        sample,
    )
    from . import train as train_model
    from .checkpoints import save_model
    from .files import write_atomically
except Exception:  # a library that half is there may raise anything; all but the doctor has ended in __init__.py
    if sys.argv[1:] != ["doctor"]:
        raise
    sys.exit(doctor())

DESCRIPTION = """\
Train the recurrent network of the course, from scratch, and let it write.

Writes two files into the output folder, and replaces those of an earlier run:
  perplexity.png      the perplexity of each epoch
  model.safetensors   the weights and the vocabulary (d2lmini.checkpoints.load_model reads them)
Ctrl-C ends the training early and saves what there is."""

EPILOG = """\
python -m d2lmini doctor checks the installation: Python, packages, device, text, cache.

Exit codes: 0 done, 1 the doctor found a fault, 2 wrong option, unreadable text or unwritable file, 130 Ctrl-C."""

NUM_TRAIN = 10_000  # characters to train on, as in the course; as many again, at most, are held out
PREFIXES = ("time traveller", "traveller")


def whole_number(smallest):
    """A type for argparse: an integer from `smallest` to 2**62."""

    def convert(value):
        number = int(value)
        if not smallest <= number < 2**62:
            raise argparse.ArgumentTypeError(f"{value} is not a whole number of at least {smallest}")
        return number

    convert.__name__ = "whole number"  # argparse names it in its messages
    return convert


def usable_device(name):
    """A type for argparse: a torch.device that can compute here."""
    try:
        device = torch.device(name)
        float(torch.ones(1, device=device) + 1)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name!r} is no device of this computer; try cpu, cuda or mps") from error
    return device


def parser():
    """What the command line may say."""
    parser = argparse.ArgumentParser(
        "python -m d2lmini",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["train", "doctor"], default="train", help="default: train")
    parser.add_argument("--text", metavar="FILE", help="a text to train on (default: the chapter of The Time Machine)")
    parser.add_argument(
        "--form",
        choices=["letters", "characters"],
        default="letters",
        help="letters: a-z and spaces only (default); characters: every alphabet, with punctuation",
    )
    parser.add_argument("--epochs", type=whole_number(1), default=120, metavar="N", help="default: 120")
    parser.add_argument("--hiddens", type=whole_number(1), default=512, metavar="N", help="hidden units, default: 512")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="default: 0")
    parser.add_argument("--device", type=usable_device, default="cpu", help="cpu (default), cuda, cuda:1, mps, ...")
    parser.add_argument("--output", metavar="FOLDER", default="d2lmini-output", help="default: d2lmini-output")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="written every 10 epochs; if the file is there, training goes on from it"
    )
    return parser


def load(path, form):
    """The text (str), normalised and cut to what a run uses, then its (train, held_out, vocab)."""
    text = normalise(read_text(path), form)[: 2 * NUM_TRAIN]
    return text, *load_corpus(text, form, min(NUM_TRAIN, len(text) * 4 // 5 or 1))


def make_folder(path):
    """Make the output folder, or raise OSError at once: better now than after the training."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise OSError(f"the folder {folder} cannot be written to: choose another --output")
    return folder


def make_model(vocab, options):
    try:
        return RNNModelScratch(len(vocab), options.hiddens, options.device, seed=options.seed, orthogonal=True)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{options.hiddens} hidden units need more memory than {options.device} has") from error


def write_results(folder, model, vocab, history):
    """The weights and the figure, each replaced in one step. Returns their paths."""
    weights, figure = folder / "model.safetensors", folder / "perplexity.png"
    save_model(model, vocab, weights)
    image = io.BytesIO()
    history.plot().savefig(image, format="png", dpi=150)
    write_atomically(figure, image.getvalue())
    return weights, figure


def report(history, held_out, prefixes, model, vocab):
    """Print perplexities, speed and samples."""
    if history.train_ppl:
        speed = f"{history.tokens_per_second:,.0f} tokens/s on {model.device}" if history.speeds else "speed unknown"
        print(f"training perplexity {history.train_ppl[-1]:.2f} after {len(history.train_ppl)} epochs, {speed}")
    if history.held_out_ppl:
        counting = ", ".join(f"{name} {ppl:.1f}" for name, ppl in history.baselines.items())
        last = history.held_out_ppl[max(history.held_out_ppl)]
        print(f"held-out perplexity {last:.2f} on {len(held_out):,} characters it never saw (by counting: {counting})")
        if history.train_ppl and history.train_ppl[-1] < history.baselines["bigram"] < last:
            print(
                "Worse than counting pairs on unseen text: the model has learnt its pages by heart, not the language."
            )
    for prefix in prefixes:
        print(f"likeliest: {predict(model, vocab, prefix, 50)}")
        print(f"drawn:     {sample(model, vocab, prefix, 50, temperature=0.7)}")


def train(options):
    """Train, write the files, print the report. Returns the exit code."""
    import matplotlib

    matplotlib.use("agg")  # draws into files: there may be no screen
    folder = make_folder(options.output)
    text, tokens, held_out, vocab = load(options.text, options.form)
    prefixes = [prefix for prefix in PREFIXES if all(char in vocab for char in prefix)] or [text[:10]]
    batches = SequentialBatches(tokens, 32, 35, seed=options.seed)
    model = make_model(vocab, options)
    print(f"{len(tokens):,} characters to train on, {len(vocab)} symbols, {options.hiddens} hidden units", flush=True)
    try:
        history = train_model(
            model, batches, options.epochs, 1.0, held_out=held_out, progress=True, checkpoint=options.checkpoint
        )
    except (OSError, TrainingDiverged) as error:  # no checkpoint could be written: what was learnt is kept all the same
        if hasattr(error, "history") and error.history.train_ppl:
            write_results(folder, model, vocab, error.history)
        raise
    paths = write_results(folder, model, vocab, history)
    report(history, held_out, prefixes, model, vocab)
    print(f"wrote {' and '.join(map(str, paths))}")
    if history.stopped:
        print(f"The training was {history.stopped}.")
    return 130 if history.stopped else 0


def main(arguments=None):
    """Run the command line; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a console that knows no é shows \\xe9
    options = parser().parse_args(arguments)
    try:
        return doctor() if options.command == "doctor" else train(options)
    except BrokenPipeError:  # whoever read our output has gone, as in `python -m d2lmini | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, TrainingDiverged) as error:
        print(f"python -m d2lmini: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
