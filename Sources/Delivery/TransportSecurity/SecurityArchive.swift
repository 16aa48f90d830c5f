package import MailModel

/// Keeps what is known of the TLS of other hosts across restarts; implemented by the store.
///
/// What is handed in rides in the next commit and may be lost in a crash: all of it can be had again.
package protocol SecurityArchive: Sendable {
    /// The MTA-STS policy that was kept for a domain, even one that has expired; nil when there is none.
    func stsPolicy(of domain: String) async -> KeptPolicy?
    func keep(_ policy: KeptPolicy)
    /// The hosts whose TLS is broken, at the moment given.
    func clearTextHosts(at now: Timestamp) async -> [ClearTextHost]
    func keep(_ host: ClearTextHost)
    /// Adds one to what was seen on the day of the moment.
    func count(_ result: TLSResult, at now: Timestamp)
}

/// An MTA-STS policy as it was fetched (RFC 8461 §3.2).
package struct KeptPolicy: Hashable, Sendable {
    package var domain: String
    /// The `id` of the TXT record under which it was found.
    package var id: String
    /// The body of the response, at most 64 KiB.
    package var text: String
    package var fetchedAt: Timestamp
    /// When its `max_age` is over.
    package var expiresAt: Timestamp

    package init(domain: String, id: String, text: String, fetchedAt: Timestamp, expiresAt: Timestamp) {
        self.domain = domain
        self.id = id
        self.text = text
        self.fetchedAt = fetchedAt
        self.expiresAt = expiresAt
    }
}

/// A host whose TLS failed, and which is sent to in clear text for a while where no policy forbids it.
package struct ClearTextHost: Hashable, Sendable {
    /// In lower case.
    package var host: String
    package var address: IPAddress
    package var until: Timestamp
    package var reason: String

    package init(host: String, address: IPAddress, until: Timestamp, reason: String) {
        self.host = host
        self.address = address
        self.until = until
        self.reason = reason
    }
}
