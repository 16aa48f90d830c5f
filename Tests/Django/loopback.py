"""Servers on loopback: a mail exchanger that records, and a tee that records what a client says to its server."""
import base64
import socket
import socketserver
import threading
import time
from dataclasses import dataclass


@dataclass
class Arrival:
    sender: str
    recipients: list
    content: bytes
    at: float


def unstuff(lines):
    return b"".join(line[1:] if line.startswith(b".") else line for line in lines)


class LoopbackServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, session, port=0):
        super().__init__(("127.0.0.1", port), session)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # A client that goes away is no fault of ours; what is missing is found by the checks.

    def stop(self):
        self.shutdown()
        self.server_close()


class RecordingExchanger(LoopbackServer):
    """Takes all mail and keeps it, octet for octet; asks for a login if it is given one."""

    def __init__(self, name, login=None, port=0):
        self.name, self.login = name, login
        self.arrivals, self.logins = [], []
        self.changed = threading.Condition()
        super().__init__(ExchangerSession, port)

    def record(self, arrival):
        with self.changed:
            self.arrivals.append(arrival)
            self.changed.notify_all()

    def wait_for(self, count, seconds):
        """Waits until there are as many arrivals; gives what there is then."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.arrivals) >= count, seconds)
            return list(self.arrivals)


class ExchangerSession(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say(f"220 {self.server.name} ESMTP")
        sender, recipients = "", []
        while line := self.rfile.readline(4096):
            verb, text = line[:4].upper(), line.decode().strip()
            address = text[text.find("<") + 1:text.find(">")]
            if verb == b"EHLO":
                auth = "250-AUTH PLAIN\r\n" if self.server.login else ""
                self.say(f"250-{self.server.name}\r\n{auth}250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"AUTH":
                given = base64.b64decode(text.split()[2]).decode().split("\0")[1:]
                self.server.logins.append(tuple(given))
                self.say("235 2.7.0 ok" if tuple(given) == self.server.login else "535 5.7.8 no")
            elif verb == b"MAIL":
                sender, recipients = address, []
                self.say("250 2.1.0 ok")
            elif verb == b"RCPT":
                recipients.append(address)
                self.say("250 2.1.5 ok")
            elif verb == b"DATA":
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line)
                self.server.record(Arrival(sender, recipients, unstuff(lines), time.monotonic()))
                self.say("250 2.0.0 recorded")
            elif verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")


class Tee(LoopbackServer):
    """Stands between Django and the gateway and keeps what Django said."""

    def __init__(self, target):
        self.target = target
        self.streams = []
        super().__init__(TeeSession)

    def contents(self):
        """The contents that went over the wire, without the stuffed dots."""
        found = []
        for stream in self.streams:
            lines = bytes(stream).splitlines(keepends=True)
            while lines:
                if lines.pop(0).strip().upper() == b"DATA":
                    end = lines.index(b".\r\n")
                    found.append(unstuff(lines[:end]))
                    del lines[:end + 1]
        return found


class TeeSession(socketserver.BaseRequestHandler):
    def handle(self):
        said = bytearray()
        self.server.streams.append(said)
        with socket.create_connection(("127.0.0.1", self.server.target)) as gateway:
            threading.Thread(target=self.pump, args=(gateway, self.request, None), daemon=True).start()
            self.pump(self.request, gateway, said)

    @staticmethod
    def pump(source, sink, record):
        try:
            while octets := source.recv(65536):
                if record is not None:
                    record += octets
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
