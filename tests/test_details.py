"""Details of executions: what is stored stays readable by older versions, and answers say what is meant."""

from noisegate.details import Details, SubgroupUsed


def test_repeated_draws_are_stored_as_before_and_answered_by_their_name_too() -> None:
    stored = {"size": 5, "duplicates": 1, "correct": 3, "wrong": 2, "classes": {"cat": 5}}
    found = Details.model_validate({"subgroup": stored})
    assert found.model_dump(mode="json")["subgroup"] == stored
    assert found.model_dump(mode="json", by_alias=True)["subgroup"] == {**stored, "repeated_draws": 1}
    shown = SubgroupUsed.model_json_schema(mode="serialization")["properties"]
    assert shown.keys() == {*stored, "repeated_draws"}
    assert "look alike" in shown["repeated_draws"]["description"]
