import DNSProtocol
import DNSResolver
import HTTPTransport
import Logging
import MailModel
import NIOCore
import NIOPosix

import struct NIOCore.ByteBuffer

/// Builds the resolver chain; DNS over HTTPS goes through the same transport as the APIs.
enum ResolverFactory {
    private static func configuration(_ settings: DNSSettings) -> ResolverConfiguration {
        ResolverConfiguration(
            sources: settings.sources,
            resolvConfPath: settings.resolvConf,
            sourceTimeout: settings.sourceTimeout,
            lookupTimeout: settings.lookupTimeout,
            headStart: settings.headStart,
            validatorPatience: settings.sourceTimeout,
            serveStale: settings.serveStale,
            believesLoneNegative: settings.believesLoneNegative,
            isCautious: settings.isCautious,
            trustedAddresses: settings.trustedAddresses,
            trustsLoopback: settings.trustsLoopback,
            hosts: settings.hosts,
            confirmers: self.confirmers(settings),
            trustRootsFile: self.trustRootsFile
        )
    }

    private static func confirmers(_ settings: DNSSettings) -> Confirmers {
        switch settings.askedValidators {
        case .configured: .allBut(settings.namesSources ? [] : Set(PublicResolvers.sources))
        case .all: .allBut([])
        case .never: .none
        }
    }

    /// The chain that asks by HTTPS through a client of the gateway's.
    static func chain(
        _ settings: DNSSettings,
        http: any HTTPClient,
        archive: (any AnswerArchive)?,
        logger: Logger
    ) -> ResolverChain {
        ResolverChain(
            configuration: self.configuration(settings),
            group: MultiThreadedEventLoopGroup.singleton,
            https: self.transport(over: http),
            archive: archive,
            wallTime: { .now },
            logger: logger
        )
    }

    /// Certificates that are trusted beside the system's, as other programs are told of them, too.
    static var trustRootsFile: String? {
        let environment = SystemEnvironment.current
        return environment["SSL_CERT_FILE"] ?? environment["CURL_CA_BUNDLE"]
    }

    private static func transport(over client: any HTTPClient) -> DNSOverHTTPSTransport {
        { request in
            let message = HTTPRequest(
                method: .post,
                url: request.url,
                headers: [("Content-Type", "application/dns-message"), ("Accept", "application/dns-message")],
                body: .bytes(ByteBuffer(bytes: request.body)),
                connectTimeout: request.timeout,
                timeout: request.timeout,
                responseLimit: 65_535
            )
            let response: HTTPResponse
            do throws(HTTPFailure) {
                response = try await client.send(message, addresses: [request.address])
            } catch {
                throw DNSOverHTTPSFailure(description: error.description)
            }
            guard response.status == 200 else {
                throw DNSOverHTTPSFailure(description: "HTTP \(response.status)")
            }
            return response.body
        }
    }

    /// The addresses of this machine's interfaces: mail sent there would come back to us.
    static func ownAddresses() -> Set<IPAddress> {
        // Without the list the loop is still noticed by the Received fields.
        let devices = (try? System.enumerateDevices()) ?? []
        return Set(devices.compactMap { $0.address?.ipAddress.flatMap(IPAddress.init) })
    }
}

/// Why a DNS over HTTPS request brought no answer, in the words of observations.
private struct DNSOverHTTPSFailure: Error, CustomStringConvertible {
    let description: String
}
