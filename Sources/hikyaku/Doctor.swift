import ArgumentParser
import Gateway

/// Finds out why mail does not flow.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Find out why mail does not flow: one sentence first, then what was checked.",
        discussion: """
            Looks at disk and clock, resolv.conf, every DNS source over each transport, the C library's resolver beside \
            ours, the ports and logins of all ways out (no mail is sent), our address and its name, SPF, DKIM and DMARC \
            of the senders in use, and the queue. Asks the running gateway where there is one, else runs the same code \
            with its configuration. Exit status 0 when nothing failed, 1 when anything did, 69 when a gateway that runs \
            does not answer.

              hikyaku doctor --domain gmail.com
            """
    )

    @OptionGroup var options: ConfigurationOptions
    @Option(help: "Whose exchangers are looked up and called (default: where mail went last, else doctor.test-domain).")
    var domain: String?
    @Option(help: "The queue directory of a Postfix that ran here before (default: /var/spool/postfix).")
    var spool: String?
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        if let domain, !DoctorOptions.isDomain(domain) {
            throw ValidationError("\"\(domain)\" is no domain name.")
        }
    }

    func run() async throws {
        let configuration = try self.options.load()
        let wanted = DoctorOptions(domain: self.domain?.lowercased(), spool: self.spool)
        let report = try await self.report(wanted, configuration)
        print(self.json ? MessageJSON.text(of: report) : report.text)
        guard !report.hasFailure else {
            throw ExitCode.failure
        }
    }

    private func report(_ wanted: DoctorOptions, _ configuration: GatewayConfiguration) async throws -> DoctorReport {
        var request = ControlRequest(.doctor)
        request.doctor = wanted
        do {
            let reply = try await ControlClient.send(request, to: configuration.controlSocket, patience: .seconds(90))
            if let report = reply.doctor {
                return report
            }
            complain("hikyaku: \(reply.error ?? "the gateway does not know how: is it of another version?")")
        } catch is ControlClient.NotRunning {
            return await Gateway.Doctor.examine(configuration, wanted)
        } catch {
            complain("hikyaku: \(error)")
        }
        throw ExitCode(Sysexits.unavailable)
    }
}
