import GRDB
import GRDBSQLite

import struct NIOCore.ByteBuffer

/// A value on its way into a statement.
enum SQLValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByNilLiteral {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])
    /// Bound where it is: the statement ends before the buffer does.
    case buffer(ByteBuffer)

    init(stringLiteral value: String) {
        self = .text(value)
    }

    init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    init(nilLiteral: ()) {
        self = .null
    }

    init(_ value: String?) {
        self = value.map { .text($0) } ?? .null
    }

    init(_ value: Int) {
        self = .integer(Int64(value))
    }

    init(_ value: Int64?) {
        self = value.map { .integer($0) } ?? .null
    }
}

/// One row of a result, valid only while the statement stands on it.
struct ResultRow {
    fileprivate let statement: OpaquePointer

    func isNull(_ column: Int32) -> Bool {
        sqlite3_column_type(self.statement, column) == SQLITE_NULL
    }

    func integer(_ column: Int32) -> Int64 {
        sqlite3_column_int64(self.statement, column)
    }

    func optionalInteger(_ column: Int32) -> Int64? {
        self.isNull(column) ? nil : self.integer(column)
    }

    /// The text of a column, with damaged UTF-8 repaired; empty for NULL.
    func text(_ column: Int32) -> String {
        self.optionalText(column) ?? ""
    }

    func optionalText(_ column: Int32) -> String? {
        sqlite3_column_text(self.statement, column).map { String(cString: $0) }
    }

    func bytes(_ column: Int32) -> [UInt8] {
        Array(self.buffer(column).readableBytesView)
    }

    /// The octets of a column, copied once.
    func buffer(_ column: Int32) -> ByteBuffer {
        guard let start = sqlite3_column_blob(self.statement, column) else {
            return ByteBuffer()
        }
        let count = Int(sqlite3_column_bytes(self.statement, column))
        return ByteBuffer(bytes: UnsafeRawBufferPointer(start: start, count: count))
    }
}

/// A connection to the database on the thread that may use it, with cached statements that are bound and stepped raw.
///
/// GRDB opens and migrates; beyond that its encoding and observation would cost more than SQLite does.
struct Connection {
    let database: Database
    /// The run of the gateway that this connection writes for; 0 for readers.
    let epoch: Int64
    /// Of a connection that stays; nil where GRDB's own cache must do.
    var statements: StatementCache?

    /// Runs a statement that gives no rows and returns how many rows it changed.
    @discardableResult
    func run(_ sql: String, _ values: [SQLValue] = []) throws -> Int {
        try self.eachRow(sql, values) { _ in true }
        return Int(sqlite3_changes(self.database.sqliteConnection))
    }

    /// Whether there is a table; a store that an older version wrote, and nobody has opened for writing since, lacks some.
    func hasTable(_ name: String) throws -> Bool {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
        return try self.first(sql, [.text(name)]) { _ in true } ?? false
    }

    /// The first row of a query, or nil.
    func first<T>(_ sql: String, _ values: [SQLValue] = [], _ read: (ResultRow) throws -> T) throws -> T? {
        try self.rows(sql, values, limit: 1, read).first
    }

    /// The rows of a query, at most `limit`; the statement is reset before this returns.
    @discardableResult
    func rows<T>(
        _ sql: String,
        _ values: [SQLValue] = [],
        limit: Int = .max,
        _ read: (ResultRow) throws -> T
    ) throws -> [T] {
        var result: [T] = []
        guard limit > 0 else {
            return result
        }
        try self.eachRow(sql, values) { row in
            result.append(try read(row))
            return result.count < limit
        }
        return result
    }

    /// Hands out the rows of a query one by one until the body returns false.
    func eachRow(_ sql: String, _ values: [SQLValue] = [], _ body: (ResultRow) throws -> Bool) throws {
        let statement = try self.statement(sql)
        try self.bind(values, to: statement) {
            while true {
                let code = sqlite3_step(statement)
                guard code == SQLITE_ROW else {
                    try self.check(code == SQLITE_DONE ? SQLITE_OK : code)
                    return
                }
                guard try body(ResultRow(statement: statement)) else {
                    return
                }
            }
        }
    }

    /// Runs the body between BEGIN IMMEDIATE and COMMIT; when it, or the commit, throws, nothing of it stays.
    func transaction(_ body: () throws -> Void) throws {
        try self.run("BEGIN IMMEDIATE")
        do {
            try body()
            try self.run("COMMIT")
        } catch {
            // Of some errors SQLite has rolled back by itself.
            if self.database.isInsideTransaction {
                _ = try? self.run("ROLLBACK")
            }
            throw error
        }
    }

    private func statement(_ sql: String) throws -> OpaquePointer {
        try (self.statements?.statement(sql, of: self.database) ?? self.database.cachedStatement(sql: sql))
            .sqliteStatement
    }

    /// Binds values in order and runs the body; resets the statement while the memory of the values is still lent.
    ///
    /// One piece of memory holds all texts; if SQLite copied them, each would take an allocation.
    private func bind(_ values: [SQLValue], to statement: OpaquePointer, body: () throws -> Void) throws {
        let size = values.reduce(0) { $0 + $1.copiedCount }
        // Never empty: a null pointer would be NULL, and not an empty text.
        try withUnsafeTemporaryAllocation(byteCount: size + 1, alignment: 1) { memory in
            defer {
                sqlite3_reset(statement)
                sqlite3_clear_bindings(statement)
            }
            guard let start = memory.baseAddress else {
                preconditionFailure("memory of \(memory.count) octets has no address")
            }
            try self.bind(values[...], at: 1, to: statement, copyingTo: start, body: body)
        }
    }

    private func bind(
        _ values: ArraySlice<SQLValue>,
        at index: Int32,
        to statement: OpaquePointer,
        copyingTo memory: UnsafeMutableRawPointer,
        body: () throws -> Void
    ) throws {
        var index = index
        var rest = values
        var memory = memory
        while let value = rest.popFirst() {
            switch value {
            case .null:
                try self.check(sqlite3_bind_null(statement, index))
            case .integer(let number):
                try self.check(sqlite3_bind_int64(statement, index, number))
            case .text(var text):
                let count = text.withUTF8 { memory.copy($0) }
                let start = memory.assumingMemoryBound(to: CChar.self)
                try self.check(sqlite3_bind_text(statement, index, start, Int32(count), nil))
                memory += count
            case .bytes(let bytes):
                let count = bytes.withUnsafeBufferPointer { memory.copy($0) }
                try self.check(sqlite3_bind_blob64(statement, index, memory, UInt64(count), nil))
                memory += count
            case .buffer(let buffer):
                return try buffer.withUnsafeReadableBytes { bytes in
                    let code =
                        bytes.isEmpty
                        ? sqlite3_bind_zeroblob(statement, index, 0)
                        : sqlite3_bind_blob64(statement, index, bytes.baseAddress, UInt64(bytes.count), nil)
                    try self.check(code)
                    try self.bind(rest, at: index + 1, to: statement, copyingTo: memory, body: body)
                }
            }
            index += 1
        }
        try body()
    }

    private func check(_ code: Int32) throws {
        guard code == SQLITE_OK else {
            let message = sqlite3_errmsg(self.database.sqliteConnection).map { String(cString: $0) }
            throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message)
        }
    }
}

extension SQLValue {
    /// How many octets of it are copied when it is bound.
    fileprivate var copiedCount: Int {
        switch self {
        case .null, .integer, .buffer: 0
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        }
    }
}

extension UnsafeMutableRawPointer {
    /// Copies octets to where this points, and returns how many.
    fileprivate func copy(_ octets: UnsafeBufferPointer<UInt8>) -> Int {
        if let source = octets.baseAddress {
            self.copyMemory(from: source, byteCount: octets.count)
        }
        return octets.count
    }
}
