import Delivery
import Foundation
import Logging
import MailModel
import TestKit
import Testing

@testable import Gateway

@Suite("The listeners of the whole gateway")
struct ListenerTests {
    private func chain(_ exchanger: FakeExchanger) -> String {
        "chain: [relay]\nproviders:\n" + relay("relay", exchanger)
    }

    @Test("a user logs in with the password of the hash, and is on record; another password is refused")
    func knowsItsUsers() async throws {
        let hash = try PasswordHash(of: "correct horse")
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let listener = "{ port: 0, auth: required, auth-without-tls: true, allow: none }"
            let text =
                "users: { app: \"\(hash)\" }\ndata-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\n"
                + self.chain(exchanger)
            try await folder.run(whole: text) { gateway in
                let stranger = try await Client(gateway.port)
                #expect(try await stranger.say("MAIL FROM:<a@example.test>").hasPrefix("530 5.7.0"))
                let wrong = try await Client(gateway.port)
                #expect(
                    try await wrong.say("AUTH PLAIN \(Client.plain("app", "correct horse "))").hasPrefix("535 5.7.8")
                )
                #expect(try await wrong.say("MAIL FROM:<a@example.test>").hasPrefix("530 5.7.0"))
                let client = try await Client(gateway.port)
                #expect(
                    try await client.say("AUTH PLAIN \(Client.plain("app", "correct horse"))").hasPrefix("235 2.7.0")
                )
                let reply = try await client.deliver("Subject: x\r\n\r\nx\r\n")
                let id = try #require(reply.split(separator: " ").last.flatMap(QueueID.init))
                let record = try await gateway.wait(for: id, .delivered)
                #expect(record.submission.user == "app")
                #expect(exchanger.record.messages.first?.content.contains(" with ESMTPA id \(id)") == true)
            }
        }
    }

    @Test(
        "what follows a line that is no field is the beginning of the body, and nothing of it is lost",
        arguments: [
            "no header at all, code 123456\r\n",
            "Hello, first paragraph.\r\n\r\nsecond paragraph\r\n",
            "Subject: one\r\nThis line is no field\r\nX-Last: field\r\n\r\nbody one\r\n",
            "From x@y Mon Jan 1\r\nSubject: mbox\r\n\r\nbody four\r\n",
            "not a field\r\n\r\n" + String(repeating: String(repeating: "x", count: 998) + "\r\n", count: 600),
        ]
    )
    func keepsStrayLines(text: String) async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            try await folder.run(self.chain(exchanger)) { gateway in
                _ = try await gateway.wait(for: try await gateway.accept(Array(text.utf8)), .delivered)
                let content = try #require(exchanger.record.messages.first?.content)
                let body = text.hasPrefix("Subject: one\r\n") ? text.dropFirst("Subject: one\r\n".count) : text[...]
                #expect(content.hasSuffix("\r\n\r\n" + body))
            }
        }
    }

    @Test("who is in no allowed network is refused, and nothing is kept")
    func refusesStrangers() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let listener = "{ port: 0, allow: 192.0.2.0/24 }"
            let text = "data-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\n" + self.chain(exchanger)
            try await folder.run(whole: text) { gateway in
                let reply = try await gateway.submit()
                #expect(reply.hasPrefix("550 5.7.1"), "\(reply)")
                #expect(try await folder.records().isEmpty)
            }
        }
    }

    @Test("a certificate is made once for a name, kept for the owner alone, and made anew for another name")
    func makesItsCertificate() throws {
        let folder = try GatewayFolder()
        let files = try SelfSignedCertificate.files(in: folder.data, hostname: "gw.example.test")
        let first = try String(contentsOfFile: files.certificate, encoding: .utf8)
        #expect(SystemEnvironment.permissions(of: files.key) == 0o600)
        _ = try SelfSignedCertificate.files(in: folder.data, hostname: "gw.example.test")
        #expect(try String(contentsOfFile: files.certificate, encoding: .utf8) == first)
        _ = try SelfSignedCertificate.files(in: folder.data, hostname: "other.example.test")
        let second = try String(contentsOfFile: files.certificate, encoding: .utf8)
        #expect(second != first)
        try "damaged".write(toFile: files.certificate, atomically: false, encoding: .utf8)
        _ = try SelfSignedCertificate.files(in: folder.data, hostname: "other.example.test")
        #expect(try String(contentsOfFile: files.certificate, encoding: .utf8).hasPrefix("-----BEGIN CERTIFICATE-----"))
    }

    @Test("TLS works with the certificate that was made, and the Received field says so", arguments: [false, true])
    func encrypts(_ isImplicit: Bool) async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            let listener = "{ port: 0, tls: \(isImplicit ? "implicit" : "starttls"), allow: loopback }"
            let text = "data-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\n" + self.chain(exchanger)
            try await folder.run(whole: text) { gateway in
                let client = try await TLSDialogueClient(port: gateway.port, implicit: isImplicit)
                _ = try await client.reply()
                if !isImplicit {
                    _ = try await client.ask("EHLO app.example.test")
                    #expect(try await client.ask("STARTTLS")?.hasPrefix("220 2.0.0") == true)
                    try await client.startTLS()
                }
                let commands = [
                    "EHLO app.example.test", "MAIL FROM:<app@example.test>", "RCPT TO:<user@example.net>", "DATA",
                ]
                for command in commands {
                    _ = try await client.ask(command)
                }
                let reply = try await client.ask("Subject: x\r\n\r\nx\r\n.")
                let id = try #require(reply?.split(separator: " ").last.flatMap(QueueID.init))
                _ = try await gateway.wait(for: id, .delivered)
                #expect(exchanger.record.messages.first?.content.contains(" with ESMTPS id \(id)") == true)
            }
        }
    }

    @Test("a renewed certificate is shown after SIGHUP; one that cannot be used leaves the old one")
    func renewsItsCertificate() async throws {
        let material = try TLSMaterial.shared.get()
        let folder = try GatewayFolder()
        let (certificate, key) = (folder.path + "/a.crt", folder.path + "/a.key")
        let write = { (pem: String, keyPEM: String) in
            try pem.write(toFile: certificate, atomically: true, encoding: .utf8)
            try keyPEM.write(toFile: key, atomically: true, encoding: .utf8)
        }
        try write(try material.chain("leaf"), try material.key("leaf"))
        let listener = "{ port: 0, tls: implicit, certificate-file: \(certificate), key-file: \(key) }"
        let text = "data-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\nchain: [direct]\n"
        let configuration = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: [:])
        try await folder.run(configuration, .silent) { gateway, service in
            let shown = {
                let client = try await TLSDialogueClient(port: gateway.port, implicit: true)
                _ = try await client.reply()
                return try await client.serverCertificate()
            }
            let kept = try await TLSDialogueClient(port: gateway.port, implicit: true)
            _ = try await kept.reply()
            #expect(try await shown() == material.octets("leaf.cert.der"))
            try write(try material.chain("selfsigned"), try material.key("selfsigned"))
            #expect(try await shown() == material.octets("leaf.cert.der"))
            service.lookAgain()
            #expect(try await shown() == material.octets("selfsigned.cert.der"))
            for (pem, keyPEM) in [("damaged", try material.key("leaf")), (try material.chain("leaf"), "damaged")] {
                try write(pem, keyPEM)
                service.lookAgain()
                #expect(try await shown() == material.octets("selfsigned.cert.der"))
            }
            // A certificate whose key comes a moment later.
            try write(try material.chain("leaf"), try material.key("selfsigned"))
            service.lookAgain()
            #expect(try await shown() == material.octets("selfsigned.cert.der"))
            #expect(try await kept.ask("NOOP")?.hasPrefix("250") == true)
        }
    }

    @Test("REQUIRETLS is kept from the client to the last way out, and its bounce is protected alike (RFC 8689)")
    func requiresTLS() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            // A next hop in clear text, and one by an address for whose name nothing vouches.
            let direct = "{ kind: direct-mx, port: \(exchanger.port), allow-networks: [127.0.0.0/8] }"
            let ways = "chain: [relay, direct]\nproviders:\n\(relay("relay", exchanger))\n  direct: \(direct)\n"
            let listener = "{ port: 0, tls: implicit, allow: loopback }"
            let text = "data-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\n\(ways)"
            try await folder.run(whole: text) { gateway in
                let client = try await TLSDialogueClient(port: gateway.port, implicit: true)
                _ = try await client.reply()
                _ = try await client.ask("EHLO app.example.test")
                let sender = "app@[127.0.0.1]"
                for command in ["MAIL FROM:<\(sender)> RET=FULL REQUIRETLS", "RCPT TO:<user@[127.0.0.1]>", "DATA"] {
                    _ = try await client.ask(command)
                }
                let reply = try await client.ask("Subject: x\r\n\r\nthe body\r\n.")
                let id = try #require(reply?.split(separator: " ").last.flatMap(QueueID.init))
                let record = try await gateway.wait(for: id, .bounced)
                #expect(record.attempts.map(\.provider) == ["relay", "direct"])
                #expect(record.attempts.map { $0.outcomes.first?.status } == ["5.7.30", "5.7.10"])
                #expect(exchanger.record.messages.isEmpty)
                try await eventually("the bounce is refused, too") {
                    let bounce = try await folder.records().first { $0.id != id }
                    return bounce?.recipients.first?.state == .bounced
                }
                #expect(exchanger.record.messages.isEmpty)
            }
        }
    }

    @Test("a certificate that cannot be read stops the start with the listener's name and the path")
    func namesTheCertificate() async throws {
        let folder = try GatewayFolder()
        let listener = "{ port: 0, tls: starttls, certificate-file: /nowhere/a.crt, key-file: /nowhere/a.key }"
        let text = "data-directory: \(folder.data)\nlisteners:\n  smtp: \(listener)\nchain: [direct]\n"
        let configuration = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: [:])
        do {
            _ = try await GatewayService(configuration, logger: .silent)
            Issue.record("it started")
        } catch {
            #expect("\(error)".hasPrefix("listeners.smtp: "), "\(error)")
            #expect("\(error)".contains("/nowhere/a."), "\(error)")
        }
    }

    @Test("`hikyaku send` brings a message through, in UTF-8")
    func sendsTestMessages() async throws {
        try await FakeExchanger.run { exchanger in
            let folder = try GatewayFolder()
            try await folder.run(self.chain(exchanger)) { gateway in
                let reply = try await TestMessage.send(
                    from: SampleMail.mailbox("app@example.test"),
                    to: SampleMail.mailbox("user@example.net"),
                    subject: "hello",
                    body: "確認コード",
                    through: try #require(IPAddress("127.0.0.1")),
                    port: gateway.port
                )
                #expect(reply.code == 250)
                let id = try #require(reply.text.split(separator: " ").last.flatMap { QueueID($0) })
                _ = try await gateway.wait(for: id, .delivered)
                #expect(exchanger.record.messages.first?.content.hasSuffix("\r\n\r\n確認コード\r\n") == true)
            }
        }
    }
}

/// A client that has said EHLO.
private struct Client {
    private let socket: DialogueSocket

    init(_ port: Int) async throws {
        self.socket = try DialogueSocket(port: port)
        _ = try await self.socket.reply()
        _ = try await self.say("EHLO app.example.test")
    }

    func say(_ line: String) async throws -> String {
        try await self.socket.send(line + "\r\n")
        return try await self.socket.reply() ?? ""
    }

    func deliver(_ content: String) async throws -> String {
        for line in ["MAIL FROM:<app@example.test>", "RCPT TO:<user@example.net>", "DATA"] {
            _ = try await self.say(line)
        }
        return try await self.say(content + ".")
    }

    static func plain(_ user: String, _ password: String) -> String {
        Data("\0\(user)\0\(password)".utf8).base64EncodedString()
    }
}
