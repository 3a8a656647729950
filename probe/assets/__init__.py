"""Files that are not ours: found, fetched, checked against the hash in the repository, kept."""

from probe.assets.files import (
    Asset,
    CachedFile,
    Unavailable,
    add,
    cache_dir,
    derive,
    fetch,
    fetch_asset,
    find,
    held,
    listing,
    lock_of,
    manifest_assets,
    mirror_dirs,
    of_manifest,
    places,
)
from probe.assets.package import PackageSource, read_from_package

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
