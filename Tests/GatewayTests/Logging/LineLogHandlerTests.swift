import Foundation
import Gateway
import Logging
import TestKit
import Testing

@Suite("Log lines")
struct LineLogHandlerTests {
    /// Hostile text of a peer: a forged line, a sequence for the terminal, C1, line separators.
    private static let hostile = "a\r\n2026-11-24T10:17:03.000Z info forged: x\u{1B}[2J\u{9B}m\u{7F}\u{2028}\u{2029}z"

    @Test("a plain line has moment, level, label, text, and the fields in the order of the alphabet")
    func writesPlainLines() throws {
        let line = try self.line(isJSON: false) { $0.notice("left direct", metadata: ["why": "no answer", "id": "7"]) }
        #expect(line == "notice test: left direct id=7 part=delivery why=\"no answer\"\n")
    }

    @Test("a JSON line is one object with the same things")
    func writesJSONLines() throws {
        let line = try self.line(isJSON: true) { $0.notice("left \"direct\"", metadata: ["why": "no \\ answer"]) }
        let expected =
            #","level":"notice","source":"test","message":"left \"direct\"","part":"delivery","why":"no \\ answer"}"#
            + "\n"
        #expect(line == expected)
    }

    @Test("text of peers stays in its line, in the message and in the fields", arguments: [false, true])
    func disarmsPeers(_ isJSON: Bool) throws {
        let line = try self.line(isJSON: isJSON) {
            $0.info("\(Self.hostile)", metadata: ["why": "\(Self.hostile)", "many": ["\(Self.hostile)"]])
        }
        #expect(line.filter(\.isNewline).count == 1)
        #expect(line.hasSuffix("\n"))
        #expect(line.controls.isEmpty, "\(line.debugDescription)")
        #expect(!line.contains("\u{2028}") && !line.contains("\u{2029}"))
        guard !isJSON else {
            let object = try JSONSerialization.jsonObject(with: Data(("{\"ts\":\"\"" + line).utf8)) as? [String: String]
            #expect(object?["message"] == Self.hostile)
            #expect(object?["why"] == Self.hostile)
            return
        }
        #expect(line.hasPrefix(#"info test: a\u{d}\u{a}2026-11-24T10:17:03.000Z info forged: x\u{1b}[2J\u{9b}m"#))
    }

    @Test("a value cannot pretend to be another field")
    func quotesValues() throws {
        let line = try self.line(isJSON: false) {
            $0.info("x", metadata: ["a": "1 status=sent", "b": "\" c=d", "e": "", "f": "k=v", "g": "確認"])
        }
        #expect(line == "info test: x a=\"1 status=sent\" b=\"' c=d\" e=\"\" f=\"k=v\" g=確認 part=delivery\n")
    }

    @Test("what is below the level is not written")
    func keepsTheLevel() throws {
        let line = try self.line(isJSON: false) { logger in
            logger.debug("not this")
            logger.info("this")
        }
        #expect(line == "info test: this part=delivery\n")
    }

    @Test("lines that nobody reads are counted instead of filling the memory")
    func dropsWhatNobodyReads() throws {
        let path = NSTemporaryDirectory() + "hky-log-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        let file = try #require(FileHandle(forWritingAtPath: path))
        let output = LogOutput(descriptor: file.fileDescriptor)
        let logger = Logger(label: "test") { LineLogHandler(label: $0, level: .info, isJSON: false, output: output) }
        let megabyte = String(repeating: "x", count: 1 << 20)
        for _ in 0..<12 {
            logger.info("\(megabyte)")
        }
        output.flush()
        logger.info("and on it goes")
        output.flush()
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 10)
        #expect(lines.dropLast().last == "4 log lines were dropped")
        #expect(lines.last?.hasSuffix(" info test: and on it goes") == true)
    }

    /// What was logged, without the moment at its beginning.
    private func line(isJSON: Bool, _ body: (Logger) -> Void) throws -> String {
        let text = try LogCapture.text(isJSON: isJSON, body)
        let start = isJSON ? "{\"ts\":\"" : ""
        #expect(text.hasPrefix(start))
        let moment = text.dropFirst(start.count).prefix(24)
        #expect(moment.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(text)")
        return String(text.dropFirst(start.count + 25))
    }
}

/// What a logger like the gateway's writes.
enum LogCapture {
    static func text(isJSON: Bool, _ body: (Logger) -> Void) throws -> String {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        var logger = Logger(label: "test") { label in
            LineLogHandler(label: label, level: .info, isJSON: isJSON, output: output)
        }
        logger[metadataKey: "part"] = "delivery"
        body(logger)
        output.flush()
        try pipe.fileHandleForWriting.close()
        return String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    }
}
