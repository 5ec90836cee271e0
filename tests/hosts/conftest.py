"""One site for all tests of a module, with real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hosts.load import Load
from tests.hosts.site import Site, nginx
from tests.record.conftest import cluster  # noqa: F401 - a fixture
from tests.record.postgresql import Cluster


@pytest.fixture(scope="module")
def site(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:  # noqa: F811 - the fixture
    if nginx() is None:
        if os.environ.get("CI"):
            pytest.fail("CI is to have nginx: see .ci/run")
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    found = Site(tmp_path_factory.mktemp("site"), cluster.new("hosts"))
    with found.running():
        yield found


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    """What callers were told in the tests of a module."""
    return []
