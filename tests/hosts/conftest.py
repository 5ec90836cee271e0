"""A site of real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.site import Site, nginx
from tests.record.postgresql import Cluster


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    if nginx() is None:
        if os.environ.get("CI"):
            pytest.fail("CI is to have nginx: see .ci/run")
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    folder = tmp_path / "site"
    folder.mkdir()
    found = Site(folder, cluster.new("hosts"))
    with found.running():
        yield found
