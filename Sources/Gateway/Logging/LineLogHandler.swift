import FoundationEssentials
package import Logging
import MailModel

/// Writes one line an event, plain or as JSON; text of peers can never begin a line of its own.
package struct LineLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    private let label: String
    private let isJSON: Bool
    private let output: LogOutput

    package init(label: String, level: Logger.Level, isJSON: Bool, output: LogOutput) {
        self.label = label
        self.logLevel = level
        self.isJSON = isJSON
        self.output = output
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var metadata = self.metadata
        if let more = event.metadata {
            metadata.merge(more) { $1 }
        }
        let fields = metadata.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        let text = event.message.description
        let line = self.isJSON ? self.json(event.level, text, fields) : self.plain(event.level, text, fields)
        self.output.append(line)
    }

    private func plain(_ level: Logger.Level, _ text: String, _ fields: [(String, String)]) -> String {
        let words = fields.map { " \($0.0)=\(Self.quoted($0.1))" }.joined()
        return "\(Timestamp.now) \(level) \(self.label): \(Self.oneLine(text))\(words)\n"
    }

    private func json(_ level: Logger.Level, _ text: String, _ fields: [(String, String)]) -> String {
        let head = [("ts", "\(Timestamp.now)"), ("level", "\(level)"), ("source", self.label), ("message", text)]
        let members = (head + fields).map { "\(Self.jsonText($0.0)):\(Self.jsonText($0.1))" }
        return "{\(members.joined(separator: ","))}\n"
    }

    private static func quoted(_ value: String) -> String {
        let line = self.oneLine(value)
        let isPlain = !line.isEmpty && !line.utf8.contains { $0 == 0x20 || $0 == 0x22 || $0 == 0x3D }
        return isPlain
            ? line : "\"\(line.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "'"))\""
    }

    /// Control characters as `\u{a}`, so that one event stays one line.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.isControl) else {
            return text
        }
        return text.unicodeScalars.map { $0.isControl ? "\\u{\(String($0.value, radix: 16))}" : String($0) }.joined()
    }

    private static func jsonText(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.isControl:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

extension Unicode.Scalar {
    fileprivate var isControl: Bool {
        self.value < 0x20 || (0x7F...0x9F).contains(self.value) || (0x2028...0x2029).contains(self.value)
    }
}
