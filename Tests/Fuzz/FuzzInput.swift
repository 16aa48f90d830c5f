/// The octets of one input, taken from the front.
struct FuzzInput {
    private(set) var rest: ArraySlice<UInt8>

    init(_ data: UnsafePointer<UInt8>, _ size: Int) {
        self.rest = Array(UnsafeBufferPointer(start: data, count: size))[...]
    }

    /// The next octet; 0 at the end.
    mutating func octet() -> UInt8 {
        self.rest.popFirst() ?? 0
    }
}

/// A broken promise ends the process with its reason, as libFuzzer wants it.
func require(_ condition: Bool, _ promise: @autoclosure () -> String) {
    if !condition {
        fatalError(promise())
    }
}

/// Ways to cut octets into reads: all at once, one by one, and by a seed.
enum Chunking {
    case whole
    case single
    case seeded(UInt8)

    /// The sizes of the reads, one after the other.
    func sizes() -> () -> Int {
        switch self {
        case .whole:
            return { .max }
        case .single:
            return { 1 }
        case .seeded(let seed):
            var state = UInt32(seed) &* 2_654_435_761 | 1
            return {
                state = state &* 1_664_525 &+ 1_013_904_223
                // Mostly short reads, some long ones.
                return 1 + Int(state >> 24) % (state >> 16 & 3 == 0 ? 200 : 7)
            }
        }
    }
}
