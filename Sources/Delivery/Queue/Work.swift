import MailModel

/// One attempt that is to be made: a message, some of its recipients, and the provider whose turn it is.
struct Work: Sendable {
    var message: QueuedMessage
    var recipients: [Recipient]
    let provider: any Provider
    let start: AttemptStart
    /// The store knows of the attempt already, since it was committed together with the message.
    var isBegun: Bool
    /// The content was left in the store, since there was no room for it in memory; it is read when the attempt begins.
    var lacksContent = false
    /// Breakers for which this attempt is the probe.
    var probes: [BreakerKey]
    let round: Round
    let lane: ReadyQueue<Work>.Lane

    /// What has happened to these recipients since they were last due.
    struct Round: Sendable {
        /// Where in the chain the search for the next provider goes on.
        var nextPosition = 0
        /// The provider that was asked before its turn, since it may already have the message; it is not asked again.
        var askedEarly: Int?
        /// Whether every failure so far means that the message cannot go this way, ever.
        var everyFailureBounces = true
        /// Whether every failure so far has to do with the way and not with the message.
        var isOutage = true

        /// The round as it goes on when a group's attempt has failed.
        func after(_ group: Assignment.Group) -> Round {
            var next = self
            if group.isEarly {
                next.askedEarly = group.position
            } else {
                next.nextPosition = group.position + 1
            }
            next.everyFailureBounces = self.everyFailureBounces && !group.skippedOpenBreaker
            return next
        }
    }

    /// The same work, whose content is in the store by the time it begins.
    var withoutContent: Work {
        guard self.message.content.octetsInMemory > 0 else {
            return self
        }
        var work = self
        work.message.content = self.message.content.withoutOctets
        work.lacksContent = true
        return work
    }

    /// The same work, made for a message that came without its content.
    var withContentInStore: Work {
        var work = self
        work.lacksContent = true
        return work
    }

    /// Whose breaker a word against the sender opens.
    var senderDomain: String {
        self.message.reversePath.breakerDomain
    }
}

extension ReversePath {
    /// What stands for the sender in the breakers.
    ///
    /// The null path has a part of its own: a way that takes no reports may take all other mail.
    var breakerDomain: String {
        self.mailbox?.domain.key ?? "<>"
    }
}

/// Recipients for whom no provider may be used now, and when one may.
struct Unassigned: Sendable {
    var recipients: [Recipient]
    /// Nil when the chain is exhausted; else when the first breaker lets something through again, or there may be room.
    var until: Timestamp?

    func joined(with other: Unassigned) -> Unassigned {
        let moments = [self.until, other.until].compactMap(\.self)
        return Unassigned(recipients: self.recipients + other.recipients, until: moments.min())
    }
}
