import Delivery
import Foundation
import Gateway
import Logging
import MailModel
import SQLiteStore
import TestKit

/// The folder of one gateway, removed at the end of the test; gateways can run on it one after the other.
final class GatewayFolder: Sendable {
    let path: String

    init() throws {
        // Short, since the path of a Unix socket must fit 104 octets.
        self.path = FileManager.default.temporaryDirectory.path + "/hky-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }

    var data: String { self.path + "/data" }
    var socket: String { self.data + "/hikyaku.sock" }

    /// What an operator would write, on top of a listener on any port of loopback and a DNS that nobody serves.
    func configuration(_ text: String) throws -> GatewayConfiguration {
        let base = """
            hostname: gw.example.test
            data-directory: \(self.data)
            listeners: { smtp: { port: 0, allow: loopback } }
            dns: { sources: ["127.0.0.1:1"], source-timeout: 200ms, lookup-timeout: 400ms, serve-stale: 0 }

            """
        return try ConfigurationLoader.parse(base + text, source: "hikyaku.yaml", environment: [:])
    }

    /// Runs a gateway while the body runs, then stops it as SIGTERM would and waits for its end.
    func run(_ text: String, logger: Logger = .silent, _ body: (RunningGateway) async throws -> Void) async throws {
        try await self.run(try self.configuration(text), logger, body)
    }

    /// The same with listeners and folder written down by the test.
    func run(whole text: String, _ body: (RunningGateway) async throws -> Void) async throws {
        let configuration = try ConfigurationLoader.parse(text, source: "hikyaku.yaml", environment: [:])
        try await self.run(configuration, .silent, body)
    }

    func run(
        _ configuration: GatewayConfiguration,
        _ logger: Logger,
        _ body: (RunningGateway) async throws -> Void
    ) async throws {
        try await self.run(configuration, logger) { gateway, _ in try await body(gateway) }
    }

    /// The same for tests that do to the gateway what a signal would.
    func run(
        _ configuration: GatewayConfiguration,
        _ logger: Logger,
        _ body: (RunningGateway, GatewayService) async throws -> Void
    ) async throws {
        let service = try await GatewayService(configuration, logger: logger)
        let (stopped, stop) = AsyncStream<Void>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await service.run { for await _ in stopped { return } }
            }
            do {
                try await body(try await RunningGateway(folder: self), service)
            } catch {
                stop.finish()
                throw error
            }
            stop.finish()
            try await group.waitForAll()
        }
    }

    /// What the store remembers of a message, read beside the gateway or without one.
    func record(_ id: QueueID) async throws -> MessageRecord? {
        let reader = try HistoryReader(directory: self.data)
        defer { reader.close() }
        return try await reader.message(id)
    }

    /// All messages with their attempts, newest last.
    func records() async throws -> [MessageRecord] {
        let reader = try HistoryReader(directory: self.data)
        defer { reader.close() }
        var records: [MessageRecord] = []
        for message in try await reader.messages(unfinishedOnly: false, limit: 1_000) {
            records.append(try await reader.message(message.id) ?? message)
        }
        return records
    }

    /// Names in the folder of large contents.
    func contentFiles() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: self.data + "/content")
    }
}

/// A gateway that accepts mail.
struct RunningGateway: Sendable {
    let folder: GatewayFolder
    let port: Int

    fileprivate init(folder: GatewayFolder) async throws {
        self.folder = folder
        var port: Int?
        try await eventually("the gateway answers on its socket") {
            let status = try? await ControlClient.send(ControlRequest(.status), to: folder.socket).status
            port = status?.listeners.first?.split(separator: ":").last.flatMap { Int($0) }
            return port != nil
        }
        self.port = port ?? 0
    }

    /// Sends one message and returns the reply to its content.
    func submit(
        _ content: [UInt8] = Array(SampleMail.text.utf8),
        from sender: String = "app@example.test",
        to recipients: [String] = ["user@example.net"]
    ) async throws -> String {
        let client = try DialogueSocket(port: self.port)
        _ = try await client.reply()
        let commands =
            ["EHLO app.example.test", "MAIL FROM:<\(sender)>"] + recipients.map { "RCPT TO:<\($0)>" } + ["DATA"]
        for command in commands {
            try await client.send(command + "\r\n")
            let reply = try await client.reply() ?? ""
            guard reply.hasPrefix("2") || reply.hasPrefix("3") else {
                return reply
            }
        }
        try await client.send(dotStuffed(content) + Array(".\r\n".utf8))
        let reply = try await client.reply() ?? ""
        try await client.send("QUIT\r\n")
        return reply
    }

    /// Sends one message that must be accepted; returns its queue id.
    func accept(
        _ content: [UInt8] = Array(SampleMail.text.utf8),
        from sender: String = "app@example.test",
        to recipients: [String] = ["user@example.net"]
    ) async throws -> QueueID {
        let reply = try await self.submit(content, from: sender, to: recipients)
        guard reply.hasPrefix("250 2.0.0 Ok: queued as "),
            let id = reply.split(separator: " ").last.flatMap(QueueID.init)
        else {
            throw NotAccepted(reply: reply)
        }
        return id
    }

    func ask(_ verb: ControlRequest.Verb, _ subject: String? = nil) async throws -> ControlReply {
        try await ControlClient.send(ControlRequest(verb, subject: subject), to: self.folder.socket)
    }

    /// Returns the record of a message once all its recipients are in the states, in the order of their numbers.
    func wait(for id: QueueID, _ states: RecipientRecord.State...) async throws -> MessageRecord {
        var record: MessageRecord?
        try await eventually("\(id) is \(states)") {
            record = try await self.folder.record(id)
            return record?.recipients.map(\.state) == states
        }
        return try record ?? { throw NotAccepted(reply: "no record of \(id)") }()
    }
}

struct NotAccepted: Error {
    let reply: String
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// A smarthost on loopback as it is written in the configuration.
func relay(_ name: String, _ exchanger: FakeExchanger, _ more: String = "") -> String {
    "  \(name): { kind: smarthost, host: 127.0.0.1, port: \(exchanger.port), tls: none\(more) }\n"
}

private func dotStuffed(_ content: [UInt8]) -> [UInt8] {
    var stuffed: [UInt8] = []
    var isLineStart = true
    for octet in content {
        if isLineStart, octet == 0x2E {
            stuffed.append(octet)
        }
        stuffed.append(octet)
        isLineStart = octet == 0x0A
    }
    return stuffed
}

extension FakeExchanger.Message {
    /// The octets with the stuffed dots taken away.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        var isLineStart = true
        for octet in self.raw {
            if !isLineStart || octet != 0x2E {
                octets.append(octet)
            }
            isLineStart = octet == 0x0A
        }
        return octets
    }

    /// Those behind the first header field with its continuation lines.
    var octetsBehindFirstField: [UInt8] {
        let octets = self.octets
        let end = octets.indices.first { index in
            octets[index] == 0x0A && index + 1 < octets.count && octets[index + 1] != 0x09 && octets[index + 1] != 0x20
        }
        return end.map { Array(octets[($0 + 1)...]) } ?? []
    }
}
