package import Delivery
package import MailModel

extension MessageStore {
    /// The most that are kept.
    private static let diagnosisLimit = 1_000

    /// Commits what was found out, and ends whatever was found before.
    package func keep(_ diagnosis: DiagnosisRecord) async throws(StoreFailure) {
        try await self.write { connection in
            try connection.endDiagnoses(at: diagnosis.beganAt)
            try connection.run(
                "INSERT INTO diagnoses (began_at, ended_at, verdict, report) VALUES (?, ?, ?, ?)",
                [
                    .integer(diagnosis.beganAt.microseconds),
                    diagnosis.endedAt.map { .integer($0.microseconds) } ?? .null,
                    .text(diagnosis.verdict),
                    .text(diagnosis.report),
                ]
            )
            try connection.run(
                "DELETE FROM diagnoses WHERE id <= (SELECT max(id) FROM diagnoses) - ?",
                [.integer(Int64(Self.diagnosisLimit))]
            )
        }
    }

    /// Commits that all is well since a moment.
    package func endDiagnoses(at moment: Timestamp) async throws(StoreFailure) {
        try await self.write { connection in
            try connection.endDiagnoses(at: moment)
        }
    }
}

extension Connection {
    fileprivate func endDiagnoses(at moment: Timestamp) throws {
        try self.run(
            "UPDATE diagnoses SET ended_at = max(began_at, ?) WHERE ended_at IS NULL",
            [.integer(moment.microseconds)]
        )
    }
}
