#!/usr/bin/env python3
"""The queue of a real Postfix, 500 messages that it could not deliver, is taken over and delivered, octet for octet.

usage: run.py [--count N]        the binary is HIKYAKU_BIN, else the debug build; as root, who may start Postfix

Postfix defers everything, since its relay refuses connections; a few messages have a recipient that it did deliver.
Then it is stopped and its queue taken over by a running gateway that delivers to a recording exchanger. What Postfix
itself would have sent (postcat) must arrive, each once.
"""
import argparse
import glob
import json
import os
import pwd
import random
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../Django"))
from checks import check, failures
from fake_dns import FakeDNS
from gateway import BINARY, Gateway, free_port
from loopback import RecordingExchanger

PATIENCE = 45
DOMAINS = {"shop.test", "other.test"}


class Postfix:
    """A private instance in a folder, whose relay for everything is a closed port, but for one domain's."""

    def __init__(self, folder, good_port):
        self.folder, self.spool, self.port = folder, f"{folder}/spool", free_port()
        for name in ("conf", "spool", "data"):
            os.makedirs(f"{folder}/{name}")
        postfix = pwd.getpwnam("postfix")
        os.chown(f"{folder}/data", postfix.pw_uid, postfix.pw_gid)
        self.write("main.cf", f"""
compatibility_level = 3.6
queue_directory = {self.spool}
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = /
myhostname = old.test
myorigin = app.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
append_dot_mydomain = no
relayhost = [127.0.0.1]:{free_port()}
transport_maps = inline:{{ done.test=smtp:[127.0.0.1]:{good_port} }}
enable_long_queue_ids = yes
smtputf8_enable = yes
message_size_limit = 20000000
smtpd_peername_lookup = no
qmgr_message_active_limit = 20000
""")
        services = ["cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                    "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                    "proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "relay unix - - n - - smtp",
                    "error unix - - n - - error", "retry unix - - n - - error", "anvil unix - - n - 1 anvil",
                    "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"]
        self.write("master.cf", "\n".join([f"127.0.0.1:{self.port} inet n - n - - smtpd", *services, ""]))

    def write(self, name, text):
        with open(f"{self.folder}/conf/{name}", "w") as file:
            file.write(text)

    def command(self, verb):
        subprocess.run(["postfix", "-c", f"{self.folder}/conf", verb], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)

    def __enter__(self):
        self.command("start")
        return self

    def __exit__(self, *_):
        self.command("abort")

    def files(self, queue):
        return [path for path in glob.glob(f"{self.spool}/{queue}/**", recursive=True) if os.path.isfile(path)]

    def wait_until_deferred(self, count):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if len(self.files("deferred")) == count and not self.files("active") + self.files("incoming"):
                return True
            time.sleep(0.1)
        return False

    def content(self, path):
        """What Postfix would send: its own tool's view of the header and the body, with CRLF."""
        done = subprocess.run(["postcat", "-c", f"{self.folder}/conf", "-h", "-b", path], capture_output=True, check=True)
        return done.stdout.replace(b"\n", b"\r\n")


# What an application might submit

def contents(count):
    """Pairs of recipients and content; the last is the one with a large body."""
    chance = random.Random(20261125)
    head = b"From: app@app.test\r\nSubject: number %d\r\nMessage-ID: <%d@app.test>\r\n"
    for number in range(count):
        top = head % (number, number)
        kind = number % 8
        sender, recipients, options = "app@app.test", [f"user{number}@shop.test"], []
        if kind == 0:
            body = b"plain\r\n" * chance.randrange(1, 40)
        elif kind == 1:
            body, options = "Größe, 確認コード\r\n".encode() * 5 + bytes(range(128, 256)) + b"\r\n", ["BODY=8BITMIME"]
        elif kind == 2:
            body = b"x" * 3000 + b"\r\n" + b"y" * 2048 + b"\r\n" + b"z" * 2049 + b"\r\n"
        elif kind == 3:
            body = b".\r\n..\r\n.dot\r\n\r\n.\r\nlast\r\n"
        elif kind == 4:
            body, top = b"", top
        elif kind == 5:
            body = b"several\r\n"
            recipients = [f"{name}{number}@{domain}" for name in ("a", "b+tag") for domain in sorted(DOMAINS)]
        elif kind == 6:
            body, sender = b"a report\r\n", ""
        else:
            body = b"one is served\r\n"
            recipients.append(f"served{number}@done.test")
        if number == count - 1:
            body, sender, recipients = bytes(chance.choices(b"abcdefgh", k=70)) + b"\r\n", "app@app.test", ["big@shop.test"]
            body *= 90_000
        yield sender, recipients, options, top + b"\r\n" + body


def submit(port, count):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for sender, recipients, options, content in contents(count):
            client.ehlo_or_helo_if_needed()
            assert client.mail(sender, options)[0] == 250
            for recipient in recipients:
                assert client.rcpt(recipient)[0] == 250
            # Not smtplib's own sendmail, which would rewrite line ends.
            assert client.docmd("DATA")[0] == 354
            client.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
            code, text = client.getreply()
            assert code == 250, text


def envelope_of(arrival):
    return arrival.sender, tuple(sorted(arrival.recipients))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=500)
    count = options.parse_args().count
    if os.geteuid() != 0 or not shutil.which("postfix"):
        print("skipped: only root can start Postfix, which must be installed")
        return
    folder = tempfile.mkdtemp(prefix="hky-takeover-")
    os.chmod(folder, 0o755)
    try:
        take_over(folder, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} failed" if failures else "all passed")
    sys.exit(1 if failures else 0)


def take_over(folder, count):
    served = RecordingExchanger("mx.done.test")
    exchanger, relay, dns = RecordingExchanger("mx.shop.test"), RecordingExchanger("relay.test"), FakeDNS(DOMAINS)
    sources = [f"127.0.0.1:{dns.port}"]
    with Gateway(f"{folder}/gateway", sources=sources, exchanger_port=exchanger.port, relay_port=relay.port,
                 extra="limits: { message-size: 20MiB }") as gateway:
        with Postfix(f"{folder}/old", served.port) as postfix:
            submit(postfix.port, count)
            if not check(postfix.wait_until_deferred(count), f"Postfix defers {count} messages",
                         f"{len(postfix.files('deferred'))}"):
                return
            running = gateway.run("take-over", postfix.spool)
            check("Postfix is running" in running and len(postfix.files("deferred")) == count,
                  "nothing is touched while Postfix runs", running)
            postfix.command("stop")
        expected = {}
        for path in postfix.files("deferred"):
            expected[os.path.basename(path)] = postfix.content(path)
        damage(postfix, expected)
        dry = json.loads(gateway.run("take-over", "--dry-run", "--json", postfix.spool))
        states = [entry["state"] for entry in dry["entries"]]
        check(states.count("ready") == count and states.count("leftAlone") == 2, "a dry run lists them, and two wrecks",
              f"{states.count('ready')}")
        interrupted(gateway, postfix, folder)
        killed(postfix, folder)

        started = time.monotonic()
        report = json.loads(gateway.run("take-over", "--json", postfix.spool))
        seconds = time.monotonic() - started
        entries = report["entries"]
        taken = {entry["postfixID"]: entry for entry in entries if entry["state"] in ("takenOver", "takenOverBefore")}
        check(set(taken) == set(expected), f"all are taken over, in {seconds:.1f} s", f"{len(taken)} of {count}")
        check(sum(entry["state"] == "takenOverBefore" for entry in entries) == 1,
              "one whose file an earlier run could not move is not queued again")
        aside = {os.path.basename(path) for path in postfix.files("taken-over")}
        check(aside == set(expected) and not set(map(os.path.basename, postfix.files("deferred"))) & aside,
              "their files are moved aside")
        check(len(postfix.files("deferred")) == 1 and len(postfix.files("incoming")) == 1,
              "a damaged file and an unfinished one stay")

        arrive(gateway, exchanger, expected, taken)
        check(len(served.arrivals) == count // 8 and not relay.arrivals, "nobody is served twice",
              f"{len(served.arrivals)} at the old exchanger, {len(relay.arrivals)} at the relay")
        again = gateway.run("take-over", postfix.spool)
        check(again.count("left alone") == 2 and "0 messages for 0 recipients" in again,
              "a second run finds nothing but the two", again)


def damage(postfix, expected):
    """A file cut short, and one that Postfix had not written to its end."""
    sample = sorted(postfix.files("deferred"))[0]
    with open(sample, "rb") as file:
        octets = file.read()
    for queue, name, mode, piece in (("deferred", "4jZWRECKEDz1", 0o700, octets[:-40]),
                                     ("incoming", "4jZUNREADYz1", 0o600, octets)):
        path = f"{postfix.spool}/{queue}/{name}"
        with open(path, "wb") as file:
            file.write(piece)
        os.chmod(path, mode)


def interrupted(gateway, postfix, folder):
    """What a crash leaves between our commit and the move: one message is in our queue, and its file still in theirs."""
    path = sorted(path for path in postfix.files("deferred") if "WRECKED" not in path)[3]
    copy = f"{folder}/copy"
    os.makedirs(f"{copy}/deferred")
    shutil.copy2(path, f"{copy}/deferred/")
    report = json.loads(gateway.run("take-over", "--json", copy))
    check([entry["state"] for entry in report["entries"]] == ["takenOver"], "one is committed by a run that is cut off")


def killed(postfix, folder):
    """A run that dies again and again, straight into the store of a gateway that is not running."""
    gateway = Gateway(f"{folder}/second", sources=["127.0.0.1:1"], exchanger_port=1, relay_port=1)
    names = sorted(path for path in postfix.files("deferred") if "WRECKED" not in path)[:80]
    os.makedirs(f"{folder}/other/deferred")
    for path in names:
        shutil.copy2(path, f"{folder}/other/deferred/")

    def aside():
        paths = glob.glob(f"{folder}/other/taken-over/**", recursive=True)
        return sum(os.path.isfile(path) for path in paths)
    deaths = 0
    for _ in range(20):
        before = aside()
        run = subprocess.Popen([BINARY, "take-over", "--config", gateway.config, f"{folder}/other"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and aside() == before:
            time.sleep(0.001)
        deaths += run.poll() is None
        run.kill()
        run.wait()
        if aside() == len(names):
            break
    gateway.run("take-over", f"{folder}/other")
    queued = gateway_queue(gateway)
    check(deaths > 0 and aside() == len(names) == len(queued) and len({entry["id"] for entry in queued}) == len(names),
          f"a run that is killed {deaths} times loses and doubles nothing", f"{aside()} aside, {len(queued)} queued")


def arrive(gateway, exchanger, expected, taken):
    deadline = time.monotonic() + PATIENCE
    wanted = sum(len({name.split("@")[1] for name in entry["recipients"]}) for entry in taken.values())
    exchanger.wait_for(wanted, PATIENCE)
    while time.monotonic() < deadline:
        queue = gateway_queue(gateway)
        if all(recipient["state"] == "delivered" for message in queue for recipient in message["recipients"]):
            break
        time.sleep(0.2)
    check(len(queue) == len(taken), "each is one message of ours", f"{len(queue)}")
    arrivals = exchanger.wait_for(wanted, 0)
    check(len(arrivals) == wanted, "each arrives once at each domain", f"{len(arrivals)} instead of {wanted}")
    contents_wanted = sorted(content for name, content in expected.items()
                             for _ in {address.split("@")[1] for address in taken[name]["recipients"]})
    same = sorted(arrival.content for arrival in arrivals) == contents_wanted
    check(same, "with the very octets that Postfix would have sent",
          first_difference(sorted(arrival.content for arrival in arrivals), contents_wanted))
    addresses = sorted(recipient for arrival in arrivals for recipient in arrival.recipients)
    check(addresses == sorted(name for entry in taken.values() for name in entry["recipients"]),
          "every recipient gets it, and only those whom Postfix had not served")
    check({arrival.sender for arrival in arrivals} == {"app@app.test", ""}, "with its reverse-path, null where it was")
    ours = {message["id"]: message for message in queue}
    check(all(ours[entry["id"]]["arrivedAt"][:19] == entry["arrivedAt"][:19] for entry in taken.values()),
          "the time of arrival is Postfix's")


def gateway_queue(gateway):
    return json.loads(gateway.run("queue", "list", "--all", "--json", "--limit", "5000"))


def first_difference(found, wanted):
    for one, other in zip(found, wanted):
        if one != other:
            return f"{one[:200]!r} instead of {other[:200]!r}"
    return f"{len(found)} and {len(wanted)}"


if __name__ == "__main__":
    main()
