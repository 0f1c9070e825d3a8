"""Write files so that nobody ever sees half of one, and read them back unchanged; never any code.

A file of tensors is a safetensors file: the tensors, and in its metadata one JSON text and a SHA-256 over both.
It is written beside its final place and moved there when it is complete, so that whoever looks sees either
the old file or the new one. Idea: safetensors (Hugging Face); write, fsync, rename is as old as Unix.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import time
from pathlib import Path

LARGEST_TEXT = 99_000_000  # bytes: safetensors reads up to 100 MB of description, the table of tensors included
ONE_DAY = 24 * 60 * 60  # seconds


def write_atomically(path, data):
    """Make `data` (bytes) the content of the file `path`: all of it, or the old file stays as it was.

    A file that is replaced keeps its mode. Raises OSError for a full disk, and for all that check_writable refuses.
    """
    path = Path(os.path.realpath(path))  # a link keeps pointing where it points
    try:
        mode = check_target(path)
        remove_leftovers(path)
        with new_partial(path) as (partial, file):
            if mode is not None:
                os.chmod(partial, mode)  # while it's empty: nobody reads what they may not read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows moves no open file
            os.replace(partial, path)
    except OSError as error:
        raise not_written(path, error) from error


def check_writable(path):
    """Raise OSError if write_atomically couldn't write `path` now: better said before hours of training than after.

    It refuses folders, pipes, devices, write-protected files (even if root could replace them), names that are too
    long, and files in a folder that is missing or can't be written to.
    """
    path = Path(os.path.realpath(path))
    try:
        check_target(path)
        with new_partial(path):  # only trying tells
            pass
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path, error):
    """The error to raise instead of `error`: it names the file, what is there now, and what to do."""
    kept = "the file that was there is unchanged" if path.is_file() else "nothing was written"
    text = f"could not write {path.name}: {error.strerror or error}; {kept}. Free some space or choose another path"
    return OSError(error.errno, text, str(path))


def check_target(path):
    """The mode of the file at `path`, or None if there's nothing. Raises OSError if it must not be replaced."""
    if not path.parent.is_dir():
        raise OSError(errno.ENOENT, f"there is no folder {path.parent}, make it first")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it isn't a regular file but a folder, a pipe or a device")
    if not mode & 0o222 or not os.access(path, os.W_OK):  # os.access alone tells root that all is allowed
        raise OSError(errno.EACCES, "it's write-protected")
    return stat.S_IMODE(mode)


@contextlib.contextmanager
def new_partial(path):
    """A new file beside `path`, as (its path, the open file); whatever happens, it's gone in the end."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    with open(partial, "xb") as file:  # x: if the name is taken, it's someone else's
        try:
            yield partial, file
        finally:  # Ctrl-C included
            file.close()
            with contextlib.suppress(OSError):
                partial.unlink()


def remove_leftovers(path):
    """Delete what processes left behind that were killed while they wrote `path`.

    Only partial files that are more than a day old: a younger one may belong to a process that's alive.
    """
    own = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.partial")
    for name in filter(own.fullmatch, os.listdir(path.parent)):
        with contextlib.suppress(OSError):  # whoever was quicker has removed it
            if os.stat(path.with_name(name)).st_mtime < time.time() - ONE_DAY:
                path.with_name(name).unlink()


def checksum(tensors, text):
    """SHA-256 over a JSON text and the names, types, shapes and bytes of the tensors, as a hexadecimal str."""
    import torch  # loaded when first used: a copy of the notebooks needs none of it

    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_file(path, tensors, description):
    """Write tensors and a description that JSON can express as one file. `description["kind"]` says what it is.

    Raises OSError if it can't be written; ValueError if the description is too long to be read again, or if
    there is a file of another kind at `path`.
    """
    from safetensors.torch import save  # loaded when first used

    check_kind(path, description["kind"])
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(description)
    size = len(json.dumps(text))  # in the file it's a string inside another JSON text
    if size > LARGEST_TEXT:
        raise ValueError(
            f"the description of this {description['kind']} takes {size:,} bytes, but a file can hold only "
            f"{LARGEST_TEXT:,}: leave out rare tokens (min_freq of Vocab), or use a larger Watch(every=...)."
        )
    write_atomically(path, save(tensors, metadata={"d2lmini": text, "sha256": checksum(tensors, text)}))


def check_kind(path, kind):
    """Raise ValueError if `path` holds a file of d2lmini of another kind: a checkpoint never replaces a model."""
    try:
        _, description = read_file(path)
    except (OSError, ValueError):  # nothing is there, or nothing of ours
        return
    if description.get("kind") != kind:
        raise ValueError(f"{path} holds a {description.get('kind')}, not a {kind}: choose another path.")


def read_file(path, kind=None):
    """The (tensors, description) of a file that write_file made, checked against its SHA-256.

    Raises OSError if it can't be read; ValueError if it's no such file, damaged, or not of the `kind` wanted.
    """
    from safetensors.torch import load

    if not stat.S_ISREG(os.stat(path).st_mode):  # reading from a pipe could wait forever
        raise ValueError(f"{path} isn't a regular file but a folder, a pipe or a device: choose another path.")
    data = Path(path).read_bytes()
    try:
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        text, expected = metadata["d2lmini"], metadata["sha256"]
        description = dict(json.loads(text))
    except Exception as error:  # the library's own error type isn't public; whatever it is, the file is at fault
        raise ValueError(
            f"{path} isn't a file of d2lmini, or it's damaged ({error}): restore it from a copy, or choose another."
        ) from error
    if checksum(tensors, text) != expected:
        raise ValueError(f"{path} was changed after it was written (SHA-256 differs): restore it from a copy.")
    if kind is not None and description.get("kind") != kind:
        raise ValueError(f"{path} holds a {description.get('kind')}, not a {kind}: choose another path.")
    return tensors, description
