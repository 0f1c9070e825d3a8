"""Write files so that nobody ever sees half of one, and read them back unchanged; never any code.

A file of tensors is a safetensors file: the tensors, and in its metadata one JSON text and a SHA-256 over both.
It is written beside its final place and moved there when it is complete, so that whoever looks sees either
the old file or the new one. Idea: safetensors (Hugging Face); write, fsync, rename is as old as Unix.
"""

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path

import torch


def write_atomically(path, data):
    """Make `data` (bytes) the content of the file `path`: all of it, or the old file stays as it was.

    Raises OSError (full disk, read-only folder, no such folder, a folder in the place of the file).
    """
    path = Path(os.path.realpath(path))  # a link keeps pointing where it points
    start, end = f".{path.name}.", ".partial"
    partial = path.with_name(f"{start}{secrets.token_hex(4)}{end}")
    try:
        for name in os.listdir(path.parent):  # left behind by a process that was killed while it wrote
            if name.startswith(start) and name.endswith(end):
                path.with_name(name).unlink(missing_ok=True)
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        kept = "the file that was there is unchanged" if path.is_file() else "nothing was written"
        text = f"could not write {path.name}: {error.strerror or error}; {kept}. Free space or choose another folder"
        raise OSError(error.errno, text, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()  # there only if something went wrong, Ctrl-C included


def checksum(tensors, text):
    """SHA-256 over a JSON text and the names, types, shapes and bytes of the tensors, as a hexadecimal str."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_file(path, tensors, description):
    """Write tensors and a description that JSON can express as one file."""
    from safetensors.torch import save  # loaded when first used

    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(description)
    write_atomically(path, save(tensors, metadata={"d2lmini": text, "sha256": checksum(tensors, text)}))


def read_file(path, kind):
    """The (tensors, description) of a file that write_file made, checked against its SHA-256.

    Raises OSError if it cannot be read, ValueError if it is no such file, damaged, or of another `kind`.
    """
    from safetensors.torch import load

    data = Path(path).read_bytes()
    try:
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        text, expected = metadata["d2lmini"], metadata["sha256"]
        description = dict(json.loads(text))
    except Exception as error:  # the library's own error type is not public; whatever it is, the file is at fault
        raise ValueError(
            f"{path} is not a file of d2lmini, or it is damaged ({error}): restore it from a copy, or delete it."
        ) from error
    if checksum(tensors, text) != expected:
        raise ValueError(f"{path} was changed after it was written (SHA-256 differs): restore it from a copy.")
    if description.get("kind") != kind:
        raise ValueError(f"{path} holds a {description.get('kind')}, not a {kind}.")
    return tensors, description
