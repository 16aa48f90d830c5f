"""What stands behind the gateway under test: next hops by SMTP and by HTTP API, and a name server; all on loopback."""
import email, email.policy, hashlib, http.server, json, os, re, socket, socketserver, ssl, subprocess, threading, time, urllib.parse


class Arrivals:
    """Every copy that any next hop has taken, and the order to kill just when one is taken."""

    def __init__(self):
        self.lock = threading.Lock()
        self.copies = {}      # (token, recipient): how often
        self.identities = {}  # token: what the copies say of themselves, beyond the content
        self.torn = []
        self.listed = {}      # Message-ID: for whom a service that can be asked has taken the message
        self.told, self.repeated = set(), []  # what it was asked about and named, and what of that came again
        self.killer, self.countdown = None, 0

    def kill_at(self, count, killer):
        """Has the gateway killed when it has sent its final dot or last octet for the n-th time and not read the answer."""
        with self.lock:
            self.killer, self.countdown = killer, count

    def list(self, message, recipients):
        with self.lock:
            self.repeated += [(message, each) for each in recipients if (message, each) in self.told]
            self.listed.setdefault(message, set()).update(recipients)

    def tell(self, message):
        with self.lock:
            recipients = self.listed.get(message, set())
            self.told |= {(message, each) for each in recipients}
            return sorted(recipients)

    def record(self, token, recipients, is_whole, identity):
        with self.lock:
            for recipient in recipients:
                self.copies[token, recipient] = self.copies.get((token, recipient), 0) + 1
            self.identities.setdefault(token, set()).add(identity)
            if not is_whole:
                self.torn.append(token)
            self.countdown -= 1
            killer = self.killer if self.countdown == 0 else None
        if killer:
            killer()

    def record_message(self, content, recipients):
        head, _, body = content.partition(b"\r\n\r\n")
        field = lambda name: re.search(rb"^" + name + rb": (\S+)", head, re.M | re.I).group(1).decode()
        is_whole = hashlib.sha256(body).hexdigest() == field(b"X-Hash")
        self.record(field(b"X-Token"), recipients, is_whole, field(b"Message-ID"))


class Exchanger(socketserver.ThreadingTCPServer):
    """A plain SMTP server; one that stops in the middle of a message has taken nothing."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, arrivals, address="127.0.0.1", port=0):
        super().__init__((address, port), ExchangerSession)
        self.arrivals, self.port = arrivals, self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # The gateway was killed in the middle of a line.


class ExchangerSession(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        self.say(b"220 next.hop.test ESMTP")
        recipients = []
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say(b"250-next.hop.test\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                self.server.arrivals.record_message(b"".join(lines), recipients)
                self.say(b"250 2.0.0 taken")
            elif verb == b"QUIT":
                return self.say(b"221 bye")
            else:
                if verb == b"MAIL":
                    recipients = []
                elif verb == b"RCPT":
                    recipients.append(line[line.index(b"<") + 1:line.index(b">")].decode())
                self.say(b"250 ok")

    def say(self, text):
        self.wfile.write(text + b"\r\n")


class MailAPI(http.server.ThreadingHTTPServer):
    """As much of SendGrid and Mailgun as takes a message; their certificate is made here."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, arrivals, folder):
        super().__init__(("127.0.0.1", 0), APICall)
        self.arrivals, self.port = arrivals, self.server_address[1]
        self.certificate = os.path.join(folder, "api.pem")
        key = os.path.join(folder, "api.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
             "30", "-subj", "/CN=api.test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
             self.certificate], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        # The handshake is made by the thread of the connection, not by the one that accepts.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # The gateway was killed in the middle of a request.


class APICall(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:
            return
        if self.path.endswith("/mail/send"):
            self.take_sendgrid(json.loads(body))
            self.answer(202, b"")
        else:
            self.take_mailgun(body)
            self.answer(200, b'{"id": "<1@mg.test>", "message": "Queued. Thank you."}')

    def do_GET(self):
        # Mailgun's events, of which there is one "accepted" for each recipient of a message.
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        recipients = self.server.arrivals.tell(asked["message-id"][0])
        items = [{"event": "accepted", "recipient": each} for each in recipients]
        self.answer(200, json.dumps({"items": items}).encode())

    def take_sendgrid(self, mail):
        person = mail["personalizations"][0]
        recipients = [each["email"] for kind in ("to", "cc", "bcc") for each in person.get(kind) or []]
        headers = {**(mail.get("headers") or {}), **(person.get("headers") or {})}
        text = mail["content"][0]["value"].replace("\r\n", "\n").encode().replace(b"\n", b"\r\n")
        is_whole = hashlib.sha256(text).hexdigest() == headers["X-Hash"]
        self.server.arrivals.record(headers["X-Token"], recipients, is_whole, json.dumps(mail["custom_args"]))

    def take_mailgun(self, body):
        form = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        boundary = email.message_from_bytes(form).get_boundary().encode()
        recipients = []
        for part in body.split(b"--" + boundary):
            head, _, content = part.partition(b"\r\n\r\n")
            if b'name="to"' in head:
                recipients.append(content.strip().decode())
            elif b'name="message"' in head:
                message = content.removesuffix(b"\r\n")
        identity = re.search(rb"^Message-ID: <(.*)>\r$", message, re.M | re.I).group(1).decode()
        self.server.arrivals.list(identity, recipients)
        self.server.arrivals.record_message(message, recipients)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Message-Id", "recorded")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class NameServer:
    """dnsmasq, which knows domains d0.test, d1.test, ... with an exchanger each at 127.0.0.2, 127.0.0.3, ..."""

    def __init__(self, domains):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = ["dnsmasq", "-k", "--conf-file=/dev/null", "-p", str(self.port), "--listen-address=127.0.0.1",
                   "--bind-interfaces", "--no-resolv", "--no-hosts", "--local=/test/", "--pid-file="]
        for number in range(domains):
            command += [f"--mx-host=d{number}.test,mx{number}.test,10",
                        f"--host-record=mx{number}.test,127.0.0.{number + 2}"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
