"""Rows to Kinesis Streams and Firehose, as Blueprint's stream configuration says."""
