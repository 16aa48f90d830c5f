package import SMTPClient

extension SmarthostConfiguration {
    /// `smtp.gmail.com` with an app password, or an access token by XOAUTH2.
    ///
    /// 100 recipients by SMTP, 25 MB; logins are throttled harder than messages, so that a connection is kept for 100
    /// messages or five idle minutes.
    package static func gmail(credentials: SMTPCredentials, heloName: String) -> SmarthostConfiguration {
        Self.google(host: "smtp.gmail.com", credentials: credentials, heloName: heloName)
    }

    /// `smtp-relay.gmail.com` of Google Workspace, which knows us by address, EHLO name or login.
    package static func gmailRelay(credentials: SMTPCredentials?, heloName: String) -> SmarthostConfiguration {
        Self.google(host: "smtp-relay.gmail.com", credentials: credentials, heloName: heloName)
    }

    private static func google(
        host: String,
        credentials: SMTPCredentials?,
        heloName: String
    ) -> SmarthostConfiguration {
        var configuration = SmarthostConfiguration(host: host, credentials: credentials, heloName: heloName)
        configuration.sizeLimit = 25 * 1024 * 1024
        configuration.limits.recipientsPerTransaction = 100
        configuration.limits.messagesPerConnection = 100
        configuration.limits.idle = .seconds(300)
        return configuration
    }
}
