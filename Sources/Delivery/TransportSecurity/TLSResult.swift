package import MailModel

/// What one connection to an exchanger said of TLS, in the distinctions of RFC 8460 §4.3; counted for each domain and day.
package struct TLSResult: Hashable, Sendable {
    /// The policy that was applied (RFC 8460 §4.4).
    package enum Policy: String, Hashable, Sendable, Codable, CaseIterable {
        case tlsa, sts
        case none = "no-policy-found"
    }

    package enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        case success
        case startTLSNotSupported = "starttls-not-supported"
        case certificateHostMismatch = "certificate-host-mismatch"
        case certificateExpired = "certificate-expired"
        case certificateNotTrusted = "certificate-not-trusted"
        case validationFailure = "validation-failure"
        case tlsaInvalid = "tlsa-invalid"
        case dnssecInvalid = "dnssec-invalid"
        case daneRequired = "dane-required"
        case stsPolicyFetchError = "sts-policy-fetch-error"
        case stsPolicyInvalid = "sts-policy-invalid"
        case stsWebPKIInvalid = "sts-webpki-invalid"
    }

    /// The recipients' domain, in lower case.
    package var domain: String
    package var policy: Policy
    /// The host's name; empty where none was reached.
    package var exchanger: String
    package var kind: Kind
    package var receivingAddress: String
    package var sendingAddress: String
    /// The policy as it was applied, for the report: the TLSA records, or the lines of an MTA-STS policy.
    package var policyText: String
    /// What was seen, for people; empty for a success.
    package var detail: String

    package init(
        domain: String,
        policy: Policy,
        exchanger: String = "",
        kind: Kind,
        receivingAddress: String = "",
        sendingAddress: String = "",
        policyText: String = "",
        detail: String = ""
    ) {
        self.domain = domain
        self.policy = policy
        self.exchanger = exchanger
        self.kind = kind
        self.receivingAddress = receivingAddress
        self.sendingAddress = sendingAddress
        self.policyText = policyText
        self.detail = detail
    }
}

/// How often a result was seen on one day.
package struct TLSResultCount: Hashable, Sendable {
    /// Days since the epoch, in UTC.
    package var day: Int64
    package var result: TLSResult
    package var count: Int

    package init(day: Int64, result: TLSResult, count: Int) {
        self.day = day
        self.result = result
        self.count = count
    }
}

extension Timestamp {
    /// The day of the moment in UTC, counted from the epoch.
    package var day: Int64 {
        let seconds = self.secondsSinceEpoch
        return seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
    }
}
