/// The settings of a provider of kind `sendgrid`.
package struct SendGridConfiguration: Sendable {
    package enum Region: String, Sendable, CaseIterable {
        case global, eu

        var baseURL: String {
            switch self {
            case .global: "https://api.sendgrid.com"
            case .eu: "https://api.eu.sendgrid.com"
            }
        }
    }

    /// A key with the scope `mail.send`.
    package var key: APIKey
    package var region: Region
    /// In place of the region's own base URL.
    package var endpoint: Endpoint?
    /// SendGrid checks the message and sends nothing.
    package var isSandbox: Bool
    /// Octets, of the content and of the JSON that is made of it.
    package var sizeLimit: Int
    /// To, Cc and Bcc of a call together.
    package var recipientLimit: Int
    package var timeout: Duration

    package init(
        key: APIKey,
        region: Region = .global,
        endpoint: Endpoint? = nil,
        isSandbox: Bool = false,
        sizeLimit: Int = 20_000_000,
        recipientLimit: Int = 1_000,
        timeout: Duration = .seconds(60)
    ) {
        self.key = key
        self.region = region
        self.endpoint = endpoint
        self.isSandbox = isSandbox
        self.sizeLimit = sizeLimit
        self.recipientLimit = recipientLimit
        self.timeout = timeout
    }
}
