import DNSProtocol
import Delivery
import MailModel
import SMTPClient
import SMTPProtocol

/// One attempt at one domain: its exchangers in order, and the addresses of each, until one takes the message.
struct DomainDelivery {
    /// Exchangers that are looked at in one attempt; a zone may list hundreds.
    private static let hostLimit = 10

    let domain: MailDomain
    let message: QueuedMessage
    let recipients: [Recipient]
    let configuration: DirectMXConfiguration
    let resolver: any Resolver
    let client: SMTPClient
    let memory: SilenceMemory
    let deadline: ContinuousClock.Instant
    let gate: CommitGate
    var evidence: AttemptEvidence
    private(set) var outcomes: [Recipient.Number: Outcome] = [:]
    var security: DomainSecurity
    /// The failure that tells most so far: the one that came furthest.
    private var verdict: Failure?
    /// An address was passed by since nothing answers over its family; counts only where nothing else is known.
    private var deadFamily: Failure?
    /// Addresses that answered as ourselves; another exchanger may have them, too.
    private var ownAddresses: Set<IPAddress> = []
    private var addressesLeft = 0
    /// What may still be spent on addresses that keep silent.
    private var connectTimeLeft = Duration.zero

    init(
        domain: MailDomain,
        message: QueuedMessage,
        recipients: [Recipient],
        configuration: DirectMXConfiguration,
        resolver: any Resolver,
        client: SMTPClient,
        memory: SilenceMemory,
        deadline: ContinuousClock.Instant,
        gate: CommitGate,
        evidence: AttemptEvidence
    ) {
        self.domain = domain
        self.message = message
        self.recipients = recipients
        self.configuration = configuration
        self.resolver = resolver
        self.client = client
        self.memory = memory
        self.deadline = deadline
        self.gate = gate
        self.evidence = evidence
        self.security = DomainSecurity(domain: "", wish: .init(message.parameters))
    }

    mutating func run() async {
        self.addressesLeft = max(1, self.configuration.maximumAddresses)
        self.connectTimeLeft = self.configuration.timeouts.connect
        if let address = self.domain.literalAddress {
            await self.deliver(to: [self.domain.text], known: address)
        } else if self.domain.isLiteral {
            self.fail(FailureTable.unusableName(self.domain.text))
        } else {
            await self.deliverByName()
        }
    }

    private mutating func deliverByName() async {
        guard let name = DomainALabels.ascii(self.domain.text) else {
            self.fail(FailureTable.unusableName(self.domain.text))
            return
        }
        let began = ContinuousClock.now
        // Beside the MX lookup, so that it costs no time of its own.
        let policies = self.usablePolicies
        async let sts = policies?.verdict(on: name)
        let resolution = await self.resolver.mailExchangers(of: name)
        self.evidence.note(resolution, since: began)
        // Boxed, so that it has an address: ThreadSanitizer looks there, and an empty value need not have one.
        var generator: any RandomNumberGenerator = SystemRandomNumberGenerator()
        let (client, port) = (self.client, self.configuration.port)
        let isOpen = { (host: String) in client.hasIdleConnection(to: host, port: port) }
        switch ExchangerPlan(
            domain: name,
            answer: resolution.lookup,
            favouring: isOpen,
            endingAt: self.isOurName,
            using: &generator
        ) {
        case .hosts(var hosts):
            self.noteSecurity(resolution, of: name, await sts)
            if let own = hosts.last, self.isOurName(own) {
                self.consider(FailureTable.ourselves(own))
                hosts.removeLast()
            }
            await self.deliver(to: hosts, known: nil)
        case .nullMX: self.fail(FailureTable.nullMX(name))
        case .noSuchDomain: self.fail(FailureTable.noSuchDomain(name))
        case .unavailable(let why): self.fail(FailureTable.unavailable(why))
        }
    }

    /// Tries hosts until one has given its word on the recipients, or addresses or time are spent.
    private mutating func deliver(to hosts: [String], known: IPAddress?) async {
        var wasAllSeen = hosts.count <= Self.hostLimit
        for (index, host) in hosts.prefix(Self.hostLimit).enumerated() {
            guard self.addressesLeft > 0, ContinuousClock.now < self.deadline else {
                wasAllSeen = false
                break
            }
            let usable: [IPAddress]
            var resolution: Resolution<IPAddress>?
            if let known {
                usable = self.usable([known], of: host)
            } else {
                (usable, resolution) = await self.addresses(of: host)
                if usable.isEmpty, resolution.map(self.leadsToUs) ?? false {
                    // Those behind are there to hand the mail to us (RFC 5321 §5.1).
                    break
                }
            }
            let isLastHost = index == min(hosts.count, Self.hostLimit) - 1
            let reachable = self.reachable(usable, of: host, limit: isLastHost ? self.addressesLeft : 2)
            let isLast = isLastHost || reachable.count >= self.addressesLeft
            guard !reachable.isEmpty, let plan = await self.plan(for: host, resolution) else {
                continue
            }
            let parts = await self.parts(of: reachable, of: host, plan)
            for (number, part) in parts.enumerated() {
                self.evidence.abandonedHosts += part.abandoned
                let isLastPart = isLast && number == parts.count - 1
                if await self.deliver(to: host, at: part.addresses, part.plan, isLast: isLastPart) {
                    return
                }
            }
        }
        self.giveUp(wasAllSeen: wasAllSeen && ContinuousClock.now < self.deadline)
    }

    /// No host has taken the message.
    private mutating func giveUp(wasAllSeen: Bool) {
        if let deadFamily, self.verdict.map({ $0.persistence == .permanent }) ?? true {
            self.verdict = deadFamily
        }
        // That one of them is ourselves says nothing of those that were not looked at.
        if !wasAllSeen, self.verdict.map({ $0.reason == .mailLoop }) ?? true {
            self.verdict = FailureTable.notAllSeen(self.domain.text)
        }
        self.fail(self.verdict ?? FailureTable.noAddress(self.domain.text))
    }

    /// Tries the addresses of one host; true when the recipients have their outcomes.
    private mutating func deliver(
        to host: String,
        at addresses: [IPAddress],
        _ plan: HostPlan,
        isLast: Bool
    ) async -> Bool {
        var untried = Array(addresses.prefix(self.addressesLeft))
        while !untried.isEmpty, ContinuousClock.now < self.deadline {
            let report = await self.transfer(to: host, at: untried, plan, isLast: isLast)
            report.add(to: &self.evidence)
            self.memory.learn(from: report, for: self.domain.key)
            guard let failure = report.hostFailure else {
                self.settle(report, host: host)
                return true
            }
            let judged = FailureTable.failure(failure, host: report.endpoint?.description ?? host)
            let verdict = self.explained(judged, failure, plan)
            switch verdict.scope {
            // RFC 8689 §4.2.1: another host of the domain may keep the promise that this one does not.
            case .capability where self.message.parameters.requireTLS && verdict.status.subject == 7: break
            // By its name alone: a wrong exchanger or a stranger's mistake, unless all others say so, too. No place among
            // the exchangers follows from it, and who hands the mail to us all the same is found out by the trace fields.
            case .capability where failure.cause == .ourselves:
                self.ownAddresses.formUnion([report.endpoint?.address].compactMap(\.self))
            // What is said of the message, or is our own trouble, is no better at another host.
            case .capability, .message, .recipient, .sender, .local:
                self.fail(verdict)
                return true
            case .destination, .provider: break
            }
            self.consider(verdict)
            if let endpoint = report.endpoint {
                self.evidence.abandonedHosts.append("\(endpoint): \(failure)")
            }
            let tried = Set(report.abandoned.map(\.endpoint.address) + [report.endpoint?.address].compactMap(\.self))
            let before = untried.count
            untried.removeAll { tried.contains($0) }
            self.addressesLeft -= max(1, before - untried.count)
            if untried.count == before {
                break
            }
        }
        return false
    }

    mutating func transfer(
        to host: String,
        at addresses: [IPAddress],
        _ tls: TLSPolicy,
        isLast: Bool
    ) async -> TransferReport {
        var hop = NextHop(
            host: host,
            port: self.configuration.port,
            addresses: addresses,
            tls: tls,
            heloName: self.configuration.heloName
        )
        hop.refusesOwnName = true
        hop.trustRootsFile = self.configuration.trustRootsFile
        hop.timeouts = self.configuration.timeouts
        let patience = min(self.configuration.patience, self.configuration.timeouts.connect)
        hop.timeouts.connect = isLast ? max(patience, self.connectTimeLeft) : patience
        if !isLast {
            hop.timeouts.greeting = min(self.configuration.greetingPatience, self.configuration.timeouts.greeting)
        }
        hop.limits = self.configuration.limits
        let mail = MailTransaction(
            reversePath: self.message.reversePath,
            parameters: self.message.parameters,
            forwardPaths: self.recipients.map(\.forwardPath),
            size: self.message.content.size,
            isEightBit: self.message.content.isEightBit
        ).inASCIIWherePossible
        let gate = self.gate
        let report = await self.client.deliver(mail, content: self.message.content, over: hop, until: self.deadline) {
            try await gate.pass()
        }
        if report.endpoint == nil {
            self.connectTimeLeft -= hop.timeouts.connect
        }
        return report
    }

    private mutating func settle(_ report: TransferReport, host: String) {
        let name = report.endpoint?.description ?? host
        for (recipient, result) in zip(self.recipients, report.results) {
            switch result {
            case .accepted(let reply):
                self.outcomes[recipient.number] = .delivered(Acceptance(reply: reply))
            case .failed(let failure):
                self.outcomes[recipient.number] = .failed(FailureTable.failure(failure, host: name))
            }
        }
    }

    private mutating func fail(_ failure: Failure) {
        for recipient in self.recipients where self.outcomes[recipient.number] == nil {
            self.outcomes[recipient.number] = .failed(failure)
        }
    }

    // MARK: - Addresses

    private var usablePolicies: MTASTSPolicies? {
        self.configuration.tls == .none || self.security.wish == .anyhow ? nil : self.configuration.security.policies
    }

    private func isOurName(_ host: String) -> Bool {
        host.lowercased() == self.configuration.heloName.lowercased()
    }

    private func leadsToUs(_ resolution: Resolution<IPAddress>) -> Bool {
        guard case .records(let addresses, timeToLive: _) = resolution.lookup else {
            return false
        }
        // Loopback, or a private address that we have by chance, is a stranger's mistake and not our place among the hosts.
        return addresses.contains { address in
            self.configuration.addressFilter.verdict(on: address) == .ourOwn
                && AddressFilter().verdict(on: address) == .usable
        }
    }

    private mutating func addresses(of host: String) async -> ([IPAddress], Resolution<IPAddress>?) {
        // An address is no host name, whatever the zone says; it must not be a way around the filter or the resolver.
        guard IPAddress(host) == nil else {
            return ([], nil)
        }
        let began = ContinuousClock.now
        let resolution = await self.resolver.addresses(of: host)
        self.evidence.note(resolution, since: began)
        switch resolution.lookup {
        case .records(let addresses, timeToLive: _):
            return (self.usable(addresses, of: host), resolution)
        case .unavailable(let why):
            self.consider(FailureTable.unavailable(why))
            return ([], resolution)
        case .noData, .noSuchName:
            return ([], resolution)
        }
    }

    /// Leaves out what has just kept silent, at most `limit` addresses.
    private mutating func reachable(_ addresses: [IPAddress], of host: String, limit: Int) -> [IPAddress] {
        let (usable, passed) = self.memory.sift(addresses, limit: limit)
        for (address, advice) in passed {
            guard let failure = FailureTable.passedBy(host, address, advice) else {
                continue
            }
            self.evidence.abandonedHosts.append(failure.text)
            if failure.scope == .provider {
                self.deadFamily = self.deadFamily ?? failure
            } else {
                self.consider(failure)
            }
        }
        return usable
    }

    private mutating func usable(_ addresses: [IPAddress], of host: String) -> [IPAddress] {
        var usable: [IPAddress] = []
        for address in addresses {
            switch self.configuration.addressFilter.verdict(on: address) {
            case .usable where self.ownAddresses.contains(address): self.consider(FailureTable.ourselves(host))
            case .usable: usable.append(address)
            case .prohibited: self.consider(FailureTable.prohibited(host, address))
            case .ourOwn: self.consider(FailureTable.ourselves(host))
            }
        }
        let preferred = usable.filter { $0.isIPv6 == self.configuration.prefersIPv6 }
        let others = usable.filter { $0.isIPv6 != self.configuration.prefersIPv6 }
        return Self.alternating(preferred, others)
    }

    /// RFC 8305 §4: the families take turns, so that a broken one costs one head start.
    private static func alternating(_ first: [IPAddress], _ second: [IPAddress]) -> [IPAddress] {
        var result: [IPAddress] = []
        for index in 0..<max(first.count, second.count) {
            result += first.dropFirst(index).prefix(1)
            result += second.dropFirst(index).prefix(1)
        }
        return result
    }

    /// Keeps the failure that says most: what may pass beats what is final, and of two that may pass the later stage.
    mutating func consider(_ failure: Failure) {
        guard let verdict = self.verdict else {
            self.verdict = failure
            return
        }
        let order = Failure.Stage.allCases
        let rank = { (failure: Failure) in
            (failure.persistence == .permanent ? 0 : 100) + (order.firstIndex(of: failure.stage) ?? 0)
        }
        if rank(failure) > rank(verdict) {
            self.verdict = failure
        }
    }
}
