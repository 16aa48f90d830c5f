#!/usr/bin/env python3
"""Runs the gateway on disks that fail, fill up, are locked, damaged or lose their power, and looks at every promise.

usage: run.py [--full] [--only NAME] [--keep]       the binary is HIKYAKU_BIN, else the debug build

The names are those of the scenarios below; each says what must come out. Without --full some places of each sweep are
tried, which takes two or three minutes; with it all of them are. Needs a C compiler; `full disk` needs root or unprivileged
user namespaces.
"""
import argparse, os, shutil, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time, traceback

from parts import HERE, LARGE, Client, Failure, Gateway, Hop, Ledger, content, expect, submit, until
import replay

SHIM = None
FULL = False
SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def acceptable(reply):
    """451, 452 and 421, or a closed connection: all of them leave the message with the client."""
    return reply.startswith(("451", "452", "421")) or reply == "closed"


@scenario
def sync_before_reply(directory):
    """D2: the flush of the log, of a large content and of its directory return before `250` is written."""
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    record = os.path.join(directory, "record")
    gateway.start(record=record)
    ledger = Ledger(hop)
    for size in [1_000, LARGE]:
        expect(ledger.submit(gateway, "d2", size).startswith("250"), "not accepted")
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    unsynced, seen = set(), 0
    for operation in replay.read(record):
        name = os.path.basename(operation.path)
        if operation.kind in ("write", "create") and (name.endswith("-wal") or name.endswith(".eml")):
            unsynced.add(operation.path)
            if operation.kind == "create":
                unsynced.add(os.path.dirname(operation.path))
        elif operation.kind == "unlink":
            unsynced.discard(operation.path)
        elif operation.kind == "sync":
            unsynced.discard(operation.path)
        elif operation.kind == "send" and b"queued as" in operation.data:
            seen += 1
            expect(not unsynced, f"250 was written before the flush of {unsynced}")
    expect(seen == 2, f"{seen} replies were seen")
    return "two replies, each after its flushes"


def sweep(directory, kinds, errno, times, stride, sizes):
    """Makes the n-th operation fail, for n = 1 and so on until none fails; returns a summary."""
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    ledger = Ledger(hop)
    pid, place, refused = gateway.process.pid, 1, 0
    while True:
        label = f"{errno}{place}"
        gateway.fault(f"after {place} {kinds} {errno} {times}")
        for size in sizes:
            reply = ledger.submit(gateway, label, size)
            expect(reply.startswith("250") or acceptable(reply), f"{kinds} {errno} at {place}: {reply}")
            refused += not reply.startswith("250")
        # A fault that stays keeps outcomes from being written; one that goes is met by them, too.
        until(0.3 if times == 0 else 2, lambda: not ledger.missing())
        _, failed = gateway.operations()
        gateway.fault("off")
        expect(gateway.is_alive(), f"the gateway died at {place}: {gateway.words()[-800:]}")
        reply = ledger.submit(gateway, label + "after")
        expect(reply.startswith("250"), f"{kinds} {errno} at {place} is over, and the next message reads {reply}")
        if failed == 0:
            break
        place += stride
    ledger.settle()
    expect(gateway.process.pid == pid and gateway.is_alive(), "the gateway was restarted")
    gateway.check()
    expect(gateway.kill(signal.SIGTERM) == 0, "the gateway did not end cleanly")
    expect(not [m for m in gateway.queued()], "something is left in the queue")
    gateway.check()
    return f"{place} places, {refused} refused, {len(ledger.acknowledged)} acknowledged and arrived, {ledger.extra()} extra"


def sweeps(kinds, errno, times, stride, sizes=(1_000, LARGE)):
    def run(directory):
        return sweep(directory, kinds, errno, times, 1 if FULL else stride, sizes)
    run.__name__ = f"fails_{errno}_{kinds}_{'once' if times else 'for_good'}"
    run.__doc__ = f"D3: {errno} at the n-th operation ({kinds}), {'once' if times else 'and all after it'}: 451, 452 or closed, never a lost 250."
    SCENARIOS.append(run)


sweeps("all", "EIO", 0, 4)
sweeps("all", "EIO", 1, 3)
sweeps("all", "ENOSPC", 0, 4)
sweeps("all", "EROFS", 0, 5)
sweeps("sync", "EIO", 1, 1)
sweeps("sync", "EIO", 0, 1)


@scenario
def sync_fails_then_crash(directory):
    """A commit whose flush failed is refused, and a crash right after it brings nothing back and loses nothing."""
    hop = Hop()
    hop.is_deferring = True
    gateway = Gateway(directory, hop, SHIM)
    ledger = Ledger(hop)
    refused = 0
    for place in range(1, 7):
        gateway.start()
        expect(ledger.submit(gateway, f"before{place}").startswith("250"), "not accepted")
        gateway.fault(f"after {place} sync EIO 1")
        for size in [1_000, LARGE]:
            reply = ledger.submit(gateway, f"crash{place}", size)
            expect(reply.startswith("250") or acceptable(reply), reply)
            refused += not reply.startswith("250")
        gateway.kill()
        gateway.fault("off")
        gateway.check()
    hop.is_deferring = False
    gateway.start()
    ledger.settle()
    expect(until(20, lambda: not gateway.queued()), f"left in the queue: {gateway.queued()}")
    gateway.kill(signal.SIGTERM)
    expect(set(hop.copies) == ledger.acknowledged, f"refused and sent: {set(hop.copies) - ledger.acknowledged}")
    expect(refused > 0, "no flush failed")
    return f"{refused} refused, none of them came back"


@scenario
def start_fails(directory):
    """The n-th operation of the start fails: it refuses with its reason, or starts; the queue is whole afterwards."""
    hop = Hop()
    hop.is_deferring = True
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    ledger = Ledger(hop)
    for number in range(4):
        expect(ledger.submit(gateway, "start", LARGE if number == 3 else 1_000).startswith("250"), "not accepted")
    gateway.kill()
    place, refusals = 1, 0
    while True:
        gateway.fault(f"after {place} all EIO 0")
        before = len(gateway.words())
        gateway.launch()
        until(20, lambda: gateway.process.poll() is not None or gateway.is_listening())
        _, failed = gateway.operations()
        if gateway.process.poll() is not None:
            refusals += 1
            words = gateway.words()[before:]
            expect(gateway.process.returncode > 0, f"ended with {gateway.process.returncode} at {place}: {words[-500:]}")
            expect(gateway.disk in words, f"does not name the file at {place}: {words[-500:]}")
        gateway.fault("off")
        gateway.kill()
        if failed == 0:
            break
        place += 1 if FULL else 3
    hop.is_deferring = False
    gateway.start()
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    gateway.check()
    return f"{place} places, {refusals} refusals"


@scenario
def full_disk(directory):
    """D4: 452 4.3.1 while there is no room; commands that read work; what has 250 is delivered when there is room again."""
    disk = os.path.join(directory, "small")
    os.makedirs(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode != 0:
        return "skipped: cannot mount a tmpfs here"
    hop = Hop()
    hop.is_deferring = True
    gateway = Gateway(directory, hop, SHIM, disk=disk)
    try:
        gateway.start()
        ledger = Ledger(hop)
        replies = [ledger.submit(gateway, "full", [1_000, 60_000, LARGE][n % 3]) for n in range(100)]
        wrong = [r for r in replies if not r.startswith(("250 ", "452 4.3.1"))]
        expect(not wrong, f"other replies than 250 and 452 4.3.1: {sorted(set(wrong))}")
        expect(any(r.startswith("452") for r in replies), "the disk was never full")
        for words in [("queue", "list"), ("status",), ("config", "show"), ("store", "check"), ("provider", "list")]:
            code, text = gateway.command(*words)
            expect(code == 0, f"{words} on a full disk: {text}")
        count = len(gateway.queued())
        expect(count == len(ledger.acknowledged), f"{count} are queued, {len(ledger.acknowledged)} were acknowledged")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        hop.is_deferring = False
        ledger.settle()
        expect(ledger.submit(gateway, "roomy", LARGE).startswith("250"), "still refuses with room")
        ledger.settle()
        expect(gateway.is_alive(), "the gateway died")
        gateway.kill(signal.SIGTERM)
        gateway.check()
        return f"{len(ledger.acknowledged)} acknowledged and delivered, {ledger.replies}"
    finally:
        gateway.kill()
        subprocess.run(["umount", "-l", disk])


@scenario
def locked(directory):
    """D5: somebody holds the database's lock: 451 after a bounded wait, no pile of threads, and it recovers."""
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    ledger = Ledger(hop)
    expect(ledger.submit(gateway, "free").startswith("250"), "not accepted")
    ledger.settle()
    threads = len(os.listdir(f"/proc/{gateway.process.pid}/task"))
    stranger = sqlite3.connect(gateway.data + "/hikyaku.db", isolation_level=None, timeout=10)
    stranger.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    replies = []
    clients = [threading.Thread(target=lambda: replies.append(ledger.submit(gateway, "locked", timeout=25))) for _ in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - began
    more = len(os.listdir(f"/proc/{gateway.process.pid}/task")) - threads
    stranger.execute("ROLLBACK")
    stranger.close()
    expect(all(r.startswith("451") for r in replies), f"{replies}")
    expect(took < 20, f"took {took:.0f} s")
    expect(more < 16, f"{more} more threads")
    expect(ledger.submit(gateway, "free").startswith("250"), "does not recover")
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    return f"20 times 451 after {took:.1f} s"


@scenario
def damaged(directory):
    """D6: a damaged page, a cut, overwritten or missing log, a missing database or garbage: refused by name, never begun empty."""
    hop = Hop()
    hop.is_deferring = True
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    ledger = Ledger(hop)
    for number in range(12):
        expect(ledger.submit(gateway, "queued").startswith("250"), "not accepted")
    gateway.kill()
    whole = os.path.join(directory, "whole")
    shutil.copytree(gateway.data, whole)
    database, log = gateway.data + "/hikyaku.db", gateway.data + "/hikyaku.db-wal"

    def patch(path, offset, count=4_096):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(b"U" * count)

    def checkpointed():
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    damages = {
        "a damaged page": lambda: (checkpointed(), patch(database, 3 * 4_096)),
        "a damaged first page": lambda: (checkpointed(), patch(database, 0, 512)),
        "garbage for a database": lambda: (checkpointed(), patch(database, 0, os.path.getsize(database))),
        "a cut log": lambda: os.truncate(log, os.path.getsize(log) * 2 // 3),
        "a hole in the log": lambda: patch(log, os.path.getsize(log) // 2, 100),
        "garbage for a log": lambda: patch(log, 0, os.path.getsize(log)),
        "no log": lambda: os.unlink(log),
        "no database": lambda: os.unlink(database),
        "an empty database": lambda: os.truncate(database, 0),
    }
    for name, damage in damages.items():
        shutil.rmtree(gateway.data)
        shutil.copytree(whole, gateway.data)
        damage()
        code, text = gateway.command("store", "check")
        expect(code == 1, f"{name}: the check ends with {code}: {text}")
        try:
            code, words = gateway.refusal()
        except Failure as failure:
            raise Failure(f"{name}: {failure}")
        expect(code == 69, f"{name}: ends with {code}")
        expect(gateway.data in words and "hikyaku.db" in words, f"{name}: does not name the file: {words}")
    shutil.rmtree(gateway.data)
    shutil.copytree(whole, gateway.data)
    hop.is_deferring = False
    gateway.start()
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    return f"{len(damages)} kinds of damage refused"


@scenario
def no_permission(directory):
    """D6: a database that may not be read is refused with its name and the reason."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return "skipped: needs root and setpriv, since root may read everything"
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    gateway.kill(signal.SIGTERM)
    subprocess.run(["chown", "-R", "65534:65534", directory], check=True)
    for name in [os.path.dirname(directory), directory]:
        os.chmod(name, 0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*as_nobody, gateway.binary, "version"], capture_output=True).returncode != 0:
        return "skipped: nobody may not run the binary here"
    os.chmod(gateway.data + "/hikyaku.db", 0)
    code, words = gateway.refusal(prefix=as_nobody)
    expect(code == 69 and gateway.data + "/hikyaku.db" in words and "ermission denied" in words, f"{code}: {words}")
    os.chmod(gateway.data + "/hikyaku.db", 0o600)
    gateway.start(prefix=as_nobody)
    gateway.kill(signal.SIGTERM)
    return "refused"


@scenario
def backup(directory):
    """A copy made under load can be started in the place of the original and loses nothing that was unfinished in it."""
    hop = Hop()
    hop.is_deferring = True
    gateway = Gateway(directory, hop, SHIM)
    gateway.start()
    ledger = Ledger(hop)
    for size in [1_000, LARGE, 1_000]:
        expect(ledger.submit(gateway, "kept", size).startswith("250"), "not accepted")
    stop = threading.Event()

    def load():
        noise = Ledger(hop)
        while not stop.is_set():
            noise.submit(gateway, f"noise{threading.get_ident()}", LARGE)
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    code, text = gateway.command("store", "backup", directory + "/copy")
    stop.set()
    for thread in threads:
        thread.join()
    expect(code == 0, text)
    gateway.kill(signal.SIGTERM)
    shutil.rmtree(gateway.data)
    os.rename(directory + "/copy", gateway.data)
    hop.is_deferring = False
    gateway.start()
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    code, text = gateway.command("store", "compact")
    expect(code == 0, text)
    gateway.check()
    return text.strip()


@scenario
def second_process(directory):
    """D8: a second gateway on the same store refuses and names the first; so does a compaction."""
    hop = Hop()
    first = Gateway(directory, hop, SHIM)
    first.start()
    other = os.path.join(directory, "other")
    os.makedirs(other)
    second = Gateway(other, hop, SHIM, disk=first.disk)
    code, words = second.refusal()
    expect(code == 69 and f"in use by process {first.process.pid}" in words, f"{code}: {words}")
    code, text = first.command("store", "compact")
    expect(code == 69 and "in use by process" in text, text)
    expect(submit(first.port, "x").startswith("250"), "the first one is not well")
    first.kill(signal.SIGTERM)
    return "refused"


@scenario
def clock_jumps(directory):
    """D7: the clock jumps a day, both ways and across a restart: nothing expires early, and nothing waits for a day."""
    hop = Hop()
    hop.is_deferring = True
    # Shorter than the jump: a clock that is believed at once would bounce everything.
    gateway = Gateway(directory, hop, SHIM)
    with open(gateway.config, "a") as file:
        file.write("\n")
    text = open(gateway.config).read().replace("retry: { ", "retry: { expire-after: 12h, ")
    open(gateway.config, "w").write(text)
    jumps = [("forward", 86_400), ("back", 0), ("further back", -86_400), ("forward again", 0)]

    def jump(seconds):
        with open(gateway.clock + ".new", "w") as file:
            file.write(str(seconds))
        os.rename(gateway.clock + ".new", gateway.clock)
    jump(0)
    gateway.start(clock=True)
    ledger = Ledger(hop)
    for name, seconds in jumps:
        hop.is_deferring = True
        expect(ledger.submit(gateway, name.replace(" ", "")).startswith("250"), "not accepted")
        expect(until(10, lambda: all(m["recipients"][0]["attempts"] >= 1 for m in gateway.queued())), f"{name}: no attempt")
        jump(seconds)
        expect(ledger.submit(gateway, name.replace(" ", "")).startswith("250"), "not accepted")
        hop.is_deferring = False
        expect(until(15, lambda: not ledger.missing()), f"{name}: {len(ledger.missing())} of them wait or expired")
    # Back by a day while it is stopped.
    hop.is_deferring = True
    expect(ledger.submit(gateway, "restart").startswith("250"), "not accepted")
    expect(until(10, lambda: all(m["recipients"][0]["attempts"] >= 1 for m in gateway.queued())), "no attempt")
    gateway.kill()
    jump(-86_400)
    hop.is_deferring = False
    gateway.start(clock=True)
    expect(until(15, lambda: not ledger.missing()), "back across a restart: it waits for a day")
    gateway.kill(signal.SIGTERM)
    return "delivered within seconds after each jump"


@scenario
def stops_in_time(directory):
    """D9: SIGTERM with 50 sessions and 50 deliveries: ended in time, past the dot finished, nothing lost."""
    hop = Hop()
    hop.delay = 3
    gateway = Gateway(directory, hop, SHIM, settings="limits: { per-destination: 60, per-destination-start: 60 }")
    gateway.start()
    ledger = Ledger(hop)
    senders = [threading.Thread(target=lambda: ledger.submit(gateway, "flight")) for _ in range(50)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    expect(until(20, lambda: hop.waiting >= 50), f"{hop.waiting} deliveries are in flight")
    idle = [Client(gateway.port) for _ in range(40)]
    started = [Client(gateway.port) for _ in range(10)]
    for client in started:
        for command in ["EHLO x", "MAIL FROM:<a@app.test>", "RCPT TO:<u@x.test>", "DATA"]:
            client.ask(command)
    for number, client in enumerate(started):
        client.send(content(f"late-{number}", 1_000))
    began = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    expect(until(5, lambda: not gateway.is_listening()), "still accepts connections")
    for number, client in enumerate(started[:5]):
        client.send(b".\r\n")
        if client.reply().startswith("250"):
            ledger.acknowledged.add(f"late-{number}")
    said = {client.reply()[:9] for client in idle}
    code = gateway.process.wait(15)
    took = time.monotonic() - began
    expect(code == 0, f"ended with {code}")
    expect(took < 10, f"took {took:.1f} s")
    expect(said == {"421 4.3.2"}, f"idle sessions read {said}")
    hop.delay = 0
    gateway.start()
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    expect(ledger.extra() == 0, f"{ledger.extra()} extra copies after a clean stop")
    return f"ended in {took:.1f} s, {len(ledger.acknowledged)} acknowledged and arrived once"


@scenario
def no_descriptors(directory):
    """More clients than descriptors: who is too many reads 421 4.3.2; it goes on when they are gone."""
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    gateway.start(prefix=["prlimit", "--nofile=560:560"])
    ledger = Ledger(hop)
    expect(ledger.submit(gateway, "before", LARGE).startswith("250"), "not accepted")
    ledger.settle()
    crowd = []
    for _ in range(150):
        try:
            crowd.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=2))
        except OSError:
            break
    replies = [ledger.submit(gateway, "crowd", size, timeout=3) for size in [1_000, LARGE]]
    for client in crowd:
        client.settimeout(0.5)
    greetings = []
    for client in crowd:
        try:
            greetings.append(client.recv(200)[:9].decode() or "closed")
        except TimeoutError:
            greetings.append("silent")
        except OSError:
            greetings.append("closed")
    for client in crowd:
        client.close()
    counts = {g: greetings.count(g) for g in set(greetings)}
    expect(gateway.is_alive(), f"the gateway died: {gateway.words()[-800:]}")
    expect(all(r.startswith("250") or acceptable(r) or r == "timeout" for r in replies), f"{replies}")
    expect("silent" not in counts, f"connections that nobody answers: {counts}")
    expect(until(10, lambda: ledger.submit(gateway, "after", LARGE).startswith("250")), "does not recover")
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    return f"{counts}, then it goes on"


@scenario
def power_loss(directory):
    """D11: at many instants the power goes; what was not flushed is lost, whole or in part; what was acknowledged is there."""
    hop = Hop()
    gateway = Gateway(directory, hop, SHIM)
    record = os.path.join(directory, "record")
    gateway.start(record=record)
    ledger = Ledger(hop)
    hop.is_deferring = True

    def load(number):
        for turn in range(6):
            ledger.submit(gateway, f"power{number}", [1_000, 30_000, LARGE][turn % 3])
    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads[:2]:
        thread.join()
    hop.is_deferring = False
    for thread in threads:
        thread.join()
    ledger.settle()
    gateway.kill(signal.SIGTERM)
    images = os.path.join(directory, "images")
    summary = replay.run(gateway, record, images, cuts=400 if FULL else 40)
    replay.notices(gateway, record, images)
    return summary


def main():
    global SHIM, FULL
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every place of every sweep")
    parser.add_argument("--only", action="append", help="a part of a scenario's name")
    parser.add_argument("--keep", action="store_true", help="keep the directories of scenarios that passed")
    options = parser.parse_args()
    FULL = options.full
    if "DURABILITY_OWN_MOUNTS" not in os.environ:
        # Mounts of ours vanish with us, and nobody else sees them.
        enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*enter, "true"], capture_output=True).returncode == 0:
            os.environ["DURABILITY_OWN_MOUNTS"] = "1"
            os.execvp(enter[0], [*enter, sys.executable, *sys.argv])
    base = tempfile.mkdtemp(prefix="hikyaku-durability-")
    SHIM = os.path.join(base, "faults.so")
    compiler = shutil.which("cc") or shutil.which("clang") or shutil.which("gcc")
    if not compiler:
        raise SystemExit("a C compiler is needed for the fault layer")
    subprocess.run([compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", SHIM, HERE + "/faults.c", "-ldl", "-lpthread"], check=True)
    failed = passed = 0
    for number, run in enumerate(SCENARIOS):
        if options.only and not any(word in run.__name__ for word in options.only):
            continue
        directory = os.path.join(base, f"{number:02d}-{run.__name__}")
        os.makedirs(directory)
        began = time.monotonic()
        try:
            summary = run(directory)
            passed += 1
            print(f"ok      {run.__name__}: {summary} ({time.monotonic() - began:.0f} s)", flush=True)
            if not options.keep:
                shutil.rmtree(directory, ignore_errors=True)
        except Exception as error:
            failed += 1
            words = str(error) if isinstance(error, Failure) else traceback.format_exc()
            print(f"FAILED  {run.__name__}: {words}\n        kept: {directory}", flush=True)
        finally:
            Gateway.end_all()
    print(f"durability: {passed} passed, {failed} failed")
    if not failed and not options.keep:
        shutil.rmtree(base, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
