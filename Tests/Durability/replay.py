"""Reads what the fault layer recorded, and makes the disks that a loss of power could have left.

The model: what was written to a file is safe once the file was synced; a name is safe once the directory it is in was
synced. Everything later is lost, or there, or there in part, by the choice of a seed: each write of a file that was not
synced is kept, dropped or torn at a multiple of 512 octets; each unsynced name is kept or dropped in its order. The
parent of the store is safe from the beginning.
"""
import os, random, re, shutil

SECTOR = 512


class Operation:
    __slots__ = ("kind", "path", "other", "offset", "data")

    def __init__(self, kind, path, other, offset, data):
        self.kind, self.path, self.other, self.offset, self.data = kind, path, other, offset, data


def read(record):
    """Yields the operations of a record; one that the end cut off is left out."""
    with open(record, "rb") as file:
        while line := file.readline():
            kind, path, other, offset, size = line.rstrip(b"\n").split(b"\t")
            data = file.read(int(size))
            if len(data) < int(size):
                return
            yield Operation(kind.decode(), path.decode(), other.decode(), int(offset), data)


class File:
    """What is on the disk for sure, and what came since."""

    def __init__(self):
        self.safe = bytearray()
        self.pending = []

    def sync(self):
        for change in self.pending:
            apply(self.safe, change)
        self.pending = []

    def after_loss(self, chance, mode):
        content = bytearray(self.safe)
        for change in self.pending:
            if mode == "nothing":
                continue
            kind, offset, data = change
            if mode == "everything" or chance.random() < 0.5:
                apply(content, change)
            elif kind == "write" and len(data) > SECTOR and chance.random() < 0.5:
                sectors = len(data) // SECTOR
                first = chance.randrange(sectors)
                last = chance.randrange(first, sectors) + 1
                apply(content, ("write", offset + first * SECTOR, data[first * SECTOR:last * SECTOR]))
        return content


def apply(content, change):
    kind, offset, data = change
    if kind == "truncate":
        if len(content) > offset:
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset:offset + len(data)] = data


class Disk:
    """The state of a file system with its unsynced part; names map to files or to None for directories."""

    def __init__(self, root):
        self.root = root
        self.now = {}  # what a running system sees
        self.safe = {}  # what a loss of power cannot take
        self.changes = {}  # of each directory, since it was synced: (name, file or None, is there)

    def parent(self, path):
        return os.path.dirname(path)

    def set(self, path, file, is_there):
        if is_there:
            self.now[path] = file
        else:
            self.now.pop(path, None)
        self.changes.setdefault(self.parent(path), []).append((path, file, is_there))

    def run(self, operation):
        kind, path = operation.kind, operation.path
        if kind == "create":
            self.set(path, File(), True)
        elif kind == "mkdir":
            self.set(path, None, True)
        elif kind == "unlink":
            self.set(path, None, False)
        elif kind == "rename":
            file = self.now.get(path)
            self.set(path, None, False)
            self.set(operation.other, file, True)
        elif kind == "link":
            self.set(operation.other, self.now.get(path), True)
        elif kind in ("write", "truncate"):
            file = self.now.get(path)
            if file is not None:
                file.pending.append((kind, operation.offset, operation.data))
        elif kind == "sync":
            if isinstance(self.now.get(path), File):
                self.now[path].sync()
            else:
                self.sync_directory(path)

    def sync_directory(self, path):
        for name, file, is_there in self.changes.pop(path, []):
            if is_there:
                self.safe[name] = file
            else:
                self.safe.pop(name, None)

    def after_loss(self, target, chance, mode):
        """Writes what is left of the disk below a new directory."""
        names = dict(self.safe)
        for changes in self.changes.values():
            kept = {"nothing": 0, "everything": len(changes)}.get(mode, chance.randrange(len(changes) + 1) if changes else 0)
            # A journal keeps the changes of a directory in their order; what it had not written is lost from the end.
            for name, file, is_there in changes[:kept]:
                if is_there:
                    names[name] = file
                else:
                    names.pop(name, None)
        os.makedirs(target, exist_ok=True)
        for name, file in sorted(names.items()):
            path = target + name[len(self.root):]
            if file is None:
                os.makedirs(path, exist_ok=True)
            elif os.path.isdir(os.path.dirname(path)):
                with open(path, "wb") as out:
                    out.write(file.after_loss(chance, mode))


def acknowledged(operations):
    """Where in the record each message was acknowledged, by its queue id."""
    for index, operation in enumerate(operations):
        if operation.kind == "send":
            for found in re.finditer(rb"250 2\.0\.0 [^\r\n]*queued as (\w+)", operation.data):
                yield index, found.group(1).decode()


def delivered(operations, ids):
    """Where in the record the content of each message was sent to the next hop, by its queue id in a trace field."""
    places = {}
    for index, operation in enumerate(operations):
        if operation.kind == "send":
            for found in re.finditer(rb"\bid (\w+)", operation.data):
                name = found.group(1).decode()
                if name in ids:
                    places.setdefault(name, index)
    return places


def notices(gateway, record, directory, cuts=40):
    """Leaves each kind of flush out of a record and fails unless that loses something: what the model is worth."""
    from parts import Failure, expect
    flushes = {
        "of the log": "-wal",
        "of a content": ".eml",
        "of the contents' names": "/content",
        "of the store's names": "/data",
    }
    for name, end in flushes.items():
        left = [o for o in read(record) if not (o.kind == "sync" and o.path.endswith(end))]
        try:
            cut(gateway, left, directory, cuts, random.randrange(1 << 30), starts=False)
        except Failure:
            continue
        expect(False, f"a store without the flush {name} passes: the model is too kind")


def run(gateway, record, directory, cuts, seed=None):
    """Cuts the power at many instants of a record and opens every disk that may be left; returns a summary."""
    seed = random.randrange(1 << 30) if seed is None else seed
    return cut(gateway, list(read(record)), directory, cuts, seed, starts=True)


def cut(gateway, operations, directory, cuts, seed, starts):
    """Cuts the power at some instants; with `starts` a gateway is started on each disk, too."""
    from parts import Failure, expect
    chance = random.Random(seed)
    acks = list(acknowledged(operations))
    sent = delivered(operations, {name for _, name in acks})
    expect(len(acks) > 10, f"only {len(acks)} messages were acknowledged")
    points = {index + 1 for index, _ in acks} | {i for i, o in enumerate(operations) if o.kind == "sync"}
    points |= {chance.randrange(len(operations)) for _ in range(cuts)}
    points = sorted(chance.sample(sorted(points), min(cuts, len(points))))
    disk, done, images = Disk(gateway.disk), 0, 0
    for point in points:
        for operation in operations[done:point]:
            disk.run(operation)
        done = point
        mode = chance.choice(["nothing", "everything", "some", "some", "some"])
        image = os.path.join(directory, f"{point}-{mode}")
        disk.after_loss(image, chance, mode)
        want = {name for index, name in acks if index < point}
        # What was on its way to the next hop may be finished, with its content gone.
        certain = {name for name in want if sent.get(name, len(operations)) >= point}
        try:
            examine(gateway, image + "/data", want, certain, starts)
        except Failure as failure:
            raise Failure(f"power lost at operation {point} of {len(operations)} ({mode}, seed {seed}): {failure}; see {image}")
        shutil.rmtree(image)
        images += 1
    return f"{images} disks of {len(operations)} operations, {len(acks)} acknowledged, seed {seed}"


def examine(gateway, data, want, certain, starts):
    """All of `want` must be known, all of `certain` with their content; a gateway must start on it."""
    from parts import expect
    if want:
        code, text = gateway.command("store", "check", data)
        expect(code == 0, f"check: {text}")
        there = contents(data)
        lost = want - set(there)
        expect(not lost, f"acknowledged and not there: {sorted(lost)}")
        torn = sorted(name for name in certain if not there[name])
        expect(not torn, f"the content is not there or not whole: {torn}")
    if starts:
        gateway.start_on(data)
        gateway.kill()


def contents(data):
    """The messages of a store by queue id, and whether the hash in the header fits the body."""
    import hashlib, sqlite3
    found = {}
    connection = sqlite3.connect(data + "/hikyaku.db")
    for number, flags, content in connection.execute(
            "SELECT id, flags, content FROM messages LEFT JOIN contents ON message = id"):
        name = queue_id(number)
        if flags & 8:
            path = f"{data}/content/{name}.eml"
            content = open(path, "rb").read() if os.path.exists(path) else None
        if content is None:
            found[name] = False
            continue
        head, _, body = content.partition(b"\r\n\r\n")
        found[name] = hashlib.sha256(body).hexdigest().encode() in head
    connection.close()
    return found


def queue_id(number):
    """A queue id as the gateway writes it: Crockford's base 32, 12 characters."""
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> shift) & 31] for shift in range(55, -1, -5))
