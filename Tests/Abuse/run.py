#!/usr/bin/env python3
"""Abuses the gateway in every way that we know of while a good client beside the attackers goes on submitting.

usage: run.py [--measure] [NAME…]      only the attacks with these names; the binary is HIKYAKU_BIN, else the debug build

With each attack: the good client's mail is all accepted and delivered, the attacker reads the right code and is cut off,
the log has a line for it, and the gateway's memory stays bounded. `--measure` shows how long the good client's
submissions took; nothing depends on that.
"""
import argparse
import base64
import os
import re
import resource
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../Django"))
from attackers import PATIENCE, Client, Slowloris, open_many, read_until_closed, trusting_context
from checks import check, failures
from loopback import RecordingExchanger

BINARY = os.environ.get("HIKYAKU_BIN") or os.path.join(HERE, "../../.build/debug/hikyaku")
MEMORY = 200       # MiB that the gateway may have at any time
IDLE = 6           # seconds: idle-timeout, hello-timeout and content-grace of the gateway


class Gateway:
    """The gateway with short patience and small limits; `descriptors` is its `ulimit -n`."""

    def __init__(self, folder, hop, *, limits="", descriptors=None):
        self.folder = folder
        os.makedirs(folder)
        self.ports = {}
        for name in ("app", "tls", "implicit", "auth"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[name] = probe.getsockname()[1]
        hashed = subprocess.run([BINARY, "hash-password"], input="right\n", capture_output=True, text=True, check=True)
        config = os.path.join(folder, "hikyaku.yaml")
        with open(config, "w") as file:
            file.write(f"""
hostname: gateway.test
data-directory: {folder}/data
listeners:
  app: {{ address: 127.0.0.1, port: {self.ports["app"]}, tls: none, allow: loopback }}
  tls: {{ address: 127.0.0.1, port: {self.ports["tls"]}, tls: starttls, allow: loopback }}
  implicit: {{ address: 127.0.0.1, port: {self.ports["implicit"]}, tls: implicit, allow: loopback }}
  auth: {{ address: 127.0.0.1, port: {self.ports["auth"]}, tls: none, auth: required, auth-without-tls: true }}
users: {{ app: "{hashed.stdout.strip()}" }}
chain: [relay]
providers:
  relay: {{ kind: smarthost, host: 127.0.0.1, port: {hop.port}, tls: none }}
dns: {{ sources: ["127.0.0.1:1"] }}
limits: {{ message-size: 2MiB, memory: 8MiB, hello-timeout: {IDLE}s, idle-timeout: {IDLE}s, content-grace: {IDLE}s,
  auth-failures: 8, auth-block: 10s, recipients: 1000{limits} }}
""")
        if descriptors:
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        else:
            limit = None
        self.log_path = os.path.join(folder, "gateway.log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve", "--config", config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, preexec_fn=limit)
        self.peak = 0
        deadline = time.monotonic() + PATIENCE
        while " ready" not in self.log():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the gateway did not start:\n" + self.log())
            time.sleep(0.02)
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """Samples the memory; a peak between two looks is in VmHWM, which the system keeps."""
        while self.process.poll() is None:
            try:
                with open(f"/proc/{self.process.pid}/status") as file:
                    text = file.read()
            except OSError:
                return
            found = re.search(r"VmHWM:\s+(\d+)", text)
            self.peak = max(self.peak, int(found.group(1)) // 1024 if found else 0)
            time.sleep(0.2)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_log(self, pattern):
        """Whether a line is there that matches, soon."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if re.search(pattern, self.log(), re.M):
                return True
            time.sleep(0.1)
        return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class GoodClient(threading.Thread):
    """An application that submits one message after the other, a connection for each, from an address of its own."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port, self.label = port, name
        self.accepted, self.refused, self.times = [], [], []
        self.stopped = threading.Event()

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            token = f"{self.label}-{number}"
            began = time.monotonic()
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "good.test", PATIENCE, ("127.0.0.9", 0)) as client:
                    client.sendmail("a@app.test", ["u@x.test"], f"Subject: x\r\nX-Token: {token}\r\n\r\nhello\r\n")
                self.accepted.append(token)
                self.times.append(time.monotonic() - began)
            except (OSError, smtplib.SMTPException) as error:
                self.refused.append(f"{error}")
            self.stopped.wait(0.02)

    def end(self):
        self.stopped.set()
        self.join(PATIENCE)

    def percentile(self, part):
        times = sorted(self.times)
        return 1000 * times[min(len(times) - 1, int(len(times) * part))] if times else float("nan")


# The attacks: each is given the gateway, and checks what its attackers got.

def idle(gateway):
    """2,000 connections that do nothing."""
    sockets = open_many(gateway.ports["app"], 1_000, ["127.0.1.1", "127.0.1.2"])
    sockets += open_many(gateway.ports["app"], 1_000, ["127.0.1.3", "127.0.1.4"], b"EHLO idle.test\r\n")
    said = read_until_closed(sockets)
    greeted = sum(1 for text in said if text and text.startswith("220 "))
    cut = sum(1 for text in said if text and "\r\n421 4.4.2 timeout" in text)
    check(greeted == 2_000, "2,000 idle connections are greeted", f"{greeted}")
    check(cut == 2_000, "and cut with 421 4.4.2 when their time is over", f"{cut}")
    check(gateway.wait_for_log(r"disconnected.*reason=timeout"), "the log says so")


def slowloris(gateway):
    """One octet at a time, at every stage."""
    hello, mail, to = "EHLO slow.test", "MAIL FROM:<a@app.test>", "RCPT TO:<u@x.test>"
    stages = {
        "greeting": ("app", [], b""),
        "EHLO": ("app", [], b"EHLO slow"),
        "MAIL": ("app", [hello], b"MAIL FROM:<slow"),
        "RCPT": ("app", [hello, mail], b"RCPT TO:<slow"),
        "DATA": ("app", [hello, mail, to], b"DATA   "),
        "header": ("app", [hello, mail, to, "DATA"], b"Subject: slow"),
        "body": ("app", [hello, mail, to, "DATA"], b"A: b\r\n\r\nslow"),
        "BDAT": ("app", [hello, mail, to], b"BDAT 100000 LAST\r\nslow"),
        "refused BDAT": ("app", [hello], b"BDAT 100000 LAST\r\nslow"),
        "AUTH": ("auth", [hello, "AUTH LOGIN"], b"c2xvd3"),
        "long line": ("app", [hello], b"NOOP " + b"x" * 60),
        "STARTTLS": ("tls", [hello, "STARTTLS"], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    }
    slow = {}
    for number, (name, (port, prologue, drip)) in enumerate(stages.items()):
        slow[name] = Slowloris(gateway.ports[port], prologue, drip, f"127.0.2.{number + 1}")
    ended, said = set(), {}
    deadline = time.monotonic() + PATIENCE
    while len(ended) < len(slow) and time.monotonic() < deadline:
        for name, attacker in slow.items():
            if name in ended:
                continue
            attacker.client.socket.settimeout(0.01)
            try:
                octets = attacker.client.socket.recv(65536)
            except TimeoutError:
                if name != "greeting":
                    attacker.step()
                continue
            except OSError:
                octets = b""
            attacker.client.buffer += octets
            if not octets:
                ended.add(name)
        time.sleep(0.2)
    for name, attacker in slow.items():
        said[name] = attacker.client.buffer.decode("latin-1")
        attacker.client.close()
    check(ended == set(slow), "every slow client is cut", f"still there: {set(slow) - ended}")
    # In the middle of a handshake nothing can be said.
    silent = [name for name, text in said.items() if "421 4.4.2" not in text and name != "STARTTLS"]
    check(not silent, "each with 421 4.4.2", f"{silent}: {said}")


def commands(gateway):
    """10,000 commands and no mail."""
    with Client(gateway.ports["app"], "127.0.3.1") as client:
        client.send(b"NOOP\r\n" * 10_000)
        replies = client.rest()
    check(replies[-1:] == ["421 4.7.0 too many commands without mail; closing"], "10,000 NOOPs end in 421 4.7.0",
          f"{replies[-1:]}")
    check(len(replies) <= 1_001, "after 1,000 of them", f"{len(replies)}")
    with Client(gateway.ports["app"], "127.0.3.2") as client:
        client.send(b"FOO\r\n" * 100)
        replies = client.rest()
    check(replies[0].startswith("5") and replies[-1].startswith("421 4.7.0"), "nonsense ends in 421 4.7.0", f"{replies}")
    check(gateway.wait_for_log(r"disconnected.*too many commands without mail"), "the log says so of commands")
    check(gateway.wait_for_log(r"disconnected.*too many errors"), "the log says so of errors")


def flood(gateway):
    """Pipelining without an end in sight, and without reading."""
    with Client(gateway.ports["app"], "127.0.4.1") as client:
        client.send(b"MAIL FROM:<a@app.test>\r\nRCPT TO:<u@x.test>\r\nRSET\r\n" * 20_000)
        replies = client.rest()
    check(replies[-1:] == ["421 4.7.0 too many commands without mail; closing"], "a flood of transactions ends in 421",
          f"{replies[-1:]}")
    with Client(gateway.ports["app"], "127.0.4.2") as client:
        message = b"MAIL FROM:<a@app.test>\r\nRCPT TO:<u@x.test>\r\nDATA\r\nX-Token: flood\r\n\r\nx\r\n.\r\n"
        client.send(message * 50 + b"QUIT\r\n")
        replies = client.rest()
    check(len([reply for reply in replies if "queued as" in reply]) == 50, "50 messages in one write are 50 messages")


def lines(gateway):
    """Lines and headers without an end."""
    with Client(gateway.ports["app"], "127.0.5.1") as client:
        check(client.ask("NOOP " + "x" * 10_000).startswith("500 5.5.2"), "a line of 10,000 octets is 500 5.5.2")
        client.send(b"x" * 3_000_000)
        check(client.rest() == ["500 5.5.2 line too long"], "a line of 3 MB ends the session")
    with Client(gateway.ports["app"], "127.0.5.2") as client:
        client.begin()
        check(client.ask("X: " + "x" * 300_000 + "\r\n\r\nbody\r\n.").startswith("552 5.3.4 header"),
              "a header of 300 kB is 552 5.3.4")
        client.begin()
        for _ in range(100):
            if not client.send(b"X-More: header\r\n" * 4_096):
                break
        check(client.rest()[-1:] and True, "a header without end ends the session")
    with Client(gateway.ports["app"], "127.0.5.3") as client:
        client.begin()
        for _ in range(200):
            if not client.send(b"x" * 65_536):
                break
        check([reply[:9] for reply in client.rest()[-1:]] in (["552 5.3.4"], []), "content without end is 552 5.3.4")
    check(gateway.wait_for_log(r"disconnected.*line too long"), "the log says so of lines")
    check(gateway.wait_for_log(r"message refused.*552 5.3.4 header"), "the log says so of headers")
    check(gateway.wait_for_log(r"disconnected.*content far over the limit"), "the log says so of content")


def octets(gateway):
    """NUL, bare CR and LF, commands of other protocols."""
    with Client(gateway.ports["app"], "127.0.6.1") as client:
        check(client.ask("MAIL FROM:<a\0b@app.test>")[:4] in ("500 ", "501 "), "a NUL in a command is refused")
        check(client.begin().startswith("354"), "and the session goes on")
        check(client.ask("A: b\r\n\r\nx\0y\r\n.").startswith("554 5.6.0"), "a NUL in content is 554 5.6.0")
    for number, end in enumerate(["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\n\0.\r\n", "\r.\r\n"]):
        with Client(gateway.ports["app"], "127.0.6.2") as client:
            client.begin()
            client.send(f"A: b\r\n\r\nx{end}MAIL FROM:<evil@x.test>\r\nRCPT TO:<v@x.test>\r\nDATA\r\n\r\n.\r\nQUIT\r\n")
            replies = client.rest()
        check(len(replies) == 2 and replies[0].startswith("554 5."), f"smuggling by {end!r} is one 554", f"{replies}")
    with Client(gateway.ports["app"], "127.0.6.3") as client:
        client.send("NOOP\nMAIL FROM:<evil@x.test>\n")
        check([reply[:9] for reply in client.rest()] == ["500 5.5.2"], "a bare LF in a command ends the session")
    with Client(gateway.ports["app"], "127.0.6.4", hello=False) as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<evil@x.test>\r\n")
        check([reply[:9] for reply in client.rest()] == ["554 5.5.1"], "HTTP ends the session")
    check(gateway.wait_for_log(r"message refused.*554 5.6.0 NUL"), "the log says so of NUL")
    check(gateway.wait_for_log(r"message refused.*554 5.5.2 bare LF"), "the log says so of smuggling")
    check(gateway.wait_for_log(r"disconnected.*bare CR or LF"), "the log says so of commands")
    check(gateway.wait_for_log(r"disconnected.*HTTP request"), "the log says so of HTTP")


def recipients(gateway):
    """Far more recipients than are taken."""
    with Client(gateway.ports["app"], "127.0.7.1") as client:
        client.send("MAIL FROM:<a@app.test>\r\n" + "RCPT TO:<u@x.test>\r\n" * 5_000 + "RSET\r\n")
        client.reply()
        replies = [client.reply() for _ in range(5_000)]
        check(all(reply.startswith("250 ") for reply in replies[:1_000]), "1,000 recipients are taken")
        check(all(reply.startswith("452 4.5.3") for reply in replies[1_000:]), "all others read 452 4.5.3")
        check(client.reply().startswith("250"), "and the session goes on")
    check(gateway.wait_for_log(r"disconnected.*452 4.5.3"), "the log says so")


def guessing(gateway):
    """Passwords, one after the other and many at once."""
    wrong = base64.b64encode(b"\0app\0wrong").decode()
    right = base64.b64encode(b"\0app\0right").decode()
    answers = []
    while len(answers) < 40 and not any("your address" in answer for answer in answers):
        with Client(gateway.ports["auth"], "127.0.8.1", hello=False) as client:
            if client.greeting.startswith("421"):
                answers.append(client.greeting)
                continue
            client.ask("EHLO guesser.test")
            while answer := client.ask(f"AUTH PLAIN {wrong}"):
                answers.append(answer)
    tries = [answer for answer in answers if answer.startswith("535 5.7.8")]
    check(len(tries) == 8, "a guesser is told 535 5.7.8 eight times", f"{answers}")
    check("421 4.7.0 too many failed authentications from your address, try again later" in answers, "then 421 4.7.0")
    with Client(gateway.ports["auth"], "127.0.8.1", hello=False) as client:
        check(client.greeting.startswith("421 4.7.0"), "its address is not greeted for a while", client.greeting)
    with Client(gateway.ports["auth"], "127.0.8.2") as client:
        check(client.ask(f"AUTH PLAIN {right}").startswith("235"), "the same user logs in from elsewhere")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with Client(gateway.ports["auth"], "127.0.8.1", hello=False) as client:
            if client.greeting.startswith("220"):
                break
        time.sleep(0.2)
    with Client(gateway.ports["auth"], "127.0.8.1") as client:
        check(client.ask(f"AUTH PLAIN {right}").startswith("235"), "after that time the address may log in")
    check(gateway.wait_for_log(r"authentication failed.*user=app"), "the log has the failures")
    check(gateway.wait_for_log(r"address blocked after too many failed authentications.*127\.0\.8\.1"), "and the block")
    check(gateway.wait_for_log(r"connection refused.*too many failed authentications"), "and who was not greeted")
    check("wrong" not in gateway.log(), "and no password")


def deaf(gateway):
    """Clients that never read a reply."""
    sockets = open_many(gateway.ports["app"], 100, ["127.0.9.1"], window=4_096)
    for one in sockets:
        one.setblocking(False)
    deadline = time.monotonic() + PATIENCE
    # Much more in replies than sockets hold, and less in commands than is taken without mail.
    talking = {one: b"EHLO deaf.test\r\n" * 990 + b"NOOP" for one in sockets}
    while talking and time.monotonic() < deadline:
        for one in list(talking):
            try:
                talking[one] = talking[one][one.send(talking[one]):] or b" "
            except BlockingIOError:
                continue
            except OSError:
                del talking[one]
        time.sleep(0.1)
    for one in sockets:
        one.close()
    check(not talking, "clients that never read are cut", f"{len(talking)} are not")
    check(gateway.wait_for_log(r"disconnected.*replies were not read"), "the log says so")


def half_closed(gateway):
    """Clients that close their side early."""
    with Client(gateway.ports["app"], "127.0.10.1") as client:
        client.send("MAIL FROM:<a@app.test>\r\nRCPT TO:<u@x.test>\r\nDATA\r\nX-Token: half\r\n\r\nx\r\n.\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        replies = client.rest()
        check([reply[:3] for reply in replies] == ["250", "250", "354", "250"], "what was complete is answered", f"{replies}")
    for stage, text in {"a line": "MAIL FROM", "content": "MAIL FROM:<a@b.c>\r\nRCPT TO:<u@x.test>\r\nDATA\r\nhalf"}.items():
        with Client(gateway.ports["app"], "127.0.10.2") as client:
            client.send(text)
            client.socket.shutdown(socket.SHUT_WR)
            check(not any("queued" in reply for reply in client.rest()), f"half of {stage} is nothing, and the end")
    with Client(gateway.ports["auth"], "127.0.10.3") as client:
        client.send("AUTH PLAIN AGFwcABub3BlLg==\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        check([reply[:9] for reply in client.rest()] == ["535 5.7.8"], "a wrong password is answered, and the end")


def tls(gateway):
    """What goes wrong before, in and after a handshake."""
    port = gateway.ports["tls"]
    with Client(port, "127.0.11.1", hello=False) as client:
        check(client.ask("GARBAGE").startswith("5"), "garbage before STARTTLS is refused")
        client.ask("EHLO x.test")
        client.send("STARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<v@x.test>\r\n")
        check(client.reply().startswith("220"), "STARTTLS is taken")
        client.start_tls(trusting_context())
        check(client.ask("NOOP") == "250 2.0.0 Ok", "commands that came with it are not answered")
        check(client.ask("MAIL FROM:<a@app.test>").startswith("503 5.5.1"), "nor remembered, nor is EHLO")
    for name, octets in {"nonsense": b"\0" * 100, "commands": b"MAIL FROM:<evil@x.test>\r\n" * 20}.items():
        with Client(port, "127.0.11.2") as client:
            client.ask("STARTTLS")
            client.send(octets)
            check(not any("250" in reply for reply in client.rest()), f"{name} in place of a handshake is the end")
    with Client(port, "127.0.11.3") as client:
        client.ask("STARTTLS")
        raw = socket.socket(fileno=os.dup(client.socket.fileno()))
        client.start_tls(trusting_context())
        client.ask("EHLO x.test")
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        check(not any(reply.startswith("250") for reply in client.rest()), "garbage after the handshake is the end")
        raw.close()
    renegotiate(port)
    with Client(gateway.ports["app"], "127.0.11.4") as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00")
        check([reply[:9] for reply in client.rest()] == ["554 5.5.1"], "a handshake on a port without TLS is 554 5.5.1")
    sockets = open_many(gateway.ports["implicit"], 50, ["127.0.11.5"], b"\x16\x03\x01")
    check(None not in read_until_closed(sockets), "handshakes that never go on are cut")
    check(gateway.wait_for_log(r"TLS failed"), "the log says that TLS failed")
    check(gateway.wait_for_log(r"disconnected.*TLS on a clear-text port"), "and that it was none")


def renegotiate(port):
    """A client of TLS 1.2 that wants to shake hands again: `R` on a line of its own is openssl's word for it."""
    def talk(text):
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-tls1_2"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            client.stdin.write(text)
            client.stdin.flush()
            # The server ends it, by its timeout or at once.
            client.wait(PATIENCE)
            return client.stdout.read()
        except subprocess.TimeoutExpired:
            client.kill()
            return b"it never ends"
        finally:
            client.stdin.close()
            client.stdout.close()
    check(b"250-REQUIRETLS" in talk(b"EHLO x.test\r\nQUIT\r\n"), "openssl talks to us over TLS 1.2")
    out = talk(b"R\nEHLO x.test\r\n")
    check(b"RENEGOTIATING" in out and b"250-REQUIRETLS" not in out and b"never ends" not in out,
          "renegotiation is the end", out[-300:].decode("latin-1"))


def hoarding(gateway):
    """Clients that make us hold as much as they can: headers, recipients and content, never finished."""
    begin = b"EHLO hoarder.test\r\nMAIL FROM:<a@app.test>\r\nRCPT TO:<u@x.test>\r\nDATA\r\n"
    header = (b"X-Hoard: " + b"x" * 900 + b"\r\n") * 250
    address = b"RCPT TO:<" + b"u" * 60 + b"@" + b".".join([b"d" * 60] * 3) + b".test> ORCPT=rfc822;" + b"o" * 400 + b"\r\n"
    hoards = {
        "headers": begin + header,
        "recipients": b"EHLO hoarder.test\r\nMAIL FROM:<a@app.test>\r\n" + address * 600,
        "content": begin + b"A: b\r\n\r\n" + (b"x" * 998 + b"\r\n") * 1_000,
    }
    for number, (name, hoard) in enumerate(hoards.items()):
        sockets = open_many(gateway.ports["app"], 60, [f"127.0.12.{number + 1}"])
        for one in sockets:
            one.setblocking(False)
        waiting = {one: hoard for one in sockets}
        deadline = time.monotonic() + PATIENCE
        while waiting and time.monotonic() < deadline:
            for one in list(waiting):
                try:
                    sent = one.send(waiting[one][:65_536])
                    waiting[one] = waiting[one][sent:]
                    one.recv(65_536) if name == "recipients" else None
                except BlockingIOError:
                    pass
                except OSError:
                    waiting[one] = b""
                if not waiting[one]:
                    del waiting[one]
            time.sleep(0.005)
        said = read_until_closed(sockets)
        shed = sum(1 for text in said if text and "421 4.3.2 too many large messages" in text)
        late = sum(1 for text in said if text and "421 4.4.2" in text)
        if name == "content":
            check(late == 60, "unfinished content goes to disk, and ends in 421 4.4.2", f"{late}, {shed} were shed")
        else:
            check(shed > 0, f"hoarders of {name} read 421 4.3.2 when memory runs short", f"{said[:3]}")
        check(None not in said, f"hoarders of {name} are all gone")
    check(gateway.wait_for_log(r"disconnected.*memory for messages ran short"), "the log says so")


def crowd(gateway):
    """More connections than there may be: of one address, and in all."""
    sockets = open_many(gateway.ports["app"], 1_050, ["127.0.13.1"])
    said = read_until_closed(sockets)
    refused = sum(1 for text in said if text and text.startswith("421 4.7.0 too many connections from 127.0.13.1"))
    check(refused == 50, "the 1,001st connection of one address reads 421 4.7.0", f"{refused}")
    check(gateway.wait_for_log(r"connection refused.*421 4.7.0"), "the log says so")


def patient(gateway):
    """Attacks that take long and little: slow clients, guessing, TLS, commands without mail, all at once."""
    attacks = [threading.Thread(target=attack, args=(gateway,)) for attack in PARTS]
    for attack in attacks:
        attack.start()
    for attack in attacks:
        attack.join()


ATTACKS = [idle, patient, flood, lines, octets, recipients, deaf, half_closed, hoarding, crowd]
# What goes on inside of another, and can be asked for by its name.
PARTS = [slowloris, commands, guessing, tls]


def few_descriptors(folder, hop):
    """A gateway with `ulimit -n 256` refuses in time, and serves who comes when the idle are gone."""
    gateway = Gateway(os.path.join(folder, "few"), hop, limits=", concurrency: 10", descriptors=256)
    check(gateway.wait_for_log(r"fewer connections than configured.*connections=70"), "70 connections are what 256 allow")
    sockets = open_many(gateway.ports["app"], 400, ["127.0.14.1", "127.0.14.2"])
    client = GoodClient(gateway.ports["app"], "few")
    client.start()
    said = read_until_closed(sockets)
    refused = sum(1 for text in said if text and text.startswith("421 4.3.2 too many connections"))
    check(refused >= 300, "all others read 421 4.3.2", f"{refused}")
    check(None not in said, "and the idle are cut")
    deadline = time.monotonic() + PATIENCE
    while not client.accepted and time.monotonic() < deadline:
        time.sleep(0.05)
    client.end()
    check(len(client.accepted) > 0, "then a good client is served")
    check(all("421" in text or "4, 3, 2" in text or "4.3.2" in text for text in client.refused), "and was refused by 421 only",
          f"{client.refused[:3]}")
    check(gateway.wait_for_log(r"connection refused.*421 4.3.2"), "the log says so")
    check("Too many open files" not in gateway.log(), "no descriptor was missing")
    check(gateway.stop() == 0, "it ends as it should")
    return client


def under(attack, gateway, name, measures):
    """Runs an attack beside a good client; gives the client."""
    print(f"-- {name}: {attack.__doc__.splitlines()[0]}", flush=True)
    began = time.monotonic()
    client = GoodClient(gateway.ports["app"], name)
    client.start()
    attack(gateway)
    client.end()
    check(not client.refused and client.accepted, "the good client's mail is all accepted", f"{client.refused[:3]}")
    check(gateway.process.poll() is None, "the gateway lives")
    if measures:
        print(f"      {time.monotonic() - began:.1f} s, good client: {len(client.accepted)} messages, p50 "
              f"{client.percentile(0.5):.1f} ms, p99 {client.percentile(0.99):.1f} ms; memory at most {gateway.peak} MiB")
    return client


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    began = time.monotonic()
    folder = tempfile.mkdtemp(prefix="hikyaku-abuse-")
    hop = RecordingExchanger("next.hop.test")
    gateway = Gateway(os.path.join(folder, "gateway"), hop)
    clients = []
    threading.excepthook = lambda failed: check(False, f"{failed.thread.name} runs to its end", f"{failed.exc_value!r}")
    for attack in ATTACKS + PARTS:
        if attack.__name__ in options.names or not options.names and attack in ATTACKS:
            clients.append(under(attack, gateway, attack.__name__, options.measure))
    if not options.names or "few_descriptors" in options.names:
        print("-- few_descriptors: more connections than file descriptors", flush=True)
        clients.append(few_descriptors(folder, hop))
    wanted = {token for client in clients for token in client.accepted}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with hop.changed:
            text = b"\n".join(arrival.content for arrival in hop.arrivals)
        arrived = set(re.findall(r"X-Token: (\S+)", text.decode("latin-1")))
        if wanted <= arrived:
            break
        time.sleep(0.2)
    print("-- afterwards", flush=True)
    check(wanted <= arrived, f"all {len(wanted)} messages of the good client arrived", f"{len(wanted - arrived)} did not")
    check(gateway.peak <= MEMORY, f"the gateway never had more than {MEMORY} MiB", f"{gateway.peak} MiB")
    check(not re.search(r"[\x00-\x08\x0b-\x1f]", gateway.log()), "the log has no control characters")
    check(gateway.stop() == 0, "SIGTERM ends it with 0")
    print(f"abuse test: {len(failures)} failed, memory at most {gateway.peak} MiB, {time.monotonic() - began:.0f} s")
    if failures:
        print("kept:", folder)
    else:
        shutil.rmtree(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
