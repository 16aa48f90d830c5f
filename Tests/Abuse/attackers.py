"""Clients that abuse a mail server, each in its own way, and what they got for it."""
import selectors
import socket
import ssl
import time

PATIENCE = 60      # seconds until an attacker gives up waiting for its end; a good run needs far less


class Client:
    """A socket that reads replies; `source` is any address of 127/8, so that there can be many attackers."""

    def __init__(self, port, source="127.0.0.1", greet=True, hello=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
        self.buffer = b""
        if greet:
            self.greeting = self.reply()
        if greet and hello:
            self.ask("EHLO attacker.test")

    def send(self, octets):
        """False when the server has closed."""
        try:
            self.socket.sendall(octets.encode() if isinstance(octets, str) else octets)
            return True
        except OSError:
            return False

    def line(self):
        """The next line; empty at the end of the connection, however it came."""
        while b"\n" not in self.buffer:
            try:
                octets = self.socket.recv(65536)
            except OSError:
                octets = b""
            if not octets:
                line, self.buffer = self.buffer, b""
                return line.decode("latin-1")
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode("latin-1").strip()

    def reply(self):
        """The last line of the next reply; empty at the end of the connection."""
        while True:
            line = self.line()
            if line[3:4] != "-":
                return line

    def ask(self, command):
        return self.reply() if self.send(command + "\r\n") else ""

    def begin(self):
        """Up to the reply to DATA."""
        self.ask("MAIL FROM:<a@app.test>")
        self.ask("RCPT TO:<u@x.test>")
        return self.ask("DATA")

    def rest(self):
        """All replies up to the end of the connection, or what there was when patience ran out."""
        replies = []
        while reply := self.reply():
            replies.append(reply)
        return replies

    def start_tls(self, context):
        self.socket = context.wrap_socket(self.socket, server_hostname="gateway.test")
        self.buffer = b""

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def trusting_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.maximum_version = version
    return context


def open_many(port, count, sources, say=b"", window=None):
    """Opens connections without a thread for each; gives them open, each after it has said something."""
    found = []
    for number in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.bind((sources[number % len(sources)], 0))
        one.connect(("127.0.0.1", port))
        if say:
            one.sendall(say)
        found.append(one)
    return found


def read_until_closed(sockets, seconds=PATIENCE):
    """What the server says to each until it closes; None for those that it leaves open."""
    selector = selectors.DefaultSelector()
    said, ended = {}, set()
    for one in sockets:
        one.setblocking(False)
        said[one] = b""
        selector.register(one, selectors.EVENT_READ)
    deadline = time.monotonic() + seconds
    while len(ended) < len(sockets) and time.monotonic() < deadline:
        for key, _ in selector.select(1):
            try:
                octets = key.fileobj.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                octets = b""
            if octets:
                said[key.fileobj] = (said[key.fileobj] + octets)[-4096:]
            else:
                ended.add(key.fileobj)
                selector.unregister(key.fileobj)
    for one in sockets:
        one.close()
    return [said[one].decode("latin-1") if one in ended else None for one in sockets]


class Slowloris:
    """Says something at its normal speed, then one octet at a time, until the server has had enough."""

    def __init__(self, port, prologue, drip, source):
        self.client = Client(port, source, hello=False)
        for command in prologue:
            self.client.ask(command)
        self.drip = drip
        self.sent = 0

    def step(self):
        octet = self.drip[self.sent:self.sent + 1] or b"x"
        self.sent += 1
        return self.client.send(octet)
