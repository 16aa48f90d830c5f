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
        let fields = self.fields(of: event)
        var line = LogLine()
        if self.isJSON {
            self.writeJSON(event, fields, to: &line)
        } else {
            self.writePlain(event, fields, to: &line)
        }
        self.output.append(line.octets)
    }

    private typealias Field = (key: String, text: String)

    /// What the event says and what all events of the logger say, in the order of the alphabet.
    private func fields(of event: LogEvent) -> [Field] {
        var fields: [Field] = []
        fields.reserveCapacity((event.metadata?.count ?? 0) + self.metadata.count)
        for (key, value) in event.metadata ?? [:] {
            fields.append((key, value.text))
        }
        for (key, value) in self.metadata where !fields.contains(where: { $0.key == key }) {
            fields.append((key, value.text))
        }
        fields.sort { $0.key < $1.key }
        return fields
    }

    private func writePlain(
        _ event: LogEvent,
        _ fields: [Field],
        to line: inout LogLine
    ) {
        line.write(Timestamp.civil.description)
        line.write(space)
        line.write(event.level.rawValue)
        line.write(space)
        line.write(self.label)
        line.write(": ")
        line.writeVisibly(event.message.description)
        for field in fields {
            line.write(space)
            line.write(field.key)
            line.write(UInt8(ascii: "="))
            line.writeQuoted(field.text)
        }
        line.write(UInt8(ascii: "\n"))
    }

    private func writeJSON(
        _ event: LogEvent,
        _ fields: [Field],
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
            line.write(UInt8(ascii: ","))
            line.writeJSON(field.key)
            line.write(UInt8(ascii: ":"))
            line.writeJSON(field.text)
        }
        line.write("}\n")
    }
}

private let space = UInt8(ascii: " ")

extension Logger.MetadataValue {
    /// The value as text, without a copy where it is text already.
    fileprivate var text: String {
        if case .string(let text) = self {
            return text
        }
        return self.description
    }
}
