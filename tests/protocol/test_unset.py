from __future__ import annotations

import copy
import pickle

from voxwire.protocol.unset import UNSET, UnsetType


def test_unset_is_false_and_there_is_one_of_it() -> None:
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert UnsetType("UNSET") is UNSET
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert UNSET is not None
