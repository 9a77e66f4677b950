"""Kinesis and Firehose streams at a local AWS server, and a consumer that reads them."""

from __future__ import annotations

import json
import uuid

import boto3

REGION = "us-west-2"
ROLE = "arn:aws:iam::123456789012:role/writer"


class Consumer:
    """Creates streams and reads their records.

    Args:
        endpoint_url: The endpoint of all services.
    """

    def __init__(self, endpoint_url):
        self._endpoint_url = endpoint_url
        self._buckets = {}

    def _client(self, service):
        return boto3.client(service, endpoint_url=self._endpoint_url, region_name=REGION)

    def new_stream(self, shards=2, named=""):
        """Create a stream; return its name."""
        name = named or f"stream-{uuid.uuid4().hex[:12]}"
        self._client("kinesis").create_stream(StreamName=name, ShardCount=shards)
        return name

    def delete_stream(self, name):
        self._client("kinesis").delete_stream(StreamName=name)

    def new_firehose(self):
        """Create a Firehose stream that delivers to its own bucket; return its name."""
        name = f"firehose-{uuid.uuid4().hex[:12]}"
        location = {"LocationConstraint": REGION}
        self._client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
        destination = {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{name}"}
        self._client("firehose").create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination
        )
        return name

    def read_stream(self, name):
        """Return the partition key and the decoded data of all records of a stream."""
        kinesis = self._client("kinesis")
        records = []
        for shard in kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"]:
            iterator = kinesis.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                response = kinesis.get_records(ShardIterator=iterator)
                if not response["Records"]:
                    break
                records += response["Records"]
                iterator = response["NextShardIterator"]
        return [(record["PartitionKey"], json.loads(record["Data"])) for record in records]

    def rows(self, name):
        """Return ``Data`` of all records of a stream."""
        return [record["Data"] for _, record in self.read_stream(name)]

    def read_firehose(self, name):
        """Return all lines that a Firehose stream delivered, decoded."""
        s3 = self._client("s3")
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=name).get("Contents", [])]
        bodies = [s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys]
        return [json.loads(line) for line in b"".join(bodies).splitlines()]
