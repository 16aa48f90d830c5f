import NIOCore

/// How fast content goes out; one that keeps the pace may go on when the time of its attempt is over.
///
/// A large message over a slow line would else never be delivered, however often it was begun again.
struct ContentPace {
    /// Octets a second on the whole way; 25 MiB have less than two hours.
    private static let floor: Int64 = 4_096

    private let began: NIODeadline
    private var octets: Int64 = 0

    init(began: NIODeadline) {
        self.began = began
    }

    func adding(_ octets: Int) -> ContentPace {
        var pace = self
        pace.octets += Int64(octets)
        return pace
    }

    /// When what was given to the connection must have left it.
    var deadline: NIODeadline {
        self.began + .milliseconds(self.octets * 1_000 / Self.floor)
    }
}
