"""Pickled numpy arrays, read without running what else a pickle may say."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

_rebuild = np.zeros(0).__reduce__()[0]
_from_buffer = np.zeros(0).__reduce_ex__(5)[0]
_scalar = np.float64(0).__reduce__()[0]
_ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"{core}.{module}", name): function
        for core in ("numpy.core", "numpy._core")  # numpy 1 and 2
        for module, name, function in (
            ("multiarray", "_reconstruct", _rebuild),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array") from None


def read_arrays(content: bytes) -> Any:
    """Unpickle lists, tuples and dictionaries of numbers, strings and numpy arrays.

    Raises
    ------
    pickle.UnpicklingError
        If the pickle asks for anything else.
    """
    return _ArraysOnly(io.BytesIO(content)).load()
