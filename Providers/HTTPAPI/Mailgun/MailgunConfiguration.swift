/// The settings of a provider of kind `mailgun`.
package struct MailgunConfiguration: Sendable {
    package enum Region: String, Sendable, CaseIterable {
        case us, eu

        var baseURL: String {
            switch self {
            case .us: "https://api.mailgun.net"
            case .eu: "https://api.eu.mailgun.net"
            }
        }
    }

    /// An account key or a domain sending key.
    package var key: APIKey
    /// The sending domain; nil: the domain of the From field.
    package var domain: String?
    package var region: Region
    /// In place of the region's own base URL.
    package var endpoint: Endpoint?
    /// Accepted and billed by Mailgun, but not delivered.
    package var isTestMode: Bool
    /// Octets.
    package var sizeLimit: Int
    /// Recipients of one call; more are asked for in several.
    package var recipientLimit: Int
    package var timeout: Duration

    package init(
        key: APIKey,
        domain: String? = nil,
        region: Region = .us,
        endpoint: Endpoint? = nil,
        isTestMode: Bool = false,
        sizeLimit: Int = 25_000_000,
        recipientLimit: Int = 1_000,
        timeout: Duration = .seconds(60)
    ) {
        self.key = key
        self.domain = domain
        self.region = region
        self.endpoint = endpoint
        self.isTestMode = isTestMode
        self.sizeLimit = sizeLimit
        self.recipientLimit = recipientLimit
        self.timeout = timeout
    }
}
