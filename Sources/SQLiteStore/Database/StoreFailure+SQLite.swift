import Delivery
import GRDB

extension StoreFailure {
    /// Maps what SQLite or the file system said to what the rest of the gateway acts on.
    init(_ error: any Error) {
        if let failure = error as? StoreFailure {
            self = failure
            return
        }
        guard let error = error as? DatabaseError else {
            self.init(error is CancellationError ? .closed : .broken, "\(error)")
            return
        }
        let text = "\(error.message ?? "no message") (SQLite \(error.extendedResultCode.rawValue))"
        switch error.resultCode {
        case .SQLITE_FULL: self.init(.full, text)
        case .SQLITE_BUSY, .SQLITE_LOCKED: self.init(.busy, text)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: self.init(.broken, "the database is damaged: \(text)\(damageAdvice)")
        default: self.init(.broken, text)
        }
    }
}

/// What an operator can do about damage, to be added to what is damaged.
let damageAdvice =
    "; `hikyaku store check` says what is wrong, and a copy that `hikyaku store backup` made can take its place"

/// What is to be done with a batch that SQLite did not commit.
enum BatchTrouble: Equatable {
    /// Something in one operation: the others may pass when each is committed alone.
    case ofOneOperation
    /// Somebody else holds the lock, and has held it for as long as we wait.
    case ofTheMoment
    /// Input, output or the file itself: the handle is given up and a new one is opened.
    case ofTheHandle

    init(_ error: any Error) {
        guard let error = error as? DatabaseError else {
            self = .ofOneOperation
            return
        }
        switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED: self = .ofTheMoment
        case .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM,
            .SQLITE_PROTOCOL, .SQLITE_MISUSE:
            self = .ofTheHandle
        default: self = .ofOneOperation
        }
    }
}
