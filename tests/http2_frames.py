# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""A TLS connection with a member's certificate on which a test writes HTTP/2 frames by hand (RFC 9113), as no library would."""

from __future__ import annotations

import contextlib
import socket
import ssl
from types import TracebackType
from typing import Self

from hpcbridge.identity.keystore import KeyDirectory

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_HEADERS = 4
ENHANCE_YOUR_CALM = 11


def member_context(keys: KeyDirectory) -> ssl.SSLContext:
    """A member's side of mutual TLS; the server is not looked at, because nothing is believed here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(keys.path / "certificate.pem", keys.path / "key.pem")
    return context


class FrameConnection:
    """One connection. `greet` makes it an HTTP/2 connection; without, it is TLS and silence.

    That the other side has closed is seen when frames are read, not when they are sent.
    """

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        host, _, port = address.rpartition(":")
        self._socket = context.wrap_socket(socket.create_connection((host, int(port)), timeout=10))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def greet(self) -> None:
        """Preface and empty settings; returns when the other side has sent something."""
        self._socket.sendall(PREFACE + _frame(SETTINGS, b""))
        self._read_frame()

    def ping(self) -> None:
        """One PING."""
        self._send(_frame(PING, bytes(8)))

    def open_call(self, stream: int, path: str) -> None:
        """The headers of a gRPC call; `stream` is an odd number that was not used before."""
        headers = {":method": "POST", ":scheme": "https", ":path": path, ":authority": "localhost"}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
        self._send(_frame(HEADERS, block, flags=END_HEADERS, stream=stream))

    def send_data(self, stream: int, data: bytes) -> None:
        """Some bytes of a call."""
        self._send(_frame(DATA, data, stream=stream))

    def end(self, seconds: float) -> int | None:
        """Reads until the other side closes: the error code of its GOAWAY, 0 if it only closed; None if it did not within `seconds`."""
        self._socket.settimeout(seconds)
        code = 0
        try:
            while (frame := self._read_frame()) is not None:
                kind, payload = frame
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8])
                    if code:
                        return code
        except TimeoutError:
            return None
        except OSError:
            return code
        return code

    def close(self) -> None:
        """At once."""
        self._socket.close()

    def _send(self, frame: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(frame)

    def _read_frame(self) -> tuple[int, bytes] | None:
        head = self._read(9)
        if head is None:
            return None
        payload = self._read(int.from_bytes(head[:3]))
        return None if payload is None else (head[3], payload)

    def _read(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                return None
            data += part
        return data


def _frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _text(text: str) -> bytes:
    """A string of a header as it is (RFC 7541, 5.2), at most 126 bytes."""
    return bytes([len(text)]) + text.encode()
