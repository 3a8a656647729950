"""The RDMs of a recording, with what they have to say of it."""

from __future__ import annotations

from probe.recordings import Recording
from probe.similarity.rdm_set import RDMs


def rdms_of_recording(recording: Recording, metric: str) -> RDMs:
    """Compute the RDM of each subject of a recording of one region.

    Their ``attrs`` name the recording and the region, whether it is simulated, and which neuroids
    and times were kept of it.
    """
    subjects, distances = recording.rdms(metric)
    facts = recording.describe()
    attrs = {
        "recording": recording.name,
        "region": recording.regions[0],
        "simulated": recording.simulated,
        **{key: facts[key] for key in ("selection", "window") if facts.get(key)},
    }
    return RDMs(distances, tuple(subjects), recording.stimuli.ids, metric, attrs)
