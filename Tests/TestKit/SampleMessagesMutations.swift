/// Makes damaged copies of an input, the same ones for the same seed.
package struct SampleMessagesMutations: Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        self.state = seed &+ 0x9E37_79B9_7F4A_7C15
    }

    /// A copy with up to eight octets changed, removed, inserted or repeated.
    package mutating func mutate(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0...self.next(below: 8) {
            let place = self.next(below: bytes.count + 1)
            switch self.next(below: 5) {
            case 0 where place < bytes.count: bytes[place] = UInt8(self.next(below: 256))
            case 1 where place < bytes.count: bytes.remove(at: place)
            case 2: bytes.insert(self.special(), at: place)
            case 3: bytes.removeSubrange(place..<min(bytes.count, place + self.next(below: 40)))
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 30)], at: place)
            }
        }
        return bytes
    }

    /// Octets that mean something to some parser.
    private mutating func special() -> UInt8 {
        let bytes = Array("\r\n\t :;=?\"\\<>()@,*'%-[]\0\u{7F}".utf8) + [0x80, 0xFF, 0x1B]
        return bytes[self.next(below: bytes.count)]
    }

    private mutating func next(below limit: Int) -> Int {
        self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return limit > 0 ? Int(self.state >> 33) % limit : 0
    }
}
