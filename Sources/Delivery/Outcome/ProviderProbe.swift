package import MailModel

/// What a call of a next hop brought that sent no mail.
package struct ProviderProbe: Hashable, Sendable {
    /// Why mail could not go this way now, in the words of an attempt; nil when it could.
    package var failure: Failure?
    /// Whom we talked to, such as `smtp.gmail.com[142.250.102.108]:587`.
    package var host: String
    /// What was seen, for people: `TLSv1.3 verified, AUTH PLAIN`; never a credential.
    package var text: String
    /// The clock of the server, where it told the time.
    package var serverTime: Timestamp?
    /// What may still be sent; nil where the provider has no call that tells.
    package var quota: ProviderQuota?

    package init(host: String, text: String, failure: Failure? = nil, serverTime: Timestamp? = nil) {
        self.host = host
        self.text = text
        self.failure = failure
        self.serverTime = serverTime
    }
}
