import Delivery
import HTTPTransport
import MailModel

/// The calls of one attempt, one after the other, with what they bring.
struct CallSequence {
    private let provider: HTTPAPIProvider
    private let mail: OutgoingMail
    private let addresses: [IPAddress]
    private let deadline: ContinuousClock.Instant
    var evidence = AttemptEvidence()

    private var outcomes: [Recipient.Number: Outcome] = [:]
    private var pending: [ServiceCall] = []
    private var followUps = 0

    init(provider: HTTPAPIProvider, mail: OutgoingMail, addresses: [IPAddress], deadline: ContinuousClock.Instant) {
        self.provider = provider
        self.mail = mail
        self.addresses = addresses
        self.deadline = deadline
    }

    /// Makes the calls until all are answered or one says that the way is closed; leaves no recipient without outcome.
    mutating func carryOut(_ composition: Composition, for recipients: [Recipient]) async -> AttemptReport {
        self.add(composition)
        while let call = self.pending.popLast() {
            guard self.deadline > .now, !Task.isCancelled else {
                self.abandon(
                    call,
                    Task.isCancelled ? TransportFailures.interrupted : TransportFailures.outOfTime(.data)
                )
                break
            }
            await self.make(call)
        }
        for recipient in recipients where self.outcomes[recipient.number] == nil {
            self.outcomes[recipient.number] = .failed(TransportFailures.outOfTime(.data))
        }
        return AttemptReport(outcomes: self.outcomes, evidence: self.evidence)
    }

    private mutating func add(_ composition: Composition) {
        self.pending += composition.calls.reversed()
        for (number, failure) in composition.refused {
            self.outcomes[number] = .failed(failure)
        }
        self.evidence.headerRewritten = self.evidence.headerRewritten || composition.headerRewritten
    }

    private mutating func make(_ call: ServiceCall) async {
        var request = call.request
        request.isSentOnce = true
        request.timeout = min(request.timeout, self.deadline - .now)
        request.connectTimeout = min(request.connectTimeout, request.timeout)
        let secrets = self.provider.service.secrets
        do throws(HTTPFailure) {
            let response = try await self.provider.client.send(request, addresses: self.addresses)
            self.note(response)
            let read = ServiceResponse(response, secrets: secrets, now: self.provider.now())
            self.apply(self.provider.service.verdict(on: read, to: call), to: call)
        } catch {
            self.evidence.remoteAddress = error.remoteAddress ?? self.evidence.remoteAddress
            self.note(error.timings)
            self.end(call, TransportFailures.failure(error, secrets: secrets))
        }
    }

    private mutating func apply(_ verdict: Verdict, to call: ServiceCall) {
        switch verdict {
        case .all(.failed(let failure)):
            self.end(call, self.heldAgainstSender(failure))
        case .all(let outcome):
            self.settle(call.recipients, outcome)
        case .refused(let failures):
            for (number, failure) in failures {
                self.outcomes[number] = .failed(failure)
            }
            let rest = call.recipients.filter { failures[$0.number] == nil }
            self.ask(failures.isEmpty ? [] : [rest], insteadOf: call)
        case .refusedUnnamed(let failure) where call.recipients.count <= 1:
            self.settle(call.recipients, .failed(failure))
        case .refusedUnnamed:
            let middle = call.recipients.count / 2
            self.ask([Array(call.recipients[..<middle]), Array(call.recipients[middle...])], insteadOf: call)
        }
    }

    /// A word against the sender closes the way for the reverse-path's domain: of another From field it says nothing about it.
    private func heldAgainstSender(_ failure: Failure) -> Failure {
        guard failure.scope == .sender, !self.mail.isFromReversePath else {
            return failure
        }
        return failure.forThisMessageAlone
    }

    /// Asks again for parts of a call that was refused whole, within the limit of an attempt.
    private mutating func ask(_ groups: [[Recipient]], insteadOf call: ServiceCall) {
        // The last one added is asked first.
        for group in groups.reversed() where !group.isEmpty {
            self.followUps += 1
            guard self.followUps <= HTTPAPIProvider.followUpLimit else {
                self.settle(group, .failed(TransportFailures.tooManyCalls))
                continue
            }
            do throws(Failure) {
                self.add(try self.provider.service.compose(self.mail, to: group))
            } catch {
                self.settle(group, .failed(error))
            }
        }
    }

    /// Ends a call that failed whole; where the way itself is at fault, no other call is made.
    private mutating func end(_ call: ServiceCall, _ failure: Failure) {
        self.provider.log(failure, self.mail.id)
        self.settle(call.recipients, .failed(failure))
        switch failure.scope {
        case .recipient, .message, .capability, .destination:
            break
        case .sender, .provider, .local:
            // What was not sent is not ambiguous, whatever became of the call before it.
            var rest = failure
            if failure.persistence == .ambiguous {
                rest = TransportFailures.notTried(after: failure)
            }
            self.pending.forEach { self.settle($0.recipients, .failed(rest)) }
            self.pending = []
        }
    }

    private mutating func abandon(_ call: ServiceCall, _ failure: Failure) {
        for call in [call] + self.pending {
            self.settle(call.recipients, .failed(failure))
        }
        self.pending = []
    }

    private mutating func settle(_ recipients: [Recipient], _ outcome: Outcome) {
        for recipient in recipients {
            self.outcomes[recipient.number] = outcome
        }
    }

    private mutating func note(_ response: HTTPResponse) {
        self.evidence.remoteAddress = response.remoteAddress ?? self.evidence.remoteAddress
        self.evidence.tls =
            self.provider.service.endpoint.isClearText ? nil : "\(response.protocolVersion) over TLS, verified"
        self.note(response.timings)
    }

    /// Of several calls the last one is told, as of several hosts.
    private mutating func note(_ timings: HTTPTimings) {
        self.evidence.timings.removeAll { $0.stage != .resolve }
        let stages: [(Failure.Stage, Duration)] = [
            (.connect, timings.connect), (.tls, timings.tls), (.commit, timings.total),
        ]
        for (stage, duration) in stages where duration > .zero {
            self.evidence.timings.append(.init(stage: stage, milliseconds: duration.wholeMilliseconds))
        }
    }
}
