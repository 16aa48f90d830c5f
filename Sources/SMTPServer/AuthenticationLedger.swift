package import MailModel
package import NIOCore
import Synchronization

/// Counts failed authentications by address: answers come later and later, then the address is left out for a while.
///
/// By address and never by account: nobody can lock an application out by guessing at its name from elsewhere. IPv6
/// addresses count by their /64, which is what one customer gets. Listeners may share one.
package final class AuthenticationLedger: Sendable {
    /// What a failure leads to.
    package struct Consequence: Hashable, Sendable {
        /// How long the reply is held back.
        package var delay: TimeAmount
        /// Whether this failure was the one too many.
        package var blocks: Bool
    }

    private struct Record {
        var failures: Int
        var forgottenAt: NIODeadline
    }

    /// Addresses that are remembered; the one that would be forgotten first gives way.
    private static let addressLimit = 10_000
    /// Answered at once: Python's smtplib makes two of one wrong password.
    private static let failuresWithoutDelay = 3
    private static let longestDelay = Int64(4)

    /// Failures after which an address is left out.
    package let limit: Int
    /// How long, counted from its last failure.
    package let duration: TimeAmount
    private let records = Mutex<[IPAddress: Record]>([:])

    package init(limit: Int = 20, duration: Duration = .seconds(600)) {
        self.limit = limit
        self.duration = TimeAmount(duration)
    }

    /// Whether an address is left out; its attempts then count no more, so that the time of waiting ends.
    package func isBlocked(_ address: IPAddress, now: NIODeadline = .now()) -> Bool {
        self.records.withLock { records in
            guard let failures = Self.failures(of: address, in: records, now: now) else {
                records[address.network] = nil
                return false
            }
            return failures >= self.limit
        }
    }

    /// Notes a failure.
    package func noteFailure(of address: IPAddress, now: NIODeadline = .now()) -> Consequence {
        self.records.withLock { records in
            let known = Self.failures(of: address, in: records, now: now)
            if known == nil, records.count >= Self.addressLimit {
                Self.makeRoom(in: &records, now: now)
            }
            let failures = (known ?? 0) + 1
            records[address.network] = Record(failures: failures, forgottenAt: now + self.duration)
            return Consequence(delay: Self.delay(after: failures), blocks: failures == self.limit)
        }
    }

    /// Failures of an address that are remembered.
    package func failures(of address: IPAddress, now: NIODeadline = .now()) -> Int {
        self.records.withLock { Self.failures(of: address, in: $0, now: now) ?? 0 }
    }

    /// Nil for an address that has not failed, or so long ago that it is forgotten.
    private static func failures(of address: IPAddress, in records: [IPAddress: Record], now: NIODeadline) -> Int? {
        records[address.network].flatMap { $0.forgottenAt > now ? $0.failures : nil }
    }

    private static func delay(after failures: Int) -> TimeAmount {
        guard failures > self.failuresWithoutDelay else {
            return .zero
        }
        let doublings = min(failures - self.failuresWithoutDelay - 1, 2)
        return .seconds(min(self.longestDelay, 1 << Int64(doublings)))
    }

    private static func makeRoom(in records: inout [IPAddress: Record], now: NIODeadline) {
        records = records.filter { $0.value.forgottenAt > now }
        if records.count >= self.addressLimit,
            let first = records.min(by: { $0.value.forgottenAt < $1.value.forgottenAt })
        {
            records[first.key] = nil
        }
    }
}

extension IPAddress {
    /// What stands for one customer of a network: an IPv4 address, or the /64 of an IPv6 address.
    package var network: IPAddress {
        switch self {
        case .v4: self
        case .v6(let high, _): .v6(high: high, low: 0)
        }
    }
}
