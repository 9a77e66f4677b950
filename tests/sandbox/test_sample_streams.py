"""The sample's stream configuration is valid."""

from spade_spark.sandbox import sample_streams
from spade_spark.sandbox.sample_schemas import TABLES
from spade_spark.settings import Settings
from spade_spark.streams.targets import select_streams


def test_the_stream_configuration_is_valid_and_names_existing_columns(tmp_path):
    path = tmp_path / "streams.json"
    path.write_bytes(sample_streams.published())
    settings = Settings.model_validate({"blueprint": {"streams": str(path)}})
    columns = {table.name: {column.outbound for column in table.columns} for table in TABLES}
    selection = select_streams(["all"], columns.keys(), settings)
    assert [target.stream.stream_name for target in selection.targets] == ["viewers", "chat"]
    assert (selection.idle, selection.remarks) == ((), ())
    for target in selection.targets:
        for event, rule in target.stream.events.items():
            assert set(rule.fields) <= columns[event]
