"""The browser of the pages' tests."""

from tests.pages.conftest import browser

__all__ = ["browser"]
