import MailModel
import SMTPServer

import struct NIOCore.ByteBuffer

/// The intake as the listeners see it when a test wants the process to die at an instant of a submission.
struct CrashingIntake: SubmissionSink {
    let intake: any SubmissionSink
    let trigger: CrashTrigger

    func nextQueueID() -> QueueID {
        self.intake.nextQueueID()
    }

    func prepareHeader(_ header: ByteBuffer, of transaction: TransactionFacts) -> HeaderVerdict {
        self.intake.prepareHeader(header, of: transaction)
    }

    func openSpool(for id: QueueID) throws -> any ContentSpool {
        CrashingSpool(spool: try self.intake.openSpool(for: id), trigger: self.trigger)
    }

    func accept(_ submission: Submission, completion: @escaping @Sendable (SubmissionVerdict) -> Void) {
        self.trigger.reach(.afterContentBeforeWrite)
        let trigger = self.trigger
        self.intake.accept(submission) { verdict in
            if case .accepted = verdict {
                trigger.reach(.afterSyncBeforeReply)
            }
            completion(verdict)
        }
    }
}

private struct CrashingSpool: ContentSpool {
    let spool: any ContentSpool
    let trigger: CrashTrigger

    var path: String { self.spool.path }

    func append(_ bytes: ByteBuffer) throws {
        try self.spool.append(bytes)
        self.trigger.reach(.duringContentFile)
    }

    func finish() throws {
        try self.spool.finish()
    }

    func discard() {
        self.spool.discard()
    }
}
