package import MailModel

/// The client's side of one SMTP connection: greeting, EHLO, STARTTLS, AUTH and any number of mail transactions.
///
/// One event in, one action out; it sees no socket and no clock. Whoever runs it measures the wait for each reply by `stage`.
package struct ClientSession: Sendable {
    package struct Configuration: Sendable {
        /// What we call ourselves.
        package var name: String
        package var startTLS: StartTLS
        /// The connection is encrypted before the greeting.
        package var isEncrypted: Bool
        /// The server proves who it is in the handshake, as REQUIRETLS wants (RFC 8689 §4.2.1).
        package var authenticatesServer: Bool
        package var login: ClientLogin?
        /// Lets AUTH go out without TLS; off but for tests and sockets of one's own machine.
        package var allowsClearTextLogin: Bool
        /// Refuses a server that greets with our own name (a mail loop).
        package var refusesOwnName: Bool

        package init(
            name: String,
            startTLS: StartTLS = .never,
            isEncrypted: Bool = false,
            authenticatesServer: Bool = false,
            login: ClientLogin? = nil,
            allowsClearTextLogin: Bool = false,
            refusesOwnName: Bool = false
        ) {
            self.name = name
            self.startTLS = startTLS
            self.isEncrypted = isEncrypted
            self.authenticatesServer = authenticatesServer
            self.login = login
            self.allowsClearTextLogin = allowsClearTextLogin
            self.refusesOwnName = refusesOwnName
        }
    }

    package enum StartTLS: Hashable, Sendable {
        case never, ifOffered, required
    }

    package enum Action: Hashable, Sendable {
        case wait
        /// Write all commands at once.
        case send([ClientCommand])
        /// Throw away every byte read so far, then start TLS; if there was one, and TLS is required, the session fails.
        case startTLS
        /// The server takes mail now.
        case ready
        /// The server waits for the content, with dots stuffed and the final dot.
        case sendContent
        /// Write a lone final dot, which commits nothing.
        case sendFinalDot
        /// The transaction is over: one result for each forward-path, in their order.
        case finished([RecipientResult])
        /// The set-up failed; close.
        case fail(ClientFailure)
        case close
    }

    private enum State: Sendable {
        case greeting
        case ehlo
        case helo
        case startingTLS
        case handshake
        case authenticating(ClientAuthentication, cancelled: Bool)
        case ready
        case transaction(ClientTransaction)
        case quitting
        case closed
    }

    /// What the server offers, as of its last EHLO.
    package private(set) var extensions = OfferedExtensions()
    /// The mechanism by which we are authenticated.
    package private(set) var mechanism: ClientMechanism?
    package private(set) var isEncrypted: Bool
    private let configuration: Configuration
    private var state = State.greeting
    private var needsReset = false
    private var isSpent = false
    /// Kept as long as the connection: a peer that is out of step may quote them at any time.
    private var secrets: SentSecrets?

    package init(_ configuration: Configuration) {
        self.configuration = configuration
        self.isEncrypted = configuration.isEncrypted
    }

    /// What the next reply is about.
    package var stage: ClientStage {
        switch self.state {
        case .greeting: .greeting
        case .ehlo, .helo: .ehlo
        case .startingTLS, .handshake: .tls
        case .authenticating: .auth
        case .ready: .mail
        case .transaction(let transaction): transaction.stage
        case .quitting, .closed: .commit
        }
    }

    /// Whether another transaction may begin.
    package var isReusable: Bool {
        if case .ready = self.state { !self.isSpent } else { false }
    }

    /// Whether QUIT was said and its answer has not come.
    package var isQuitting: Bool {
        if case .quitting = self.state { true } else { false }
    }

    /// Whether the server has answered anything of the running transaction.
    package var transactionHasBeenAnswered: Bool {
        if case .transaction(let transaction) = self.state { transaction.hasBeenAnswered } else { false }
    }

    package mutating func receive(_ heard: Reply) -> Action {
        let reply = self.secrets?.hidden(in: heard) ?? heard
        switch self.state {
        case .greeting:
            return self.receiveGreeting(reply)
        case .ehlo:
            return self.receiveEHLO(reply)
        case .helo:
            return reply.isPositive ? self.introduced(.init()) : self.fail(.ehlo, reply)
        case .startingTLS:
            return self.receiveStartTLS(reply)
        case .authenticating(let authentication, let cancelled):
            return self.receiveAuth(reply, challenge: heard.lines.first ?? "", in: authentication, cancelled: cancelled)
        case .transaction(var transaction):
            // Nobody else holds the transaction now, so that changing it copies nothing.
            self.state = .ready
            let step = transaction.receive(reply)
            return self.follow(step, of: transaction)
        case .handshake, .ready:
            // 421 at idle, or a reply to nothing: the connection is out of step.
            self.state = .closed
            return .close
        case .quitting, .closed:
            self.state = .closed
            return .close
        }
    }

    /// The handshake after `startTLS` has succeeded; everything the server said before is forgotten (RFC 3207 §4.2).
    package mutating func tlsEstablished() -> Action {
        self.isEncrypted = true
        self.extensions = .init()
        self.state = .ehlo
        return .send([.ehlo(self.configuration.name)])
    }

    /// Begins a transaction on a ready session; `finished` at once when the server cannot carry the message.
    package mutating func begin(_ mail: MailTransaction) -> Action {
        let isProtected = self.isEncrypted && self.configuration.authenticatesServer
        if let obstacle = mail.obstacle(at: self.extensions, isProtected: isProtected) {
            return .finished(mail.forwardPaths.map { _ in .failed(obstacle) })
        }
        guard self.isReusable else {
            return .finished(mail.forwardPaths.map { _ in .failed(.init(.mail, .lost("the connection was closed"))) })
        }
        var transaction = ClientTransaction(mail, to: self.extensions, resetFirst: self.needsReset)
        self.needsReset = false
        let step = transaction.begin()
        return self.follow(step, of: transaction)
    }

    /// The content and its final dot have been handed to the connection.
    package mutating func contentSent() {
        guard case .transaction(var transaction) = self.state else {
            return
        }
        // As in `receive`: held once, it is changed in place.
        self.state = .ready
        transaction.contentSent()
        self.state = .transaction(transaction)
    }

    /// The connection ended, broke, or took too long; `dotMayHaveLeft` is false when the final dot surely was not written.
    package mutating func interrupted(by cause: ClientFailure.Cause, dotMayHaveLeft: Bool) -> Action {
        defer {
            self.state = .closed
        }
        switch self.state {
        case .transaction(var transaction):
            return .finished(transaction.interrupted(by: cause, dotMayHaveLeft: dotMayHaveLeft))
        case .greeting, .ehlo, .helo, .startingTLS, .handshake, .authenticating:
            return .fail(ClientFailure(self.stage, cause))
        case .ready, .quitting, .closed:
            return .close
        }
    }

    /// Says goodbye; the answer is not worth waiting for long.
    package mutating func quit() -> Action {
        guard case .ready = self.state else {
            self.state = .closed
            return .close
        }
        self.state = .quitting
        return .send([.quit])
    }

    private mutating func receiveGreeting(_ reply: Reply) -> Action {
        guard reply.isPositive else {
            return self.fail(.greeting, reply)
        }
        let name = reply.lines.first.map { $0.prefix { $0 != " " }.lowercased() }
        if self.configuration.refusesOwnName, name == self.configuration.name.lowercased() {
            return self.fail(ClientFailure(.greeting, .ourselves))
        }
        self.state = .ehlo
        return .send([.ehlo(self.configuration.name)])
    }

    private mutating func receiveEHLO(_ reply: Reply) -> Action {
        if reply.isPositive {
            return self.introduced(OfferedExtensions(reply: reply))
        }
        // RFC 5321 §3.2: a server of before 1993 refuses EHLO and takes HELO.
        guard reply.isPermanentFailure, [500, 501, 502, 504, 550, 554].contains(reply.code) else {
            return self.fail(.ehlo, reply)
        }
        self.state = .helo
        return .send([.helo(self.configuration.name)])
    }

    private mutating func introduced(_ extensions: OfferedExtensions) -> Action {
        self.extensions = extensions
        if !self.isEncrypted, self.configuration.startTLS != .never {
            if extensions.startTLS {
                self.state = .startingTLS
                return .send([.startTLS])
            }
            // Absence where it is required may be an attack that strips it: not one octet of AUTH or mail goes out.
            if self.configuration.startTLS == .required {
                return self.fail(ClientFailure(.tls, .notOffered("STARTTLS")))
            }
        }
        return self.authenticate()
    }

    private mutating func receiveStartTLS(_ reply: Reply) -> Action {
        if reply.isPositive {
            self.state = .handshake
            return .startTLS
        }
        if self.configuration.startTLS == .required || reply.code == 421 {
            return self.fail(.tls, reply)
        }
        return self.authenticate()
    }

    private mutating func authenticate() -> Action {
        guard let login = self.configuration.login else {
            self.state = .ready
            return .ready
        }
        guard self.isEncrypted || self.configuration.allowsClearTextLogin else {
            return self.fail(ClientFailure(.auth, .notOffered("AUTH over TLS")))
        }
        guard let mechanism = login.mechanisms.first(where: { self.extensions.mechanisms.contains($0.rawValue) }) else {
            let words = login.mechanisms.map(\.rawValue).joined(separator: " or ")
            return self.fail(ClientFailure(.auth, .notOffered("AUTH \(words)")))
        }
        let authentication = ClientAuthentication(mechanism: mechanism, login: login)
        self.state = .authenticating(authentication, cancelled: false)
        self.secrets = SentSecrets(secret: login.secret)
        return self.send(secret: authentication.command)
    }

    /// The challenge is what a 334 says, as it came.
    private mutating func receiveAuth(
        _ reply: Reply,
        challenge: String,
        in authentication: ClientAuthentication,
        cancelled: Bool
    ) -> Action {
        var authentication = authentication
        if reply.isPositive, !cancelled {
            self.mechanism = authentication.mechanism
            self.state = .ready
            return .ready
        }
        guard reply.code == 334, !cancelled else {
            return self.fail(.auth, reply)
        }
        // RFC 4954 §4: "*" cancels, and a 501 must follow.
        let answer = authentication.respond(to: challenge)
        self.state = .authenticating(authentication, cancelled: answer == nil)
        return self.send(secret: answer ?? .authResponse("*"))
    }

    private mutating func send(secret command: ClientCommand) -> Action {
        self.secrets?.note(command)
        return .send([command])
    }

    private mutating func follow(
        _ step: ClientTransaction.Step,
        of transaction: consuming ClientTransaction
    ) -> Action {
        let action: Action
        switch step {
        case .wait: action = .wait
        case .send(let commands): action = .send(commands)
        case .sendContent: action = .sendContent
        case .sendFinalDot: action = .sendFinalDot
        case .finished(let results):
            self.needsReset = transaction.leavesTransactionOpen
            self.isSpent = transaction.endsConnection
            self.state = .ready
            return .finished(results)
        }
        self.state = .transaction(transaction)
        return action
    }

    private mutating func fail(_ stage: ClientStage, _ reply: Reply) -> Action {
        let isRefusal = reply.isTransientFailure || reply.isPermanentFailure
        return self.fail(ClientFailure(stage, isRefusal ? .reply(reply) : .protocolError("unexpected \(reply)")))
    }

    private mutating func fail(_ failure: ClientFailure) -> Action {
        self.state = .closed
        return .fail(failure)
    }
}
