import GRDB

/// The prepared statements of a connection that stays open.
///
/// GRDB's own cache hashes the whole text of a statement each time it is asked for.
final class StatementCache {
    /// A text of which only the length is hashed: our statements are few, and most are of different lengths.
    private struct Text: Hashable {
        let sql: String

        func hash(into hasher: inout Hasher) {
            hasher.combine(self.sql.utf8.count)
        }
    }

    private var statements: [Text: Statement] = [:]

    func statement(_ sql: String, of database: Database) throws -> Statement {
        let text = Text(sql: sql)
        if let statement = self.statements[text] {
            return statement
        }
        let statement = try database.cachedStatement(sql: sql)
        self.statements[text] = statement
        return statement
    }

    /// Lets go of all statements; a connection with statements cannot be closed.
    func removeAll() {
        self.statements.removeAll()
    }
}
