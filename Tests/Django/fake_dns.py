"""A name server on loopback, UDP and TCP, that answers, refuses, fails or keeps silent."""
import errno
import socketserver
import struct
import threading

A, MX, AAAA = 1, 15, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


class FakeDNS:
    """Knows mail exchangers by domain; `mode` is good, servfail, refused or silent and may change at any time."""

    def __init__(self, domains, mode="good"):
        self.domains, self.mode = domains, mode
        self.questions = []
        self.udp, self.tcp = self.bind()
        self.port = self.udp.server_address[1]
        for server in (self.udp, self.tcp):
            server.dns, server.daemon_threads = self, True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @staticmethod
    def bind():
        """Both servers at one port, which must be free for both."""
        while True:
            udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), UDPSession)
            try:
                return udp, socketserver.ThreadingTCPServer(udp.server_address, TCPSession)
            except OSError as error:
                udp.server_close()
                if error.errno != errno.EADDRINUSE:
                    raise

    def stop(self):
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()

    def answer(self, query):
        """The answer to a query, or nothing."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        name, question = ".".join(labels).lower(), query[12:at + 5]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        self.questions.append((name, kind))
        if self.mode == "silent":
            return None
        records, code = [], {"servfail": SERVFAIL, "refused": REFUSED}.get(self.mode)
        if code is None:
            records, code = self.look_up(name, kind)
        flags = 0x8180 | code
        answers = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data for data in records)
        return query[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + answers

    def look_up(self, name, kind):
        if name in self.domains:
            exchanger = b"".join(bytes([len(label)]) + label.encode() for label in f"mx.{name}".split(".")) + b"\0"
            return ([struct.pack(">H", 10) + exchanger] if kind == MX else []), NOERROR
        if name.removeprefix("mx.") in self.domains:
            return ([bytes([127, 0, 0, 1])] if kind == A else []), NOERROR
        return [], NXDOMAIN


class UDPSession(socketserver.BaseRequestHandler):
    def handle(self):
        query, sock = self.request
        if answer := self.server.dns.answer(query):
            sock.sendto(answer, self.client_address)


class TCPSession(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            answer = self.server.dns.answer(self.rfile.read(struct.unpack(">H", length)[0]))
            if answer is None:
                return
            self.wfile.write(struct.pack(">H", len(answer)) + answer)
