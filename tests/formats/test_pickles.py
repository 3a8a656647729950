import os
import pickle

import numpy as np
import pytest

from probe.formats.pickles import read_arrays


class Evil:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_numpy_1_and_2(module):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = pickle.dumps({"a": [array, (1, "b")]}, protocol=3)
    old, new = b"cnumpy._core.multiarray\n", b"c" + module + b"\n"
    assert old in content
    read = read_arrays(content.replace(old, new))
    np.testing.assert_array_equal(read["a"][0], array)
    assert read["a"][1] == (1, "b")


def test_anything_else_is_refused_and_not_run(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match=r"mkdir is not a numpy array"):
        read_arrays(pickle.dumps([np.zeros(2), Evil(tmp_path / "evil")]))
    assert not (tmp_path / "evil").exists()
    for name in ("eval", "getattr", "__import__"):
        with pytest.raises(pickle.UnpicklingError, match="is not a numpy array"):
            read_arrays(b"cbuiltins\n" + name.encode() + b"\n.")
    with pytest.raises(pickle.UnpicklingError):
        read_arrays(b"cnumpy\nload\n.")
