import Foundation
import TestKit

/// A real Postfix with folders of its own that takes mail for `example.test` and keeps it in maildirs.
///
/// Of further domains it takes mail for `anna`, into a maildir that bears the name of the domain.
struct PostfixServer {
    /// The most that it takes in one message, in octets.
    static let sizeLimit = 200_000

    let port: Int
    private let folder: URL
    private let domains: [String]

    var authorityFile: String { self.folder.appendingPathComponent("authority.pem").path }

    /// Runs a Postfix while the body runs; `master` must be started by root, whose children then give that up.
    static func run(domains: [String] = [], _ body: (PostfixServer) async throws -> Void) async throws {
        try await ServerProcess.withFolder { folder in
            let server = PostfixServer(port: try ServerProcess.freePort(), folder: folder, domains: domains)
            try server.configure()
            do {
                try await server.control("start")
                try await server.waitUntilItGreets()
                try await body(server)
            } catch {
                try await server.control("abort")
                throw error
            }
            try await server.control("abort")
        }
    }

    /// What arrived for a user, once there are as many messages; each with the fields that Postfix puts in front.
    func messages(of user: String, count: Int) async throws -> [String] {
        let inbox = self.folder.appendingPathComponent("mail/\(user)/new")
        for _ in 0..<1_000 {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: inbox.path)) ?? []
            if names.count >= count {
                return try names.map {
                    String(decoding: try Data(contentsOf: inbox.appendingPathComponent($0)), as: UTF8.self)
                }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw ServerProcess.Missing(description: "\(count) messages for \(user) did not arrive:\n\(self.log)")
    }

    /// What Postfix and its start script said.
    var log: String {
        ["start.log", "mail.log"].compactMap {
            try? String(contentsOf: self.folder.appendingPathComponent($0), encoding: .utf8)
        }.joined()
    }

    /// Has Postfix started or ended by its own command, and waits for the end of that.
    private func control(_ verb: String) async throws {
        let command = try ServerProcess("postfix", ["-c", self.folder.path, verb], in: self.folder, log: verb)
        while command.isRunning {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func waitUntilItGreets() async throws {
        for _ in 0..<500 {
            if let dialogue = try? DialogueSocket(port: self.port) {
                _ = dialogue
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw ServerProcess.Missing(description: "Postfix does not listen:\n\(self.log)")
    }

    private var furtherMailboxes: String {
        self.domains.map { ", anna@\($0)=\($0)/" }.joined()
    }

    private func configure() throws {
        let path = self.folder.path
        for name in ["spool", "data", "mail"] {
            try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
        }
        guard let user = getpwnam("postfix") else {
            throw ServerProcess.Missing(description: "Postfix is not installed: there is no user postfix")
        }
        chown("\(path)/data", user.pointee.pw_uid, user.pointee.pw_gid)
        chown("\(path)/mail", user.pointee.pw_uid, user.pointee.pw_gid)
        let main = """
            compatibility_level = 3.6
            queue_directory = \(path)/spool
            data_directory = \(path)/data
            maillog_file = \(path)/mail.log
            maillog_file_prefixes = /
            myhostname = mx.example.test
            mydestination =
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            alias_maps =
            alias_database =
            local_recipient_maps =
            virtual_mailbox_domains = \((["example.test"] + self.domains).joined(separator: ", "))
            virtual_mailbox_base = \(path)/mail
            virtual_mailbox_maps = inline:{ anna@example.test=anna/, ben@example.test=ben/, größe@example.test=groesse/\(self.furtherMailboxes) }
            virtual_minimum_uid = 1
            virtual_uid_maps = static:\(user.pointee.pw_uid)
            virtual_gid_maps = static:\(user.pointee.pw_gid)
            smtpd_recipient_restrictions = reject_unauth_destination
            smtpd_tls_security_level = may
            smtpd_tls_cert_file = \(path)/certificate.pem
            smtpd_tls_key_file = \(path)/key.pem
            smtpd_peername_lookup = no
            smtputf8_enable = yes
            message_size_limit = \(Self.sizeLimit)

            """
        let master = """
            127.0.0.1:\(self.port) inet n - n - - smtpd
            cleanup unix n - n - 0 cleanup
            qmgr unix n - n 300 1 qmgr
            tlsmgr unix - - n 1000? 1 tlsmgr
            rewrite unix - - n - - trivial-rewrite
            bounce unix - - n - 0 bounce
            defer unix - - n - 0 bounce
            trace unix - - n - 0 bounce
            proxymap unix - - n - - proxymap
            error unix - - n - - error
            retry unix - - n - - error
            discard unix - - n - - discard
            virtual unix - n n - - virtual
            anvil unix - - n - 1 anvil
            postlog unix-dgram n - n - 1 postlogd

            """
        for (name, text) in [
            "main.cf": main, "master.cf": master,
            "certificate.pem": TestCertificates.certificate + "\n" + TestCertificates.authority + "\n",
            "key.pem": TestCertificates.privateKey + "\n", "authority.pem": TestCertificates.authority + "\n",
        ] {
            try text.write(toFile: "\(path)/\(name)", atomically: true, encoding: .utf8)
        }
    }
}
