#!/usr/bin/env bash
# Package: pynwb 4.2.0 (hdmf 6.2.0), Images as the stimulus templates of an IndexSeries.
# Expected: pictures that were put into an Images container one after the other are read in that
#   order, so that an IndexSeries of numbers shows what was shown; or writing or reading warns.
# Seen: read in the alphabet of their names (pic1, pic10, pic2), with no warning: number 1 now means
#   the tenth picture. With order_of_images, which may be left out, the order is kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pynwb==4.2.0 hdmf==6.2.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import warnings
from datetime import datetime, timezone

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import ImageReferences, Images
from pynwb.image import GrayscaleImage, IndexSeries

names = [f"pic{k}" for k in range(1, 11)]


def shown_by_index_1(ordered):
    nwb = NWBFile("session", "id", datetime(2026, 1, 1, tzinfo=timezone.utc))
    pictures = [GrayscaleImage(name=name, data=np.full((2, 2), k)) for k, name in enumerate(names)]
    order = ImageReferences(name="order_of_images", data=pictures) if ordered else None
    images = Images(name="pictures", images=pictures, description="shown", order_of_images=order)
    nwb.add_stimulus_template(images)
    nwb.add_stimulus(IndexSeries(name="shown", data=np.array([1], np.uint32), indexed_images=images, unit="N/A",
                                 timestamps=[0.0], description="numbers of pictures"))
    with NWBHDF5IO("file.nwb", "w") as io:
        io.write(nwb)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with NWBHDF5IO("file.nwb", "r") as io:
            series = io.read().stimulus["shown"]
            images = series.indexed_images
            if images.order_of_images is not None:
                read = [one.name for one in images.order_of_images]
            else:
                read = list(images.images)
            said = [str(w.message) for w in caught if "order" in str(w.message).lower()]
            return read[int(series.data[0])], said


written = names[1]
without, said = shown_by_index_1(ordered=False)
with_order, _ = shown_by_index_1(ordered=True)
print(f"number 1 was written as {written}; read as {without} without order_of_images "
      f"({len(said)} warnings of it), as {with_order} with it")
assert (without, said, with_order) == ("pic10", [], written), "pynwb reads otherwise now: mend this"
PY
