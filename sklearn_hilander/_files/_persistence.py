"""Named arrays and a JSON header in one safetensors file, written whole or not at all.

A file is data: nothing in it is ever run. Reading checks name, shape, dtype and size of every array
against what the header calls for before memory is taken, then the checksum, then every value.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from sklearn_hilander._files._specs import ArraySpec, SavedFileError, check_int

# Raised whenever a file of the version before could be misread, or lacks what is now needed.
FORMAT_VERSION = 1
# Longest table of contents that is read, in bytes: it is parsed before anything else is known.
MAX_HEADER = 8 * 2**20
_KEY, _CHECKSUM = "sklearn_hilander", "sha256"
_DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64", "U64": "uint64", "U32": "uint32"}
_LONGEST_INT = 20
_ADVICE = "Save it again with HiLanderClustering.save, or get another copy."

Plan = Callable[[dict], dict[str, ArraySpec]]


def write_file(path: str, header: Mapping, arrays: Mapping[str, np.ndarray], plan: Plan) -> None:
    """Write a file so that at any moment there is the old one or the new one, never a part.

    A process killed meanwhile may leave a hidden file behind, ``.NAME.XXXXXXXX.tmp``.

    Parameters
    ----------
    path : str
    header : dict
        Of JSON types.
    arrays : dict of str to ndarray
    plan : callable
        As in `read_file`: what could not be read again is not written.

    Raises
    ------
    SavedFileError
        If a value is out of bounds, as in weights that are not finite.
    OSError
        As the system reports it; the old file is untouched.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {**header, _CHECKSUM: _checksum(header, arrays)}
    # One entry alone: the library writes several in any order.
    text = json.dumps(header, allow_nan=False, sort_keys=True)
    # Room for the library's own table: names, dtypes, shapes and offsets.
    if len(text) + 200 * len(arrays) > MAX_HEADER // 2:
        raise SavedFileError(
            f"the header would be larger than {MAX_HEADER // 2**21} MB: too many feature names, or "
            "losses; save with clusters=False, or fit rows without names."
        )
    _check_arrays(_planned(plan, json.loads(text)), arrays)
    # Of a link, the file that it leads to is replaced.
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise FileExistsError(errno.EEXIST, "Not a regular file, which alone is replaced", path)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    # Made here first to learn which permissions the user's mask gives: the library's are its own.
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    permissions = stat.S_IMODE(os.fstat(handle).st_mode)
    os.close(handle)
    try:
        if arrays:
            save_file(arrays, temporary, {_KEY: text})
        else:
            _write_no_arrays(temporary, text)
        os.chmod(temporary, permissions)
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _write_no_arrays(path: str, text: str) -> None:
    """The table of a safetensors file alone: old releases write one that none can read."""
    table = json.dumps({"__metadata__": {_KEY: text}}).encode()
    table += b" " * (-len(table) % 8)
    with open(path, "wb") as file:
        file.write(len(table).to_bytes(8, "little") + table)


def read_file(
    path: str, plan: Plan, *, advice: str = _ADVICE
) -> tuple[dict, dict[str, np.ndarray]]:
    """Read what `write_file` wrote.

    Parameters
    ----------
    path : str
    plan : callable
        Header -> what arrays the file must hold; raises SavedFileError for a header that it does
        not understand.
    advice : str, optional
        What errors say to do.

    Returns
    -------
    header : dict
    arrays : dict of str to ndarray

    Raises
    ------
    SavedFileError
        For whatever `write_file` of this version or an earlier one did not write.
    OSError
        If the file cannot be opened or read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        _check_size(path)
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise SavedFileError("it was not written by sklearn_hilander.")
            header = _parse_header(text)
            specs = _planned(plan, header)
            _check_table(specs, file)
            arrays = {name: file.get_tensor(name) for name in specs}
        if _checksum(header, arrays) != header[_CHECKSUM]:
            raise SavedFileError("its checksum does not fit: it was damaged or changed.")
        _check_arrays(specs, arrays)
    except SafetensorError as error:
        raise SavedFileError(
            f"{path}: not a whole safetensors file ({error}). Nothing was loaded. {advice}"
        ) from error
    except SavedFileError as error:
        raise SavedFileError(f"{path}: {error} Nothing was loaded. {advice}") from None
    return header, arrays


def remove_file(path: str) -> None:
    """Delete what `write_file` wrote, and what it left behind where it was killed.

    Parameters
    ----------
    path : str
        There need be no such file.
    """
    folder, name = os.path.split(os.path.realpath(path))
    left = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{8}\.tmp")
    for other in os.listdir(folder):
        if other == name or left.fullmatch(other):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, other))


def _check_size(path: str) -> None:
    """Refuse what is no file, or whose table of contents is longer than is read."""
    status = os.stat(path)
    # Opening a pipe would wait for ever.
    if not stat.S_ISREG(status.st_mode):
        raise SavedFileError("not a regular file.")
    with open(path, "rb") as file:
        start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(MAX_HEADER, status.st_size - 8):
        raise SavedFileError("not a whole safetensors file.")


def _parse_header(text: str) -> dict:
    """The header as JSON, of a format version that is known."""
    try:
        header = json.loads(text, parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SavedFileError("its header is not JSON.") from error
    if not isinstance(header, dict):
        raise SavedFileError("its header is not an object.")
    version = check_int(header.get("format"), "the format version", 1)
    if version > FORMAT_VERSION:
        raise SavedFileError(
            f"it has format {version}, and this version of sklearn_hilander reads up to "
            f"{FORMAT_VERSION}: upgrade sklearn_hilander."
        )
    if not isinstance(header.get(_CHECKSUM), str):
        raise SavedFileError("it has no checksum.")
    return header


def _parse_int(digits: str) -> int:
    """An integer that is short enough to be meant: parsing long ones takes quadratic time."""
    if len(digits) > _LONGEST_INT:
        raise ValueError("an integer is too long")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _planned(plan: Plan, header: dict) -> dict[str, ArraySpec]:
    """What the header without its checksum calls for."""
    return plan({key: value for key, value in header.items() if key != _CHECKSUM})


def _check_table(specs: dict[str, ArraySpec], file: Any) -> None:
    """Names, dtypes and shapes of the file's arrays; nothing is read yet."""
    names = set(file.keys())
    if names != specs.keys():
        odd = sorted(names ^ specs.keys())[:5]
        raise SavedFileError(f"unknown or missing arrays: {', '.join(odd)[:200]}.")
    for name, spec in specs.items():
        part = file.get_slice(name)
        found = tuple(part.get_shape()), _DTYPES.get(part.get_dtype())
        if found != (spec.shape, spec.dtype):
            raise SavedFileError(
                f"array {name!r} is {found[1]} of shape {found[0]}, not {spec.dtype} of shape "
                f"{spec.shape}."
            )


def _check_arrays(specs: dict[str, ArraySpec], arrays: Mapping[str, np.ndarray]) -> None:
    """Everything that is said of the arrays."""
    if specs.keys() != arrays.keys():
        raise SavedFileError(f"wrong arrays: {sorted(specs.keys() ^ arrays.keys())[:5]}.")
    for name, spec in specs.items():
        array = arrays[name]
        if (array.shape, array.dtype.name) != (spec.shape, spec.dtype):
            raise SavedFileError(f"array {name!r} is {array.dtype} of shape {array.shape}.")
        spec.check(name, array)


def _checksum(header: Mapping, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the header and of names, dtypes, shapes and values of the arrays."""
    rest = {key: value for key, value in header.items() if key != _CHECKSUM}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _sync(path: str, flags: int) -> None:
    """Wait until what was written is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
