package import DNSProtocol
package import SMTPClient

/// How mail goes straight to the exchangers of its recipients.
package struct DirectMXConfiguration: Sendable {
    /// What we call ourselves; a name that resolves to our address, or many hosts refuse us.
    package var heloName: String
    /// 25 everywhere but in tests.
    package var port = 25
    /// `opportunistic` for the world; `none` where TLS must not be tried.
    package var tls = TLSPolicy.opportunistic
    /// Which addresses must not be sent to.
    package var addressFilter = AddressFilter()
    /// IPv4 goes first unless set: large hosts ask more of IPv6 senders (PTR, SPF) than of IPv4 ones.
    package var prefersIPv6 = false
    /// Addresses that one attempt may try, over all hosts.
    package var maximumAddresses = 5
    /// `connect` is what one attempt may spend on addresses that keep silent, over all hosts.
    package var timeouts = StageTimeouts()
    /// How long a host is waited for that others stand beside: time for one lost packet.
    package var patience: Duration = .seconds(2)
    /// How long such a host may take to greet; some make every stranger wait for six seconds.
    package var greetingPatience: Duration = .seconds(10)
    package var limits = HopLimits()
    /// DANE, MTA-STS, and what is remembered of hosts' TLS.
    package var security = TransportSecurity.none
    /// A PEM file of trust roots beside the system's, for MTA-STS and REQUIRETLS.
    package var trustRootsFile: String?

    package init(heloName: String) {
        self.heloName = heloName
    }
}
