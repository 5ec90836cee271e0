from tests.pages.conftest import *  # noqa: F403 - the browser
