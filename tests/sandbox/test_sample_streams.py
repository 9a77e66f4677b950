"""The sandbox's streams are fit to be published to."""

from spade_spark.sandbox import sample_streams
from spade_spark.sandbox.sample_schemas import TABLES
from spade_spark.settings import Settings
from spade_spark.streams.targets import select_streams


def test_their_configuration_breaks_no_rule_and_names_columns_that_are_there(tmp_path):
    path = tmp_path / "streams.json"
    path.write_bytes(sample_streams.published())
    settings = Settings.model_validate({"blueprint": {"streams": str(path)}})
    columns = {table.name: {column.outbound for column in table.columns} for table in TABLES}
    chosen = select_streams(["all"], columns.keys(), settings)
    assert [target.stream.stream_name for target in chosen.targets] == ["viewers", "chat"]
    assert (chosen.idle, chosen.remarks) == ((), ())
    for target in chosen.targets:
        for event, rule in target.stream.events.items():
            assert set(rule.fields) <= columns[event]
