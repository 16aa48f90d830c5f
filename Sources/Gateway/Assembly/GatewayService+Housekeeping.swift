import Delivery
import Logging
import MailModel
import SQLiteStore

extension GatewayService {
    /// Messages that are forgotten in one transaction, and the pause after it: mail that is committed meanwhile waits for
    /// a few milliseconds at most, and ten times as much time is left to it.
    private static let batch = 100
    private static let pause = Duration.milliseconds(50)

    /// Forgets the history of what is long finished or takes too much room, and breakers that nobody asks about.
    func keepHouse() async {
        while (try? await Task.sleep(for: .seconds(300))) != nil {
            do {
                try await self.queue.forgetOldBreakers()
                try await self.forgetHistory()
            } catch {
                self.logger.warning("old history could not be removed", metadata: ["why": "\(error)"])
            }
        }
    }

    /// Brings the history back to what `retention` and `retention-size` allow.
    func forgetHistory() async throws {
        let before = Timestamp.now + (.zero - self.configuration.retention)
        while try await self.store.purgeFinished(before: before, limit: Self.batch) > 0 {
            try await Task.sleep(for: Self.pause)
        }
        guard let size = self.configuration.retentionSize else {
            return
        }
        let count = try await self.store.trimHistory(to: size, batch: Self.batch) {
            try await Task.sleep(for: Self.pause)
        }
        if count > 0 {
            let used = try await self.store.usedOctets()
            self.logger.notice(
                "history forgotten to keep within retention-size",
                metadata: ["messages": "\(count)", "octets": "\(used)"]
            )
        }
    }
}
