"""What the tests of the service have too: a request about the shipped example."""

from __future__ import annotations

from tests.service.conftest import example, request_body

__all__ = ["example", "request_body"]
