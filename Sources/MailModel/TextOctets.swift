/// Text that is written part by part, as UTF-8 in one piece of memory: a string for each part would cost more than all.
package struct TextOctets: Sendable {
    package private(set) var octets: [UInt8] = []

    /// Takes memory for so many octets; what is longer takes more.
    package init(capacity: Int) {
        self.octets.reserveCapacity(capacity)
    }

    /// All that was written.
    package var text: String {
        String(decoding: self.octets, as: UTF8.self)
    }

    package mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { self.octets.append(contentsOf: $0) }
    }

    package mutating func write(_ octets: UnsafeBufferPointer<UInt8>) {
        self.octets.append(contentsOf: octets)
    }

    package mutating func write(_ octet: UInt8) {
        self.octets.append(octet)
    }

    /// A mailbox as it stands between angle brackets.
    package mutating func write(_ mailbox: Mailbox) {
        self.write(mailbox.localPart)
        self.write(UInt8(ascii: "@"))
        self.write(mailbox.domain.text)
    }

    /// A number in decimal.
    package mutating func write(_ number: Int64) {
        guard (0..<10).contains(number) else {
            self.write(number.description)
            return
        }
        self.write(UInt8(ascii: "0") + UInt8(number))
    }
}
