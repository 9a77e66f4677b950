"""A proxy in front of Kinesis and Firehose that refuses single records, as they do under load."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

_MAX_RECORDS = 500


class PartialFailures:
    """Forwards requests without the records that it refuses.

    ::

        with PartialFailures(s3_server.endpoint_url) as partial:
            partial.refuse = lambda number, index: "InternalFailure" if index == 0 else ""

    Attributes:
        refuse: Returns the error code of a record, from the number of the put request (from 0) and
            the record's index in it; empty to forward the record.
        before: Called with the number of each put request before it is forwarded.
        puts: The partition keys, or else the data, of each put request's records.
        signers: The access key of each put request.
        tokens: The session token of each put request, or None.
        assumed: The roles that were assumed.
    """

    def __init__(self, endpoint_url):
        self._upstream = urlsplit(endpoint_url).netloc
        self.refuse = lambda number, index: ""
        self.before = lambda number: None
        self.puts, self.signers, self.tokens, self.assumed = [], [], [], []
        partial = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = partial.answer(dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, headers, body):
        target = headers.get("X-Amz-Target", "").rpartition(".")[2]
        if target not in {"PutRecords", "PutRecordBatch"}:
            self.assumed += re.findall(rb"Action=AssumeRole.*RoleArn=([^&]+)", body)
            return self._forward(headers, body)
        return self._put(headers, json.loads(body), target)

    def _put(self, headers, request, target):
        number = len(self.puts)
        records = request["Records"]
        assert 1 <= len(records) <= _MAX_RECORDS
        self.puts.append([record.get("PartitionKey", record["Data"]) for record in records])
        self.signers.append(headers["Authorization"].partition("Credential=")[2].split("/")[0])
        self.tokens.append(headers.get("X-Amz-Security-Token"))
        self.before(number)
        codes = [self.refuse(number, index) for index in range(len(records))]
        accepted = [record for record, code in zip(records, codes, strict=True) if not code]
        answers = iter(())
        name = "Records" if target == "PutRecords" else "RequestResponses"
        if accepted:
            body = json.dumps({**request, "Records": accepted}).encode()
            status, answer = self._forward(headers, body)
            if status != 200:
                return status, answer
            answers = iter(json.loads(answer)[name])
        results = [
            {"ErrorCode": code, "ErrorMessage": "no"} if code else next(answers) for code in codes
        ]
        failed = len(records) - len(accepted)
        result = {"FailedRecordCount": failed, "FailedPutCount": failed, name: results}
        return 200, json.dumps(result).encode()

    def _forward(self, headers, body):
        connection = HTTPConnection(self._upstream)
        forwarded = {name: value for name, value in headers.items() if name != "Content-Length"}
        connection.request("POST", "/", body, {**forwarded, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data
