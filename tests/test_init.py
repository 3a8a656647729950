import pytest

import probe


def test_every_public_name_is_there():
    for name in probe.__all__:
        assert getattr(probe, name) is not None
        assert name in dir(probe)
    assert probe.rsa.__module__ == "probe.comparison.pipeline"


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rsaa'"):
        _ = probe.rsaa
