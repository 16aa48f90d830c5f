import GRDB

/// The tables of the store, as a list of migrations that is only ever appended to.
///
/// Numbers in `recipients.state` are those of `RecipientState`. All moments are microseconds since the epoch.
enum Schema {
    static let migrations: [(name: String, sql: String)] = [
        ("2026-11-24 queue", queue),
        ("2026-11-24 breakers and answers", breakersAndAnswers),
        ("2026-11-25 taken over", takenOver),
        ("2026-11-25 diagnoses", diagnoses),
        ("2026-11-25 transport security", transportSecurity),
        ("2026-11-26 finished messages", finishedMessages),
        ("2026-11-26 told ends", toldEnds),
    ]

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        for migration in self.migrations {
            migrator.registerMigration(migration.name) { try $0.execute(sql: migration.sql) }
        }
        return migrator
    }
}

// Contents stand apart so that a list of messages does not page through them. Two indices only serve people
// (`message_id`, and the address); the due index holds what is unfinished, with the lease first, so that what this
// run holds is never scanned: lease 0 by due time, and leases of dead runs, are one range each.
private let queue = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('epoch', 0), ('generation', 0);

    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        reverse_local_part TEXT,
        reverse_domain TEXT,
        body TEXT,
        return_content TEXT,
        envelope_id TEXT,
        flags INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        subject TEXT NOT NULL,
        size INTEGER NOT NULL,
        listener TEXT NOT NULL,
        client_address TEXT,
        client_name TEXT NOT NULL,
        user TEXT,
        arrived_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        finished_at INTEGER
    );
    CREATE INDEX messages_by_message_id ON messages(message_id);

    CREATE TABLE contents (message INTEGER PRIMARY KEY, content BLOB NOT NULL);

    CREATE TABLE recipients (
        message INTEGER NOT NULL,
        number INTEGER NOT NULL,
        local_part TEXT NOT NULL,
        domain TEXT NOT NULL,
        notify INTEGER,
        original_recipient TEXT,
        state INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        due_at INTEGER,
        attempts INTEGER NOT NULL,
        rounds INTEGER NOT NULL,
        resume_at TEXT,
        deferred_since INTEGER,
        ambiguous_at TEXT,
        interrupted_at TEXT,
        provider TEXT,
        last_failure TEXT,
        finished_at INTEGER,
        PRIMARY KEY (message, number)
    ) WITHOUT ROWID;
    CREATE INDEX recipients_due ON recipients(lease, due_at) WHERE state <= 2;
    CREATE INDEX recipients_by_address ON recipients(domain COLLATE NOCASE, local_part COLLATE NOCASE);

    CREATE TABLE attempts (
        message INTEGER NOT NULL,
        id INTEGER NOT NULL,
        provider TEXT NOT NULL,
        recipients TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        open INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        outcomes TEXT,
        evidence TEXT,
        provider_message_id TEXT,
        move TEXT NOT NULL,
        PRIMARY KEY (message, id)
    ) WITHOUT ROWID;
    """

private let breakersAndAnswers = """
    CREATE TABLE breakers (
        provider TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        open_until INTEGER,
        opened_at INTEGER NOT NULL,
        openings INTEGER NOT NULL,
        reason TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (provider, kind, name)
    ) WITHOUT ROWID;

    CREATE TABLE answers (
        question TEXT PRIMARY KEY,
        message BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        source TEXT NOT NULL
    );
    """

// What came from another queue, by its name there; never purged, since a file that could not be moved away after our
// commit must not become a second message a year later either. A row is as small as the name.
private let takenOver = """
    CREATE TABLE taken_over (origin TEXT PRIMARY KEY, message INTEGER NOT NULL) WITHOUT ROWID;
    """

// What was wrong with names and ways while attempts failed; the newest thousand are kept.
private let diagnoses = """
    CREATE TABLE diagnoses (
        id INTEGER PRIMARY KEY,
        began_at INTEGER NOT NULL,
        ended_at INTEGER,
        verdict TEXT NOT NULL,
        report TEXT NOT NULL
    );
    """

// Days are counted from the epoch, in UTC. Of results, the texts of the newest failure stand for all that are alike.
private let transportSecurity = """
    CREATE TABLE sts_policies (
        domain TEXT PRIMARY KEY,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        fetched_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    );

    CREATE TABLE clear_text_hosts (
        host TEXT NOT NULL,
        address TEXT NOT NULL,
        until INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (host, address)
    ) WITHOUT ROWID;

    CREATE TABLE tls_results (
        day INTEGER NOT NULL,
        domain TEXT NOT NULL,
        policy TEXT NOT NULL,
        exchanger TEXT NOT NULL,
        result TEXT NOT NULL,
        receiving_address TEXT NOT NULL,
        sending_address TEXT NOT NULL,
        count INTEGER NOT NULL,
        policy_text TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (day, domain, policy, exchanger, result, receiving_address, sending_address)
    ) WITHOUT ROWID;
    """

// For the retention: what is long finished is found without a look at what is not, whatever its id.
private let finishedMessages = """
    CREATE INDEX messages_finished ON messages(finished_at) WHERE finished_at IS NOT NULL;
    """

// Of what an earlier version wrote nobody knows: an operator may have it tried.
private let toldEnds = """
    ALTER TABLE breakers ADD COLUMN is_end_told INTEGER NOT NULL DEFAULT 0;
    """

/// The numbers in `recipients.state`; up to `held` a recipient is unfinished, up to `waiting` it can be leased.
enum RecipientState {
    static let active: Int64 = 0
    static let waiting: Int64 = 1
    static let held: Int64 = 2
    static let delivered: Int64 = 3
    static let bounced: Int64 = 4
    static let expired: Int64 = 5
    static let deleted: Int64 = 6
}

/// The bits of `messages.flags`.
struct MessageFlags: OptionSet {
    let rawValue: Int64

    static let smtpUTF8 = MessageFlags(rawValue: 1)
    static let requireTLS = MessageFlags(rawValue: 2)
    static let eightBit = MessageFlags(rawValue: 4)
    /// The content is in a file of its own, not in `contents`.
    static let contentFile = MessageFlags(rawValue: 8)
    /// `TLS-Required: No` stands in the header section.
    static let tlsOptional = MessageFlags(rawValue: 16)
}
