package import MailModel

/// One address of a host that takes mail.
package struct SMTPEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// The name that the certificate must bear; also for records.
    package var host: String
    package var address: IPAddress
    package var port: Int

    package init(host: String, address: IPAddress, port: Int) {
        self.host = host
        self.address = address
        self.port = port
    }

    /// `192.0.2.1:25` or `[2001:db8::1]:25`.
    package var socketText: String {
        self.address.isIPv6 ? "[\(self.address)]:\(self.port)" : "\(self.address):\(self.port)"
    }

    /// `mx1.example[192.0.2.1]:25`, as records quote it.
    package var description: String {
        "\(self.host)[\(self.address)]:\(self.port)"
    }
}
