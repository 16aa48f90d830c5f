package import Delivery
import MailModel
package import SMTPProtocol

/// What became of an attempt to hand a message to one host: bare facts for a provider's table and for the record.
package struct TransferReport: Sendable {
    /// One for each forward-path, in their order.
    package var results: [RecipientResult] = []
    /// The address that was talked to last; nil when none could be connected to.
    package var endpoint: SMTPEndpoint?
    package var abandoned: [AbandonedEndpoint] = []
    /// `TLSv1.3 verified`; nil for clear text.
    package var tls: String?
    package var mechanism: String?
    /// Our own address on the connection.
    package var localAddress: String?
    /// Why TLS failed where the message then went on in clear text, by a new connection.
    package var tlsFailure: ClientFailure?
    package var reused = false
    package var timings: [StageTiming] = []

    init() {}

    init(failure: ClientFailure, for mail: MailTransaction) {
        self.results = mail.forwardPaths.map { _ in .failed(failure) }
    }

    /// The failure that ended the attempt alike for all, before the server had said anything of recipients or content.
    package var hostFailure: ClientFailure? {
        guard case .failed(let failure)? = self.results.first, self.results.allSatisfy({ $0 == self.results.first }),
            !failure.mayHaveBeenAccepted
        else {
            return nil
        }
        switch failure.stage {
        case .connect, .tls, .greeting, .ehlo, .auth, .mail: return failure
        case .rcpt, .data:
            if case .lost = failure.cause { return failure }
            // RFC 5321 §3.8: a server that must close says so at any stage.
            return failure.reply?.code == 421 ? failure : nil
        case .commit: return nil
        }
    }

    /// Adds what was seen to the evidence of an attempt, which may have talked to other hosts before.
    package func add(to evidence: inout AttemptEvidence) {
        if let endpoint = self.endpoint {
            evidence.remoteHost = endpoint.host
            evidence.remoteAddress = endpoint.socketText
            evidence.tls = self.tls
            evidence.authentication = self.mechanism
            evidence.reusedConnection = self.reused
        }
        evidence.abandonedHosts += self.abandoned.map(\.description)
        evidence.timings += self.timings.map {
            .init(stage: $0.stage.deliveryStage, milliseconds: $0.duration.wholeMilliseconds)
        }
    }

    mutating func note(_ connection: SMTPConnection) {
        self.endpoint = connection.endpoint
        self.tls = connection.tls
        self.mechanism = connection.mechanism
        self.localAddress = connection.localAddress
    }

    /// Adds the times of a further transaction; the same stage is counted together.
    mutating func add(_ timings: [StageTiming]) {
        for timing in timings {
            if let index = self.timings.firstIndex(where: { $0.stage == timing.stage }) {
                self.timings[index].duration += timing.duration
            } else {
                self.timings.append(timing)
            }
        }
    }
}

extension ClientStage {
    /// The same stage in the words of the failure table.
    package var deliveryStage: Failure.Stage {
        switch self {
        case .connect: .connect
        case .tls: .tls
        case .greeting: .greeting
        case .ehlo: .ehlo
        case .auth: .auth
        case .mail: .mail
        case .rcpt: .rcpt
        case .data: .data
        case .commit: .commit
        }
    }
}
