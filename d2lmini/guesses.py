"""What a learner expects, kept until the end of the notebook and shown there beside what came out."""

import textwrap
from pathlib import Path

from .copies import cell_id, course_notebooks, read_notebook

WIDTHS = 34, 22, 28  # columns of question, guess and outcome: with the gaps, 88
_kept = {}


def guess(question, answer=...):
    """Keep a guess until `compare_guesses`; the dots mean that the reader made none.

    question: str, a few words that say what is guessed. answer: anything, printed as it is.
    Raises ValueError if the question isn't text.
    """
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"the question of a guess must be text, not {question!r}: guess('perplexity at the end', 4)")
    _kept[question] = answer


def compare_guesses(outcomes):
    """Print a table: what was asked, what the reader guessed, what came out.

    outcomes: {question, as it was given to `guess`: what came out, text or a number}.
    A question without a guess shows a dash. Raises ValueError if there is nothing to compare.
    """
    if not isinstance(outcomes, dict) or not outcomes:
        raise ValueError("compare_guesses takes the outcomes as a dict: compare_guesses({question: outcome})")
    row("question", "your guess", "what came out")
    for question, outcome in outcomes.items():
        answer = _kept.get(question, ...)
        row(question, "-" if answer is ... else answer, outcome)


def row(*texts):
    cells = [textwrap.wrap(str(text), width) or [""] for text, width in zip(texts, WIDTHS)]
    for i in range(max(map(len, cells))):
        columns = [cell[i] if i < len(cell) else "" for cell in cells]
        print("  ".join(f"{column:<{width}}" for column, width in zip(columns, WIDTHS)).rstrip())


def saved_guesses(folder="."):
    """{name of the notebook: its table of guesses}, read from the notebooks of the course saved in `folder`.

    A notebook whose last table wasn't printed or saved is left out, and so is one that can't be read.
    """
    tables = {}
    for path in course_notebooks().values():
        try:
            cells = read_notebook(Path(folder) / path.name)["cells"]
        except (OSError, ValueError):
            continue
        outputs = [output for cell in cells if cell_id(cell) == "guesses" for output in cell.get("outputs", [])]
        text = "".join("".join(output.get("text", "")) for output in outputs)
        if text:
            tables[path.stem] = text
    return tables
