import MailModel
import NIOCore
package import SMTPProtocol

/// What a call without mail brought.
package struct ProbeReport: Sendable {
    /// The address that was talked to last.
    package var endpoint: SMTPEndpoint?
    /// `TLSv1.3 verified`; nil for clear text.
    package var tls: String?
    /// The AUTH mechanism that was accepted.
    package var mechanism: String?
    /// Why the host would not have taken mail; nil when it waited for it.
    package var failure: ClientFailure?
}

extension SMTPClient {
    /// Goes as far as a server that waits for `MAIL`, TLS and AUTH included, and quits; never over a kept connection.
    package func probe(_ hop: NextHop, until deadline: ContinuousClock.Instant) async -> ProbeReport {
        do throws(SMTPConnection.SetUpFailure) {
            let (connection, _) = try await self.open(hop, until: .init(deadline), on: self.group.next())
            connection.quit()
            return ProbeReport(endpoint: connection.endpoint, tls: connection.tls, mechanism: connection.mechanism)
        } catch {
            return ProbeReport(endpoint: error.endpoint, failure: error.failure)
        }
    }
}
