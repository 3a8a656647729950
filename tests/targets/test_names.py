"""What can be said of targets before anything is imported that could read them."""

import pytest

from probe.targets import is_site
from probe.targets.names import names_site


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, False),
        ("", False),
        ("tabby", False),
        ("features.10:84", False),
        ("campsite:3", False),
        ("site:v4:12", True),
        (" site:v4:all", True),
        ("tabby - 0.5*site:v4:12", True),
        ("features.10:84+site:./own@IT:3", True),
    ],
)
def test_sites_among_the_terms(target, expected):
    assert names_site(target) is expected
    assert is_site(target) is expected
