import NIOCore
import NIOSSL
import SMTPProtocol
import Synchronization

/// Why one connection's certificate was refused, told by whoever judged it to whoever hears that the handshake failed.
final class CertificateVerdict: Sendable {
    private let found = Mutex<CertificateFault?>(nil)

    var fault: CertificateFault? {
        self.found.withLock { $0 }
    }

    /// Judges the presented certificates by TLSA records; called on the event loop of the connection.
    func judge(
        _ chain: [NIOSSLCertificate],
        by associations: DANEAssociations,
        promise: EventLoopPromise<NIOSSLVerificationResult>
    ) {
        let presented = chain.compactMap { try? $0.toDERBytes() }
        switch presented.count == chain.count
            ? DANEVerifier.compare(presented, with: associations) : .failed(.notTrusted)
        {
        case .matched:
            promise.succeed(.certificateVerified)
        case .failed(let fault):
            self.refuse(fault, promise)
        case .anchors(let anchors):
            // The library that builds the chain is asynchronous; the handshake waits for it, within its own timeout.
            promise.completeWithTask {
                let fault = await DANEVerifier.fault(of: presented, under: anchors, names: associations.names)
                self.found.withLock { $0 = fault }
                return fault == nil ? .certificateVerified : .failed
            }
        }
    }

    private func refuse(_ fault: CertificateFault, _ promise: EventLoopPromise<NIOSSLVerificationResult>) {
        self.found.withLock { $0 = fault }
        promise.succeed(.failed)
    }
}

extension CertificateFault {
    /// What BoringSSL's refusal of a certificate was about, told by the certificate itself; nil for any other error.
    init?(_ error: any Error, certificate: NIOSSLCertificate?, now: Int64) {
        guard let error = error as? NIOSSLError else {
            guard (error as? NIOSSLExtraError) == .failedToValidateHostname else {
                return nil
            }
            self = .hostMismatch
            return
        }
        // BoringSSL's error has no other form than its text.
        guard case .handshakeFailed(let cause) = error, "\(cause)".contains("CERTIFICATE_VERIFY_FAILED") else {
            return nil
        }
        let isCurrent = certificate.map { Int64($0.notValidBefore) <= now && now <= Int64($0.notValidAfter) }
        self = isCurrent == false ? .expired : .notTrusted
    }
}
