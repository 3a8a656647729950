"""Work on several processes or machines, with Dask: started here, joined, or queued with SLURM.

From a laptop to a queue, only the last word changes::

    probe rsa -m alexnet,resnet18 -d v4,it --cluster local:4
    probe rsa -m alexnet,resnet18 -d v4,it --cluster tcp://HOST:8786
    probe rsa -m alexnet,resnet18 -d v4,it --cluster slurm:10

The machines share a file system: what one has downloaded or computed, another reads.
"""

from __future__ import annotations

from probe.cluster.connecting import check, connect
from probe.cluster.tasks import Cluster

__all__ = ["Cluster", "check", "connect"]
