"""Publication of rows to Kinesis Data Streams and Firehose."""
