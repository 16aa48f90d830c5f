import MailModel

/// Commands outside of content.
extension ServerSession {
    /// Carries out one command; nil when content follows it without a reply in between.
    mutating func receive(_ command: Command) -> SessionAction? {
        if let excess = self.countCommand(command) {
            return excess
        }
        switch command {
        case .hello(let name, let isExtended):
            return self.receiveHello(name, isExtended: isExtended)
        case .mail(let path, let arguments):
            return self.receiveMail(path, arguments)
        case .recipient(let path, let arguments):
            return self.receiveRecipient(path, arguments)
        case .data:
            return self.receiveDataCommand()
        case .chunk(let octets, let isLast):
            return self.receiveChunkCommand(octets: octets, isLast: isLast)
        case .reset:
            let hadContent = self.isChunking
            self.resetTransaction()
            return hadContent ? .dropContent(.ok) : .send(.ok)
        case .noop:
            return .send(.ok)
        case .verify:
            return .send(.cannotVerify)
        case .help:
            return .send(.help)
        case .quit:
            return self.close(.bye, .quit)
        case .startTLS:
            return self.receiveStartTLS()
        case .authenticate(let mechanism, let initialResponse):
            return self.receiveAuthenticate(mechanism, initialResponse: initialResponse)
        case .unimplemented(let verb):
            return self.fail(Reply(502, EnhancedStatusCode(5, 5, 1), "\(verb) is not implemented"))
        case .hypertext:
            return self.close(.hypertext, .hypertext)
        }
    }

    mutating func receiveMalformed(_ error: CommandSyntaxError) -> SessionAction {
        if error.endsSession {
            return self.close(error.reply, .protocolViolation)
        }
        // Addresses are data of an application that we trust: a list with many bad ones must not cut its session.
        if self.isTrusted, error.reply.enhanced?.subject == 1 || error.reply.enhanced?.subject == 6 {
            return .send(error.reply)
        }
        return self.fail(error.reply)
    }

    /// Whether the client may relay.
    var isTrusted: Bool {
        self.authenticatedUser != nil || (self.policy.mayRelay && self.policy.authentication != .required)
    }

    private mutating func countCommand(_ command: Command) -> SessionAction? {
        switch command {
        case .recipient, .data, .chunk, .quit:
            return nil
        case .mail, .hello, .reset, .noop, .verify, .help, .startTLS, .authenticate, .unimplemented, .hypertext:
            self.counters.commandsWithoutMail += 1
            let isTooMany = self.counters.commandsWithoutMail > self.policy.limits.commandsWithoutMail
            return isTooMany ? self.close(.tooManyCommands, .tooManyCommands) : nil
        }
    }

    private mutating func receiveHello(_ name: String, isExtended: Bool) -> SessionAction {
        // RFC 5321 §4.1.4: EHLO in the middle of a transaction acts like RSET.
        let hadContent = self.isChunking
        self.resetTransaction()
        self.clientName = name
        self.isExtended = isExtended
        let reply = Reply(250, lines: isExtended ? self.announcement : [self.policy.hostname])
        return hadContent ? .dropContent(reply) : .send(reply)
    }

    /// The lines of the reply to EHLO.
    private var announcement: [String] {
        var lines = [
            self.policy.hostname, "PIPELINING", "SIZE \(self.policy.limits.messageSize)", "8BITMIME", "SMTPUTF8",
            "CHUNKING", "DSN", "ENHANCEDSTATUSCODES",
        ]
        if self.isTLSActive {
            // RFC 8689 §2: never offered in clear text.
            lines.append("REQUIRETLS")
        } else if self.policy.offersSTARTTLS {
            lines.append("STARTTLS")
        }
        if self.isAuthenticationOffered {
            lines.append("AUTH PLAIN LOGIN")
        }
        lines.append("LIMITS RCPTMAX=\(self.policy.limits.recipients)")
        return lines
    }

    private var isAuthenticationOffered: Bool {
        self.policy.authentication != .none && (self.isTLSActive || self.policy.allowsAuthenticationWithoutTLS)
    }

    private mutating func receiveStartTLS() -> SessionAction {
        guard !self.isTLSActive else {
            return self.fail(.tlsActive)
        }
        guard self.policy.offersSTARTTLS else {
            return self.fail(.tlsUnavailable)
        }
        self.phase = .startingTLS
        return .startTLS(.readyForTLS)
    }

    private mutating func receiveMail(_ path: CommandPath, _ arguments: MailArguments) -> SessionAction {
        guard self.clientName != nil else {
            return self.fail(.helloFirst)
        }
        guard self.transaction == nil else {
            return self.fail(.nestedMail)
        }
        if self.policy.authentication == .required, self.authenticatedUser == nil {
            self.counters.errors += 1
            return self.refuseByPolicy(.authenticationRequired, .authenticationRequired)
        }
        guard self.counters.transactions < self.policy.limits.transactions else {
            return self.close(.tooManyTransactions, .tooManyTransactions)
        }
        if let size = arguments.size, size > self.policy.limits.messageSize {
            return .send(.tooLarge(limit: self.policy.limits.messageSize))
        }
        guard self.isTLSActive || !arguments.parameters.requireTLS else {
            return self.fail(.requireTLSNotOffered)
        }
        let mailbox = self.qualified(path)
        guard arguments.parameters.smtpUTF8 || mailbox?.isASCII ?? true else {
            return .send(.needsSMTPUTF8)
        }
        self.transaction = Envelope(
            reversePath: mailbox.map { .mailbox($0) } ?? .null,
            parameters: arguments.parameters
        )
        return .send(.okSender)
    }

    private mutating func receiveRecipient(_ path: CommandPath, _ arguments: RecipientArguments) -> SessionAction {
        guard let transaction = self.transaction, !self.isChunking else {
            return self.fail(self.isChunking ? .chunkedAlready : .mailFirst)
        }
        guard let mailbox = self.qualified(path) else {
            return self.fail(Reply(501, EnhancedStatusCode(5, 1, 3), "malformed address: expected <local-part@domain>"))
        }
        guard self.isTrusted else {
            self.counters.errors += 1
            let text = "relaying denied for <\(mailbox)>: the client's address is not in an allowed network"
            return self.refuseByPolicy(Reply(550, EnhancedStatusCode(5, 7, 1), text), .relayDenied(mailbox.description))
        }
        guard transaction.parameters.smtpUTF8 || mailbox.isASCII else {
            return .send(.needsSMTPUTF8)
        }
        guard transaction.forwardPaths.count < self.policy.limits.recipients else {
            self.recipientsLeftOut += 1
            return .send(.tooManyRecipients)
        }
        let path = ForwardPath(
            mailbox: mailbox,
            notify: arguments.notify,
            originalRecipient: arguments.originalRecipient
        )
        self.transaction?.forwardPaths.append(path)
        self.envelopeSize += path.storedSize
        return .send(.okRecipient)
    }

    private mutating func refuseByPolicy(_ reply: Reply, _ refusal: SessionRefusal) -> SessionAction {
        if self.counters.errors >= self.policy.limits.errorsBeforeClose {
            return self.close(.tooManyErrors, .tooManyErrors)
        }
        return .refuse(reply, refusal)
    }

    /// The mailbox of a path, with our domain where the client gave none; nil for the null path.
    private func qualified(_ path: CommandPath) -> Mailbox? {
        switch path {
        case .null:
            nil
        case .mailbox(let localPart, let domain):
            Mailbox(localPart: localPart, domain: MailDomain(domain ?? self.policy.qualifyDomain))
        }
    }
}

/// AUTH (RFC 4954).
extension ServerSession {
    private mutating func receiveAuthenticate(_ mechanism: String, initialResponse: String?) -> SessionAction {
        if let refusal = self.authenticationRefusal {
            return self.fail(refusal)
        }
        guard self.counters.authenticationFailures < self.policy.limits.authenticationFailures else {
            return self.close(.authenticationFailures, .authenticationFailures)
        }
        guard var exchange = ServerExchange(mechanism: mechanism) else {
            return self.fail(.unknownMechanism)
        }
        let step = exchange.begin(initialResponse: initialResponse)
        return self.follow(step, of: exchange)
    }

    /// Why AUTH cannot be used now, if so.
    private var authenticationRefusal: Reply? {
        if self.policy.authentication == .none {
            return .authenticationUnavailable
        }
        if self.clientName == nil {
            return .helloFirst
        }
        if self.authenticatedUser != nil {
            return .authenticatedAlready
        }
        if self.transaction != nil {
            return .notInTransaction
        }
        return self.isAuthenticationOffered ? nil : .encryptionRequired
    }

    mutating func receiveExchange(_ line: String) -> SessionAction {
        guard case .authenticating(var exchange) = self.phase else {
            preconditionFailure("no exchange is under way: \(self.phase)")
        }
        let step = exchange.receive(line)
        return self.follow(step, of: exchange)
    }

    private mutating func follow(_ step: ServerExchange.Step, of exchange: ServerExchange) -> SessionAction {
        switch step {
        case .challenge(let reply):
            self.phase = .authenticating(exchange)
            return .send(reply)
        case .credentials(let credentials):
            self.phase = .checkingCredentials(user: credentials.user)
            return .authenticate(credentials)
        case .failed(let reply):
            self.phase = .command
            if reply.code == 535 {
                self.counters.authenticationFailures += 1
            }
            return self.fail(reply)
        }
    }
}

extension ForwardPath {
    /// Octets that it takes in memory, about.
    fileprivate var storedSize: Int {
        let texts = self.mailbox.localPart.utf8.count + self.mailbox.domain.text.utf8.count
        return 128 + texts + (self.originalRecipient?.utf8.count ?? 0)
    }
}
