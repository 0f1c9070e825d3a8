"""What the command line does with a model: train it, and let it continue a text."""

import io
import os
from pathlib import Path

from . import (
    RNNModelScratch,
    SequentialBatches,
    TrainingDiverged,
    Watch,
    load_corpus,
    load_model,
    normalise,
    plot_perplexity,
    predict,
    read_text,
    sample,
    save_model,
)
from . import train as train_model
from .console import ignore, interrupt_once, on_ctrl_c
from .files import check_kind, check_writable, write_atomically

NUM_TRAIN = 10_000  # characters to train on, as in the course; as many again, at most, are held out
BATCH_SIZE, NUM_STEPS = 32, 35
LARGEST_TEXT = 100_000_000  # bytes
PREFIXES = ("time traveller", "traveller")


# Before anything is computed


def check_files(options):
    """The paths of the weights and the figure. Raises OSError or ValueError if a file of this run is unusable."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    written = {"model": folder / "model.safetensors", "figure": folder / "perplexity.png"}
    for what, path in written.items():
        check_writable(path)
        for option, other in (("--text", options.text), ("--checkpoint", options.checkpoint)):
            if other is not None and same_file(other, path):
                raise ValueError(f"{option} {other} is where the {what} will be written: choose another file.")
    if options.checkpoint is not None:
        check_writable(options.checkpoint)
    check_kind(written["model"], "model")
    return written.values()


def same_file(a, b):
    if os.path.exists(a) and os.path.exists(b):
        return os.path.samefile(a, b)
    return os.path.normcase(os.path.realpath(a)) == os.path.normcase(os.path.realpath(b))


def usable_device(name):
    """A torch.device that computes on this computer. Raises ValueError for any other name."""
    import torch

    try:
        device = torch.device(name)
        float(torch.ones(1, device=device) + 1)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ValueError(f"{name!r} isn't a device of this computer: try cpu, cuda or mps.") from error
    return device


def load(path, form):
    """The text (str), normalised and cut to what a run uses, then its (train, held_out, vocab)."""
    if path is not None and os.path.getsize(path) > LARGEST_TEXT:
        raise ValueError(f"{path} is larger than {LARGEST_TEXT:,} bytes; {2 * NUM_TRAIN:,} characters are enough.")
    text = normalise(read_text(path), form)[: 2 * NUM_TRAIN]
    num_train, needed = min(NUM_TRAIN, len(text) * 4 // 5), BATCH_SIZE * NUM_STEPS + 1
    if num_train < needed:
        raise ValueError(
            f"the text has {len(text):,} characters after normalising it to {form}, but needs {-(-needed * 5 // 4):,}: "
            "four fifths of it must fill a minibatch. Choose a longer text."
        )
    return text, *load_corpus(text, form, num_train)


def make_model(vocab, options, device):
    try:
        return RNNModelScratch(len(vocab), options.hiddens, device, seed=options.seed, orthogonal=True)
    except (RuntimeError, MemoryError) as error:
        raise ValueError(f"{options.hiddens} hidden units need more memory than {device} has: choose fewer.") from error


# Train


def train(options):
    """Train, write the files, print the report. Returns the exit code."""
    import matplotlib

    matplotlib.use("agg")  # draws into files: there may be no screen
    device, paths = usable_device(options.device), check_files(options)
    text, tokens, held_out, vocab = load(options.text, options.form)
    prefixes = [prefix for prefix in PREFIXES if all(char in vocab for char in prefix)] or [text[:10]]
    batches = SequentialBatches(tokens, BATCH_SIZE, NUM_STEPS, seed=options.seed)
    model = make_model(vocab, options, device)
    print(f"{len(tokens):,} characters to train on, {len(vocab)} tokens in the vocabulary", end=", ")
    print(f"{options.hiddens} hidden units", flush=True)
    history = train_and_save(model, vocab, batches, held_out, options, paths)
    report(history, held_out, prefixes, model, vocab)
    print(f"wrote {' and '.join(map(str, paths))}")
    if history.stopped:
        print(f"The training run was {history.stopped}.")
    return 130 if history.stopped else 0


def train_and_save(model, vocab, batches, held_out, options, paths):
    """The History of a training run. Whatever ends it, Ctrl-C included, the files hold what was learned until then."""
    problem = None
    with on_ctrl_c(interrupt_once()):
        try:
            watch = Watch(held_out=held_out)
            history = train_model(
                model, batches, options.epochs, 1.0, watch=watch, show="bar", checkpoint=options.checkpoint
            )
        except Exception as error:
            problem, history = error, getattr(error, "history", None)
        with on_ctrl_c(ignore):
            if problem is None or (history and history.train_ppl):
                write_results(paths, model, vocab, history)
    if isinstance(problem, TrainingDiverged) or (isinstance(problem, RuntimeError) and "memory" in str(problem)):
        raise ValueError(f"the training run ended: {problem}") from problem
    if problem:
        raise problem
    return history


def write_results(paths, model, vocab, history):
    """Write the weights and the figure, each in one step."""
    weights, figure = paths
    save_model(model, vocab, weights)
    image = io.BytesIO()
    plot_perplexity(history).savefig(image, format="png", dpi=150)
    write_atomically(figure, image.getvalue())


def report(history, held_out, prefixes, model, vocab):
    """Print perplexities, speed and samples."""
    if history.train_ppl:
        speed = f"{history.tokens_per_second:,.0f} tokens/s on {model.device}" if history.speeds else "speed unknown"
        print(f"training perplexity {history.train_ppl[-1]:.2f} after {len(history.train_ppl)} epochs, {speed}")
    if history.held_out_ppl:
        counting = ", ".join(f"{name} {ppl:.1f}" for name, ppl in history.baselines.items()) or "unknown"
        last = history.held_out_ppl[max(history.held_out_ppl)]
        print(f"held-out perplexity {last:.2f} on {len(held_out):,} characters it never saw (by counting: {counting})")
        if history.train_ppl and history.train_ppl[-1] < history.baselines.get("bigram", 0) < last:
            print("Worse than counting pairs on unseen text: the model has learned its training text by heart.")
    for prefix in prefixes:
        print(f"likeliest: {predict(model, vocab, prefix, 50)}")
        print(f"sampled:   {sample(model, vocab, prefix, 50, temperature=0.7)}")


# Generate


def generate(options):
    """Print how a saved model continues a prefix. Returns 0."""
    model, vocab = load_model(options.file)
    prefix = options.prefix
    if any(char not in vocab for char in prefix):
        prefix = prefix.lower()  # both forms of the course are lower case
    unknown = sorted({char for char in prefix if char not in vocab})
    if unknown:
        known = [token for token in vocab.idx_to_token if token not in vocab.reserved_tokens]
        raise ValueError(f"the model has never seen {unknown}. Use what it knows: {''.join(map(str, known[:100]))!r}.")
    print(sample(model, vocab, prefix, options.length, options.temperature, options.seed))
    return 0
