/// Writes text of a known form into memory that is large enough for it: a string for each part would cost more than all.
package struct FixedText {
    private let octets: UnsafeMutableBufferPointer<UInt8>
    package private(set) var count = 0

    package init(_ octets: UnsafeMutableBufferPointer<UInt8>) {
        self.octets = octets
    }

    package mutating func write(_ word: StaticString) {
        for index in 0..<word.utf8CodeUnitCount {
            self.octets[self.count] = word.utf8Start[index]
            self.count += 1
        }
    }

    package mutating func write(text: String) {
        var text = text
        text.withUTF8 { self.write($0) }
    }

    package mutating func write(_ text: UnsafeBufferPointer<UInt8>) {
        let rest = UnsafeMutableBufferPointer(rebasing: self.octets[self.count...])
        self.count += rest.update(fromContentsOf: text)
    }

    /// The last digits of a number, with zeros in front.
    package mutating func write(_ number: Int, digits: Int) {
        var rest = number.magnitude
        var index = self.count + digits
        while index > self.count {
            index -= 1
            self.octets[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        self.count += digits
    }

    /// A number as it is, in up to five digits.
    package mutating func write(_ number: UInt16) {
        let digits = number < 10 ? 1 : number < 100 ? 2 : number < 1_000 ? 3 : number < 10_000 ? 4 : 5
        self.write(Int(number), digits: digits)
    }
}
