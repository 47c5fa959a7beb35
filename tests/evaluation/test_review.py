"""The verdict on a run."""

import pytest

from mixvae.evaluation.review import review

GOOD = {"test/consensus": 0.97, "test/populated_categories": 8.0, "test/collapse_warning": 0.0}
MET = {"threshold": 0.95, "threshold_met": True}


def test_a_run_whose_agents_agree_is_accepted_and_its_states_noted() -> None:
    states = [
        {"category": "3", "state": "0", "finding": "dead"},
        {"category": "4", "state": "0", "finding": ""},
    ]
    found = review(GOOD, MET, states)
    assert (found["verdict"], found["reasons"]) == ("accept", [])
    assert found["criteria"]["min_consensus"] == 0.95
    assert found["states"] == [{"category": 3, "state": 0, "finding": "dead"}]
    assert review({**GOOD, "test/consensus": 0.86}, {})["verdict"] == "accept"
    assert review({**GOOD, "merging/agreement": 0.86}, {})["verdict"] == "accept"
    assert review({**GOOD, "merging/agreement": 0.68}, MET)["verdict"] == "accept"  # then pruned


@pytest.mark.parametrize(
    ("metrics", "order", "reason"),
    [
        ({}, {}, "not tested"),
        ({**GOOD, "test/consensus": 0.94}, MET, "0.940 is below 0.95"),
        ({**GOOD, "test/consensus": 0.84}, {}, "0.840 is below 0.85"),
        ({**GOOD, "test/consensus": float("nan")}, {}, "is below"),
        (GOOD, {"threshold": 0.95, "threshold_met": False}, "no model order reached"),
        ({**GOOD, "test/populated_categories": 1.0}, MET, "1 category is in use"),
        ({**GOOD, "test/collapse_warning": 1.0}, MET, "collapsed"),
        ({"test/populated_categories": 8.0}, {}, "one agent alone"),
        ({**GOOD, "merging/agreement": 0.68}, {}, "agreed on 0.680 of the training samples"),
    ],
)
def test_a_run_is_rejected_with_its_reason(metrics, order, reason) -> None:
    found = review(metrics, order)
    assert found["verdict"] == "reject"
    assert reason in "; ".join(found["reasons"])
