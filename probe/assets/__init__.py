"""Files that are not ours: found, fetched, checked against the hash in the repository, kept.

What knows the manifests is imported when it is asked for: pydantic takes a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from probe.assets.files import (
    Asset,
    CachedFile,
    Unavailable,
    cache_dir,
    derive,
    fetch_asset,
    find,
    held,
    listing,
    lock_of,
    mirror_dirs,
    places,
)
from probe.assets.package import PackageSource, read_from_package

if TYPE_CHECKING:
    from probe.assets.manifest import add, fetch, manifest_assets, of_manifest

__all__ = [
    "Asset",
    "CachedFile",
    "PackageSource",
    "Unavailable",
    "add",
    "cache_dir",
    "derive",
    "fetch",
    "fetch_asset",
    "find",
    "held",
    "listing",
    "lock_of",
    "manifest_assets",
    "mirror_dirs",
    "of_manifest",
    "places",
    "read_from_package",
]


def __getattr__(name: str) -> Any:
    if name in ("add", "fetch", "manifest_assets", "of_manifest"):
        from probe.assets import manifest

        return getattr(manifest, name)
    raise AttributeError(f"module 'probe.assets' has no attribute {name!r}")
