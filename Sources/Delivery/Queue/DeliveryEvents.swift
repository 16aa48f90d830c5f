package import MailModel

/// Who hears of what happens to messages: the log now, metrics and webhooks beside it.
///
/// Called on the hot path; implementations hand over and return.
package protocol DeliveryEvents: Sendable {
    /// An attempt has ended and its outcome is durable.
    func attemptEnded(_ result: AttemptResult, of message: QueuedMessage, recipients: [Recipient])
    /// A recipient left one provider for another.
    func movedOn(_ id: QueueID, from: String, to: String?, because failure: Failure)
    func breakerOpened(_ key: BreakerKey, _ state: BreakerState)
    func breakerClosed(_ key: BreakerKey)
    /// All recipients of a message are finished.
    func finished(_ id: QueueID)
    /// The store failed while an outcome was to be written; it is tried again.
    func storeTrouble(_ failure: StoreFailure)
}
