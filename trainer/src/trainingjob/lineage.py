"""What a result was made of, as it is written beside it."""

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from trainingjob.datasource import DataSource


def dataset_lineage(data: DataSource, sha256: str, revision: str | None) -> dict[str, str]:
    """Which file the rows came from; the address is without what signs it."""
    return {"source": data.source, "sha256": sha256, **({} if revision is None else {"revision": revision})}


def versions_of(packages: Iterable[str], trainer: str) -> Mapping[str, str]:
    """Versions of this trainer, of Python and of the packages that are installed, by name."""
    found = {"trainingjob": trainer, "python": platform.python_version()}
    for name in sorted(set(packages)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
