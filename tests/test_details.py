"""Details of executions: what is stored stays readable by older versions, and answers say what is meant."""

import pytest

from noisegate.details import Details, SubgroupUsed


@pytest.mark.parametrize("name", ["duplicates", "repeated_draws"])
def test_repeated_draws_are_stored_as_before_and_answered_by_their_name(name: str) -> None:
    parts = {"size": 5, "correct": 3, "wrong": 2, "classes": {"cat": 5}}
    found = Details.model_validate({"subgroup": {**parts, name: 1}})
    assert found.subgroup is not None
    assert found.model_dump(mode="json")["subgroup"] == {**parts, "duplicates": 1}
    answered = found.model_dump(mode="json", by_alias=True)["subgroup"]
    assert answered == {**parts, "repeated_draws": 1}
    properties = SubgroupUsed.model_json_schema(mode="serialization")["properties"]
    assert "duplicates" not in properties
    assert "look alike" in properties["repeated_draws"]["description"]
