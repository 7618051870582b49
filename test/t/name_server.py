# test/t/name_server.py NAME ADDRESS...
#
# A name server that knows one name, with these IPv4 addresses; any other, and
# any other kind of record, does not exist.  UDP on 127.0.0.1.  Prints a line
# with the port when it listens; ends with its standard input.

import socket
import struct
import sys
import threading

TYPE_A = 1


def question_of(query):
    """The name, the type, and the question as it stands in the query."""
    labels = []
    at = 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += 1 + query[at]
    (kind,) = struct.unpack_from("!H", query, at + 1)
    return ".".join(labels).lower(), kind, query[12 : at + 5]


def answer(query, name, addresses):
    asked, kind, question = question_of(query)
    known = asked == name
    records = [
        struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 1, 4) + socket.inet_aton(address)
        for address in addresses
        if known and kind == TYPE_A
    ]
    flags = 0x8580 if known else 0x8583
    return (
        query[:2]
        + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        + question
        + b"".join(records)
    )


def serve(udp, name, addresses):
    while True:
        query, client = udp.recvfrom(4096)
        udp.sendto(answer(query, name, addresses), client)


def main():
    name, *addresses = sys.argv[1:]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    threading.Thread(
        target=serve, args=(udp, name.lower(), addresses), daemon=True
    ).start()
    print("listening", udp.getsockname()[1], flush=True)
    sys.stdin.read()


main()
