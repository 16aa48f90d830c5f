/// What services ask the owner of a sender domain to publish.
struct KnownService: Hashable, Sendable {
    /// The end of its host's name.
    let host: String
    /// The policy that a sender's SPF includes.
    let policy: String
    /// Selectors of its DKIM keys, where all customers have the same.
    let selectors: [String]

    static let all = [
        KnownService(host: "gmail.com", policy: "_spf.google.com", selectors: ["google"]),
        KnownService(host: "sendgrid.net", policy: "sendgrid.net", selectors: ["s1", "s2"]),
        KnownService(host: "sendgrid.com", policy: "sendgrid.net", selectors: ["s1", "s2"]),
        KnownService(
            host: "mailgun.org",
            policy: "mailgun.org",
            selectors: ["mailo", "mx", "pic", "smtp", "email", "k1", "krs"]
        ),
        KnownService(
            host: "mailgun.net",
            policy: "mailgun.org",
            selectors: ["mailo", "mx", "pic", "smtp", "email", "k1"]
        ),
        KnownService(host: "amazonaws.com", policy: "amazonses.com", selectors: []),
        KnownService(
            host: "office365.com",
            policy: "spf.protection.outlook.com",
            selectors: ["selector1", "selector2"]
        ),
        KnownService(host: "mailjet.com", policy: "spf.mailjet.com", selectors: ["mailjet"]),
        KnownService(host: "brevo.com", policy: "spf.brevo.com", selectors: ["brevo1", "brevo2", "mail"]),
        KnownService(host: "mandrillapp.com", policy: "spf.mandrillapp.com", selectors: ["mte1", "mte2", "mandrill"]),
        KnownService(host: "resend.com", policy: "amazonses.com", selectors: ["resend"]),
    ]

    /// The service of a host; nil for one that we do not know.
    static func named(_ host: String) -> KnownService? {
        let host = host.lowercased()
        return self.all.first { host == $0.host || host.hasSuffix(".\($0.host)") }
    }
}
