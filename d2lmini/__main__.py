"""The command line, python -m d2lmini: train a model, let it generate text, look after a copy of the notebooks."""

import argparse
import sys

from . import copies
from .console import END_AT_ONCE, console, on_ctrl_c, printable
from .doctor import doctor

COMMANDS = {
    "train": "train the course's network without a notebook (the default)",
    "generate": "continue a text with a model that was saved",
    "doctor": "check the installation: Python, packages, device, texts, notebooks",
    "start": "make your own copy of the notebooks, without outputs",
    "update": "bring your copy up to date; what you wrote stays",
    "reset": "restore one notebook of your copy to what it was at the start",
    "progress": "list the exercises of your copy: right, tried, open",
}

EPILOG = """\
python -m d2lmini COMMAND --help tells more about a command.

Exit codes: 0 done, 1 the doctor found a fault, 2 something is wrong with an option or a file, 130 Ctrl-C."""

TRAIN = """\
Train the recurrent network of the course, from scratch, and let it generate text.

Writes two files into the output folder, and replaces those of an earlier run:
  perplexity.png      the perplexity of each epoch
  model.safetensors   the weights and the vocabulary, for generate and d2lmini.load_model
Ctrl-C ends the training run early and saves what there is."""

GENERATE = """\
Continue a text by sampling from a model: model.safetensors of train, or any file of d2lmini.save_model."""

START = """\
Copy the notebooks into a folder of your own, with the pages that they link to. Outputs are left out, so that no answer
appears below a question. Nothing is overwritten and nothing is opened."""

UPDATE = """\
Bring the notebooks of your copy up to date. Your exercises, guesses and own cells stay; a cell that both you and the
course have changed is kept below the course's cell. Each file that changes has a backup in the folder backups."""

RESET = """\
Restore one notebook of your copy to what it was at the start. The old file goes to the folder backups."""

PROGRESS = """\
List the exercises of your copy: right, tried or open, as the checks printed it when the notebooks were last saved."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, like all errors of the command line."""

    def error(self, message):
        raise ValueError(f"{message}; see {self.prog} --help")


def whole_number(smallest, largest=10**12):
    """A type for argparse: an integer from `smallest` to `largest`."""

    def convert(value):
        number = int(value)
        if not smallest <= number <= largest:
            raise argparse.ArgumentTypeError(f"{value} isn't a whole number from {smallest} to {largest:,}")
        return number

    convert.__name__ = "whole number"  # argparse names it in its messages
    return convert


def parser():
    """What the command line may say."""
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = Parser("python -m d2lmini", description="The command line of the course.", epilog=EPILOG, **style)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name, description, run):
        command = commands.add_parser(name, help=COMMANDS[name], description=description, **style)
        command.set_defaults(run=run)
        return command

    add_train_options(add("train", TRAIN, train))
    add_generate_options(add("generate", GENERATE, generate))
    add("doctor", COMMANDS["doctor"], lambda options: doctor())
    here = "your copy (default: this folder if it holds notebooks of the course, else my-course)"
    start = add("start", START, lambda options: copies.start(options.folder))
    update = add("update", UPDATE, lambda options: copies.update(options.folder))
    reset = add("reset", RESET, lambda options: copies.reset(options.notebook, options.folder))
    reset.add_argument("notebook", metavar="NOTEBOOK", help="its number, such as 05")
    progress = add("progress", PROGRESS, lambda options: copies.progress(options.folder))
    for command in (start, update, reset, progress):
        command.add_argument("folder", metavar="FOLDER", nargs="?", help=here)
    return parser


def add_train_options(parser):
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
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps, ...")
    parser.add_argument("--output", metavar="FOLDER", default="d2lmini-output", help="default: d2lmini-output")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="written every 10 epochs; if the file is there, training goes on from it"
    )


def add_generate_options(parser):
    parser.add_argument("file", metavar="FILE", help="the saved model, such as d2lmini-output/model.safetensors")
    parser.add_argument("--prefix", metavar="TEXT", required=True, help="the text to continue")
    parser.add_argument("--length", type=whole_number(1), default=200, metavar="N", help="characters, default: 200")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.7,
        metavar="T",
        help="below 1 keeps to likely characters, above 1 surprises more; default: 0.7",
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="default: 0")


# Both need PyTorch. Until they're at work there is nothing to save, so Ctrl-C may end them anywhere.


def train(options):
    with on_ctrl_c(END_AT_ONCE):
        from . import commands

        return commands.train(options)


def generate(options):
    with on_ctrl_c(END_AT_ONCE):
        from . import commands

        return commands.generate(options)


def run(arguments):
    """Do what the arguments say; returns the exit code. Errors of the user are one line on stderr."""
    named = bool(arguments) and (not arguments[0].startswith("-") or arguments[0] in ("-h", "--help"))
    try:
        options = parser().parse_args(arguments if named else ["train", *arguments])
        return options.run(options)
    except SystemExit as leave:  # --help
        return leave.code
    except (ImportError, OSError, ValueError, MemoryError) as error:
        return fail(describe(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def describe(error):
    """What a user wants to know of an exception, in one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or "there is not enough memory"


def fail(message):
    line = printable(message).replace("\n", "\\n")
    print(f"python -m d2lmini: error: {line}", file=sys.stderr)
    return 2


def main(arguments=None):
    """Run the command line; returns the exit code."""
    with console() as out:
        code = run(sys.argv[1:] if arguments is None else arguments)
        out.flush()
        if out.error and not isinstance(out.error, BrokenPipeError):  # a reader that has gone has seen enough
            code = fail(f"the output couldn't be written: {describe(out.error)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
