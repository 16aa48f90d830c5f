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
        var fields = event.metadata.map(Array.init) ?? []
        for field in self.metadata where event.metadata?[field.key] == nil {
            fields.append(field)
        }
        fields.sort { $0.key < $1.key }
        var line = LogLine()
        if self.isJSON {
            self.writeJSON(event, fields, to: &line)
        } else {
            self.writePlain(event, fields, to: &line)
        }
        self.output.append(line.octets)
    }

    private func writePlain(
        _ event: LogEvent,
        _ fields: [(key: String, value: Logger.MetadataValue)],
        to line: inout LogLine
    ) {
        line.write(Timestamp.civil.description)
        line.write(" ")
        line.write(event.level.rawValue)
        line.write(" ")
        line.write(self.label)
        line.write(": ")
        line.writeVisibly(event.message.description)
        for field in fields {
            line.write(" ")
            line.write(field.key)
            line.write("=")
            line.writeQuoted(field.value.text)
        }
        line.write("\n")
    }

    private func writeJSON(
        _ event: LogEvent,
        _ fields: [(key: String, value: Logger.MetadataValue)],
        to line: inout LogLine
    ) {
        line.write("{\"ts\":\"")
        line.write(Timestamp.civil.description)
        line.write("\",\"level\":\"")
        line.write(event.level.rawValue)
        line.write("\",\"source\":")
        line.writeJSON(self.label)
        line.write(",\"message\":")
        line.writeJSON(event.message.description)
        for field in fields {
            line.write(",")
            line.writeJSON(field.key)
            line.write(":")
            line.writeJSON(field.value.text)
        }
        line.write("}\n")
    }
}

extension Logger.MetadataValue {
    /// The value as text, without a copy where it is text already.
    fileprivate var text: String {
        if case .string(let text) = self {
            return text
        }
        return self.description
    }
}
