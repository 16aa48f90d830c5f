package import struct NIOCore.ByteBuffer

/// Writes queue files of Postfix record by record, whole or broken.
package struct QueueFileBuilder {
    /// The file so far.
    package private(set) var bytes: [UInt8] = []

    /// Begins an empty file.
    package init() {}

    /// The size record of a file that was written to its end; the numbers in it are only looked at for being there.
    package static func complete(smtpUTF8Flags: Int = 0) -> QueueFileBuilder {
        var builder = QueueFileBuilder()
        let numbers = [100, 200, 1, 0, 100, smtpUTF8Flags].map { number in
            let digits = String(number)
            return String(repeating: " ", count: 15 - digits.count) + digits
        }
        builder.add("C", numbers.joined(separator: " "))
        return builder
    }

    /// A short message for one recipient.
    package static func sample() -> QueueFileBuilder {
        var builder = self.complete()
        builder.add("T", "1795607278 444758")
        builder.add("A", "log_helo_name=app")
        builder.add("A", "log_client_address=192.0.2.7")
        builder.add("S", "anna@app.test")
        builder.add("R", "ben@shop.test")
        builder.add("M", "")
        builder.add("N", "Subject: hello")
        builder.add("N", "")
        builder.add("N", ".a dot, and a line")
        builder.add("X", "")
        builder.add("E", "")
        return builder
    }

    /// Adds a record.
    package mutating func add(_ type: Character, _ text: String) {
        self.add(type, Array(text.utf8))
    }

    /// Adds a record.
    package mutating func add(_ type: Character, _ data: [UInt8]) {
        self.bytes.append(type.asciiValue ?? 0)
        var rest = data.count
        repeat {
            self.bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        self.bytes += data
    }

    package var buffer: ByteBuffer {
        ByteBuffer(bytes: self.bytes)
    }
}
