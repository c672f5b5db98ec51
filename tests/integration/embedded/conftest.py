"""What the tests of the embedded servers start from."""

import pytest

from cohortlens.embedded.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A stopped data folder with a cluster, copied by each test that starts one."""
    folder = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(folder, 0):
        pass
    return folder
