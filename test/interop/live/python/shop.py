"""Two services traced by py_zipkin, the frontend calling the backend over HTTP with B3.

Every encoding of the library makes one good and one failing request, each a trace of its own.
For each request one JSON line is printed: what was asked, the trace id, what the transport saw.
"""

import argparse
import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request
from urllib.request import urlopen

from py_zipkin import Encoding
from py_zipkin.request_helpers import create_http_headers
from py_zipkin.request_helpers import extract_zipkin_attrs_from_headers
from py_zipkin.transport import SimpleHTTPTransport
from py_zipkin.zipkin import zipkin_client_span
from py_zipkin.zipkin import zipkin_server_span
from py_zipkin.zipkin import zipkin_span

HOST = "127.0.0.1"
# Mixed case on purpose: Zipkin's API answers service names in lower case.
FRONTEND = "Py-Frontend"
BACKEND = "Py-Backend"
BROKEN_ITEM = "0"


class WatchedTransport(SimpleHTTPTransport):
    """The library's own transport; it accepts 202 only and the library swallows its errors."""

    def __init__(self, address, port):
        super().__init__(address, port)
        self.sent = 0
        self.failures = []

    def send(self, payload):
        try:
            super().send(payload)
            self.sent += 1
        except Exception as error:
            self.failures.append(repr(error))
            raise


class Shop:
    """What both services of one run share: where to report, and in which encoding."""

    def __init__(self, transport, encoding, wide_ids):
        self.transport = transport
        self.encoding = encoding
        self.wide_ids = wide_ids
        self.backend_port = 0
        self.trace_id = None
        self.propagated = {}

    def span_arguments(self, service, path, port):
        return {
            "service_name": service,
            "span_name": "GET " + path,
            "transport_handler": self.transport,
            "encoding": self.encoding,
            "host": HOST,
            "port": port,
            "binary_annotations": {"http.method": "GET", "http.path": path},
        }

    def order(self, path, port):
        """Frontend: the root of the trace, with the outgoing call as a client span below it."""
        arguments = self.span_arguments(FRONTEND, path, port)
        root = zipkin_server_span(
            sample_rate=100.0, use_128bit_trace_id=self.wide_ids, **arguments
        )
        with root:
            self.trace_id = root.zipkin_attrs.trace_id
            root.add_annotation("order.received")
            stock_path = path.replace("/order/", "/stock/")
            body = self.call_backend(stock_path)
            root.update_binary_annotations({"http.status_code": "200"})
            return body

    def call_backend(self, path):
        tags = {"http.method": "GET", "http.path": path, "note": 'größe "L" 日本'}
        with zipkin_client_span(FRONTEND, "GET", binary_annotations=tags) as client:
            client.add_sa_binary_annotation(self.backend_port, BACKEND, HOST)
            # A root has no parent, so the header would carry the text "None".
            headers = {k: v for k, v in create_http_headers().items() if v is not None}
            url = f"http://{HOST}:{self.backend_port}{path}"
            with urlopen(Request(url, headers=headers)) as response:
                return response.read()

    def stock(self, path, port, headers):
        """Backend: joins the caller's span, so it reports the server half of a shared span."""
        lower = {name.lower(): value for name, value in headers.items()}
        self.propagated = {
            name: value
            for name, value in lower.items()
            if name.startswith("x-b3-") or name in ("b3", "traceparent")
        }
        attrs = extract_zipkin_attrs_from_headers(headers)
        arguments = self.span_arguments(BACKEND, path, port)
        with zipkin_server_span(zipkin_attrs=attrs, **arguments) as server:
            server.add_annotation("stock.asked")
            # The tag also carries the service in v1, which has no other place for it here.
            with zipkin_span(BACKEND, "ledger.read", binary_annotations={"ledger": "paper"}):
                time.sleep(0.001)
                if path.endswith("/" + BROKEN_ITEM):
                    raise LookupError("no ledger for item " + BROKEN_ITEM)
            server.update_binary_annotations({"http.status_code": "200"})
            return b"7"


def handler_for(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = 200, b""
            try:
                body = answer(self.path, self.server.server_port, self.headers)
            except Exception as error:
                status, body = 500, repr(error).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    return Handler


def serve(answer):
    server = ThreadingHTTPServer((HOST, 0), handler_for(answer))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def status_of(url):
    try:
        with urlopen(url) as response:
            return response.status
    except HTTPError as error:
        return error.code


def run(collector, encoding, item, wide_ids):
    transport = WatchedTransport(collector.hostname, collector.port or 80)
    shop = Shop(transport, encoding, wide_ids)
    backend = serve(shop.stock)
    frontend = serve(lambda path, port, _headers: shop.order(path, port))
    shop.backend_port = backend.server_port
    status = status_of(f"http://{HOST}:{frontend.server_port}/order/{item}")
    frontend.shutdown()
    backend.shutdown()
    return {
        "encoding": encoding.value,
        "failing": item == BROKEN_ITEM,
        "status": status,
        "traceId": shop.trace_id,
        "frontendPort": frontend.server_port,
        "backendPort": backend.server_port,
        "propagated": shop.propagated,
        "sent": transport.sent,
        "failures": transport.failures,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True, help="the collector, as http://host:port")
    collector = urlsplit(parser.parse_args().url)
    logging.basicConfig(level=logging.ERROR)
    socket.setdefaulttimeout(10)
    # V1_THRIFT is still in the enumeration, but the library refuses it since 1.0.
    for encoding in (Encoding.V1_JSON, Encoding.V2_JSON, Encoding.V2_PROTO3):
        for item, wide_ids in (("7", False), (BROKEN_ITEM, True)):
            print(json.dumps(run(collector, encoding, item, wide_ids)), flush=True)


if __name__ == "__main__":
    main()
