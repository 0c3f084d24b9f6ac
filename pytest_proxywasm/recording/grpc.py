"""The gRPC upstream of the recordings on real sockets, by the package ``h2``; knows no Envoy.

It answers by method, as the replay's does: ``Err`` fails with NOT_FOUND, ``Hang`` never answers, ``Stream`` sends
metadata, a message and trailers, others one message.
"""

from __future__ import annotations

import socket
from typing import Any

from .servers import Server

__all__ = ["GrpcServer"]

REPLY = b"\0\0\0\0\x05reply"


class GrpcServer(Server):
    """Answers each request as soon as its first data has arrived."""

    def serve(self, connection: socket.socket) -> None:
        """One HTTP/2 connection."""
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.events import DataReceived, RequestReceived, StreamEnded

        http2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        http2.initiate_connection()
        connection.sendall(http2.data_to_send())
        paths: dict[int, bytes] = {}
        while data := connection.recv(1 << 16):
            for event in http2.receive_data(data):
                if isinstance(event, RequestReceived):
                    paths[event.stream_id] = dict(event.headers)[b":path"]
                if isinstance(event, DataReceived):
                    http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                stream_id = getattr(event, "stream_id", None)
                if stream_id in paths and isinstance(event, (DataReceived, StreamEnded)):
                    _answer(http2, stream_id, paths.pop(stream_id))
            connection.sendall(http2.data_to_send())


def _answer(http2: Any, stream_id: int, path: bytes) -> None:
    method = path.rpartition(b"/")[2]
    if method == b"Hang":
        return
    headers = [(":status", "200"), ("content-type", "application/grpc")]
    if method == b"Err":
        http2.send_headers(stream_id, [*headers, ("grpc-status", "5"), ("grpc-message", "nf")], end_stream=True)
        return
    stream = method == b"Stream"
    http2.send_headers(stream_id, [*headers, ("x-init", "iv")] if stream else headers)
    http2.send_data(stream_id, REPLY)
    trailers = [("grpc-status", "0"), *([("x-trail", "tv")] if stream else [])]
    http2.send_headers(stream_id, trailers, end_stream=True)
