"""What is told only when it lasts."""

from __future__ import annotations

import math

from birdctl.errors import InputError
from birdctl.reconcile.lasting import PATIENCE, Lasting

WRONG = InputError("Service default/web", "spec", "is wrong")
ORPHAN = InputError("EndpointSlice default/old-1", "", "there is no Service default/old")
AGAIN = InputError("EndpointSlice default/old-1", "", "there is no Service default/old")


def test_what_may_pass_waits_and_everything_else_is_told_at_once():
    lasting = Lasting()
    assert lasting.without_new([WRONG, ORPHAN], [ORPHAN], 100.0) == (WRONG,)
    assert lasting.recheck_at == 100.0 + PATIENCE


def test_what_lasts_is_told():
    lasting = Lasting()
    lasting.without_new([ORPHAN], [ORPHAN], 100.0)
    assert lasting.without_new([AGAIN], [AGAIN], 100.0 + PATIENCE) == (AGAIN,)
    assert lasting.recheck_at == math.inf


def test_what_passed_and_comes_back_waits_again():
    lasting = Lasting()
    lasting.without_new([ORPHAN], [ORPHAN], 100.0)
    assert lasting.without_new([WRONG], [], 110.0) == (WRONG,)
    assert lasting.without_new([ORPHAN], [ORPHAN], 100.0 + PATIENCE) == ()
