"""Streams and Firehoses at an AWS of one's own, and what a consumer reads from them."""

from __future__ import annotations

import json
import uuid

import boto3

REGION = "us-west-2"
ROLE = "arn:aws:iam::123456789012:role/writer"


class Consumer:
    """Creates streams and reads what is in them.

    Args:
        endpoint_url: The API of all services.
    """

    def __init__(self, endpoint_url):
        self._endpoint_url = endpoint_url
        self._buckets = {}

    def _client(self, service):
        return boto3.client(service, endpoint_url=self._endpoint_url, region_name=REGION)

    def new_stream(self, shards=2, named=""):
        """A new stream's name."""
        name = named or f"stream-{uuid.uuid4().hex[:12]}"
        self._client("kinesis").create_stream(StreamName=name, ShardCount=shards)
        return name

    def delete_stream(self, name):
        self._client("kinesis").delete_stream(StreamName=name)

    def new_firehose(self):
        """A new Firehose's name; it delivers to a bucket of its own."""
        name = f"firehose-{uuid.uuid4().hex[:12]}"
        where = {"LocationConstraint": REGION}
        self._client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
        destination = {"RoleARN": ROLE, "BucketARN": f"arn:aws:s3:::{name}"}
        self._client("firehose").create_delivery_stream(
            DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination
        )
        return name

    def read_stream(self, name):
        """All records of a stream, decoded, with the partition key beside each."""
        kinesis = self._client("kinesis")
        found = []
        for shard in kinesis.describe_stream(StreamName=name)["StreamDescription"]["Shards"]:
            iterator = kinesis.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                answer = kinesis.get_records(ShardIterator=iterator)
                if not answer["Records"]:
                    break
                found += answer["Records"]
                iterator = answer["NextShardIterator"]
        return [(each["PartitionKey"], json.loads(each["Data"])) for each in found]

    def rows(self, name):
        """The ``Data`` of all records of a stream."""
        return [record["Data"] for _, record in self.read_stream(name)]

    def read_firehose(self, name):
        """All lines that a Firehose delivered, decoded."""
        s3 = self._client("s3")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=name).get("Contents", [])]
        bodies = [s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys]
        return [json.loads(line) for line in b"".join(bodies).splitlines()]
