package import Delivery
import MailModel

extension MessageStore {
    package func breakers() async throws(StoreFailure) -> [BreakerKey: BreakerState] {
        let rows = try await self.readers.read { connection in
            try connection.rows(
                "SELECT provider, kind, name, open_until, opened_at, openings, reason, text, is_end_told FROM breakers"
            ) { row in
                (
                    BreakerKey(provider: row.text(0), part: .init(kind: row.text(1), name: row.text(2))),
                    BreakerState(
                        openUntil: row.optionalInteger(3).map(Timestamp.init(microseconds:)),
                        openedAt: Timestamp(microseconds: row.integer(4)),
                        openings: Int(row.integer(5)),
                        reason: Failure.Reason(rawValue: row.text(6)) ?? .serviceUnavailable,
                        text: row.text(7),
                        isEndTold: row.integer(8) != 0
                    )
                )
            }
        }
        return Dictionary(rows) { first, _ in first }
    }

    package func save(_ state: BreakerState?, for key: BreakerKey) async throws(StoreFailure) {
        let name: [SQLValue] = [.text(key.provider), .text(key.part.kind), .text(key.part.name)]
        try await self.write { connection in
            guard let state else {
                try connection.run("DELETE FROM breakers WHERE provider = ? AND kind = ? AND name = ?", name)
                return
            }
            try connection.run(
                "INSERT OR REPLACE INTO breakers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                name + [
                    SQLValue(state.openUntil?.microseconds),
                    .integer(state.openedAt.microseconds),
                    SQLValue(state.openings),
                    .text(state.reason.rawValue),
                    .text(state.text),
                    .integer(state.isEndTold ? 1 : 0),
                ]
            )
        }
    }
}

extension BreakerKey.Part {
    /// A kind that a later version wrote is read as the whole provider.
    fileprivate init(kind: String, name: String) {
        switch kind {
        case "sender": self = .senderDomain(name)
        case "destination": self = .destination(name)
        default: self = .whole
        }
    }

    fileprivate var kind: String {
        switch self {
        case .whole: "whole"
        case .senderDomain: "sender"
        case .destination: "destination"
        }
    }

    fileprivate var name: String {
        switch self {
        case .whole: ""
        case .senderDomain(let domain), .destination(let domain): domain
        }
    }
}
