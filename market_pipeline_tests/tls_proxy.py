"""TLS in front of a PostgreSQL server that has none: ends it, and passes on what is inside."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_GSS_REQUEST = bytes.fromhex("0000000804d21630")
_PIECE = 65536


@contextmanager
def listening(url: str, context: ssl.SSLContext) -> Iterator[str]:
    """Yield the address of the same database, by way of TLS at the name `localhost`."""
    parts = urlsplit(url)
    server = (parts.hostname or "127.0.0.1", parts.port or 5432)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_accept, args=(listener, server, context), daemon=True).start()
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@localhost:{listener.getsockname()[1]}"
        yield parts._replace(netloc=netloc).geturl()


def _accept(listener: socket.socket, server: tuple[str, int], context: ssl.SSLContext) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, server, context), daemon=True).start()


def _serve(client: socket.socket, server: tuple[str, int], context: ssl.SSLContext) -> None:
    with suppress(OSError), closing(client):  # a client that trusts us not hangs up
        while (asked := client.recv(len(_SSL_REQUEST))) == _GSS_REQUEST:
            client.sendall(b"N")
        if asked != _SSL_REQUEST:  # nothing passes in the clear
            return
        client.sendall(b"S")
        with context.wrap_socket(client, server_side=True) as inside:
            with socket.create_connection(server) as outside:
                back = threading.Thread(target=_pass_on, args=(outside, inside), daemon=True)
                back.start()
                _pass_on(inside, outside)
                back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
