"""Draw the moving picture of the README: the live figure of notebook 06, from the first epoch to the last.

python tests/tools/moving_picture.py        (about a minute)

It plays once and rests on its last picture, so nothing moves beside a text that is being read.
"""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

from d2lmini import History, RNNModelByHand, SequentialBatches, Watch, load_corpus, plot_perplexity, train

PICTURE = Path(__file__).parents[2] / "notebooks/images/training.gif"
NUM_EPOCHS = 200
EVERY = 5  # epochs between two pictures
FIRST, EACH, LAST = 800, 120, 5000  # milliseconds that a picture stays


def frame(history, epoch):
    """The live figure after so many epochs, as an image."""
    held_out = {at: ppl for at, ppl in history.held_out_ppl.items() if at <= epoch}
    figure = plot_perplexity(History(history.train_ppl[:epoch], held_out, [1.0] * epoch, baselines=history.baselines))
    (ax,) = figure.axes
    ax.set_xlim(0, NUM_EPOCHS)
    ax.set_title(f"epoch {epoch} of {NUM_EPOCHS}", loc="left", fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    plt.close(figure)
    return Image.open(file).convert("RGB")


def main():
    matplotlib.use("Agg")
    train_ids, held_out, vocab = load_corpus()
    batches = SequentialBatches(train_ids, batch_size=32, num_steps=35)
    watch = Watch(held_out, every=EVERY)
    history = train(RNNModelByHand(len(vocab), 256, seed=0), batches, NUM_EPOCHS, lr=1, theta=1, watch=watch)
    frames = [frame(history, epoch) for epoch in range(0, NUM_EPOCHS + 1, EVERY)]
    colors = frames[-1].quantize(64)  # the last picture has all of them
    frames = [image.quantize(palette=colors, dither=Image.Dither.NONE) for image in frames]
    durations = [FIRST, *[EACH] * (len(frames) - 2), LAST]
    frames[0].save(PICTURE, save_all=True, append_images=frames[1:], duration=durations, optimize=True)
    print(f"{PICTURE.name}: {len(frames)} pictures, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
