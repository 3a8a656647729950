import pytest

from probe.assets import cache_dir


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_unfinished():
    """Remove what cancelled jobs would go on with: other tests look at what they leave."""
    folder = cache_dir() / "unfinished"
    before = set(folder.glob("*"))
    yield
    for path in set(folder.glob("*")) - before:
        path.unlink()
