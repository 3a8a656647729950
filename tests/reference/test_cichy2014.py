"""fMRI RDMs of 15 subjects (Cichy et al. 2014) against the Algonauts 2019 noise ceilings."""

from __future__ import annotations

import numpy as np
import pytest

from probe.inference import noise_ceiling
from probe.recordings import load
from probe.similarity import compare

pytestmark = pytest.mark.usefixtures("mirror")


@pytest.mark.parametrize(("alias", "published"), [("evc", 0.1589), ("it-fmri", 0.3075)])
def test_algonauts_ceiling(alias, published):
    """Mean over subjects of the squared correlation with the mean over all, themselves included."""
    rdms = load(alias, accept_licence=True).rdms()[1]
    assert rdms.shape == (15, 4186)
    r = compare(rdms, rdms.mean(axis=0), "spearman")
    assert np.mean(r**2) == pytest.approx(published, abs=5e-5)
    # The same data, pooled as the comparator wants it, bounds the mean correlation from above.
    lower, upper = noise_ceiling(rdms, "spearman")
    assert lower < r.mean() <= upper
