"""Which database role a process of jobs accepts."""

import pytest

from cohortlens.core.errors import FailedPrecondition
from cohortlens.jobs.__main__ import assert_role_of_jobs


async def test_jobs_start_as_their_own_role_and_refuse_that_of_the_gateway(database, runtime):
    await assert_role_of_jobs(database)
    with pytest.raises(FailedPrecondition, match="cl_jobs") as caught:
        await assert_role_of_jobs(runtime)
    assert (caught.value.reason, caught.value.metadata) == ("DATABASE_ROLE_UNFIT", {"role": "cl_app"})
