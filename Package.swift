// swift-tools-version: 6.2

import PackageDescription

/// Every target is compiled alike: Swift 6 mode and the upcoming features that make imports and isolation explicit.
let house: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let buffer: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let posix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let embedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let tls: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let tlsEvents: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let certificates: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let sqlite: Target.Dependency = .product(name: "GRDBSQLite", package: "GRDB.swift")

// The building, floor by floor: a target imports only targets of a lower floor (CONTRIBUTING.md, `make floors`).
let package = Package(
    name: "hikyaku",
    products: [
        .executable(name: "hikyaku", targets: ["hikyaku"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Floor 0: words and C shims.
        .target(name: "MailModel", swiftSettings: house),
        .systemLibrary(
            name: "CCurl",
            pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]
        ),
        .systemLibrary(
            name: "CIDN2",
            pkgConfig: "libidn2",
            providers: [.apt(["libidn2-dev"])]
        ),
        .systemLibrary(
            name: "CSQLite",
            pkgConfig: "sqlite3",
            providers: [.apt(["libsqlite3-dev"])]
        ),

        // Floor 1: protocols and rules, without I/O.
        .target(name: "SMTPProtocol", dependencies: ["MailModel", buffer], swiftSettings: house),
        .target(name: "DNSProtocol", dependencies: ["MailModel", "CIDN2", buffer], swiftSettings: house),
        .target(name: "MessageFormat", dependencies: ["MailModel", buffer], swiftSettings: house),
        .target(
            name: "Delivery",
            dependencies: [
                "MailModel", buffer, logging,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            swiftSettings: house
        ),
        .target(name: "PostfixQueue", dependencies: ["MailModel", buffer], swiftSettings: house),

        // Floor 2: each wraps one outside thing.
        .target(
            name: "SMTPServer",
            dependencies: ["MailModel", "SMTPProtocol", "MessageFormat", buffer, posix, tls, logging],
            swiftSettings: house
        ),
        .target(
            name: "SMTPClient",
            dependencies: [
                "MailModel", "SMTPProtocol", "DNSProtocol", "Delivery", buffer, posix, tls, tlsEvents, logging, crypto,
                certificates, asn1,
            ],
            swiftSettings: house
        ),
        .target(
            name: "DNSResolver",
            dependencies: ["MailModel", "DNSProtocol", buffer, posix, tls, logging],
            swiftSettings: house
        ),
        .target(
            name: "HTTPTransport",
            dependencies: ["MailModel", "CCurl", "DNSProtocol", buffer, logging],
            swiftSettings: house
        ),
        .target(
            name: "SQLiteStore",
            dependencies: ["MailModel", "CSQLite", "Delivery", "DNSProtocol", buffer, grdb, sqlite, logging],
            swiftSettings: house
        ),

        // Floor 3: the ways out of the building.
        .target(
            name: "DirectMX",
            dependencies: [
                "MailModel", "Delivery", "DNSProtocol", "SMTPProtocol", "SMTPClient", "HTTPTransport", buffer, logging,
            ],
            path: "Providers/DirectMX",
            swiftSettings: house
        ),
        .target(
            name: "Smarthost",
            dependencies: ["MailModel", "Delivery", "DNSProtocol", "SMTPProtocol", "SMTPClient", buffer, logging],
            path: "Providers/Smarthost",
            swiftSettings: house
        ),
        .target(
            name: "HTTPAPI",
            dependencies: ["MailModel", "Delivery", "DNSProtocol", "MessageFormat", "HTTPTransport", buffer, logging],
            path: "Providers/HTTPAPI",
            swiftSettings: house
        ),

        // Floor 4: everything connected.
        .target(
            name: "Gateway",
            dependencies: [
                "MailModel", "SMTPProtocol", "DNSProtocol", "MessageFormat", "PostfixQueue", "Delivery", "SMTPServer",
                "SMTPClient", "DNSResolver", "HTTPTransport", "SQLiteStore", "DirectMX", "Smarthost", "HTTPAPI",
                buffer, posix, tls, logging, crypto, cryptoExtras, certificates, asn1,
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: house
        ),

        // Floor 5: the command line.
        .executableTarget(
            name: "hikyaku",
            dependencies: [
                "MailModel", "DNSProtocol", "DNSResolver", "Delivery", "SQLiteStore", "Gateway", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: house
        ),

        // Tests: one target for each of the above, the kit they share, and the whole gateway.
        .target(
            name: "TestKit",
            dependencies: [
                "MailModel", "SMTPProtocol", "DNSProtocol", "Delivery", buffer, posix, tls, logging, crypto,
            ],
            path: "Tests/TestKit",
            resources: [.copy("Fixtures")],
            swiftSettings: house
        ),
        .testTarget(name: "MailModelTests", dependencies: ["MailModel", "TestKit"], swiftSettings: house),
        .testTarget(
            name: "SMTPProtocolTests",
            dependencies: ["SMTPProtocol", "MailModel", "TestKit", buffer],
            swiftSettings: house
        ),
        .testTarget(
            name: "DNSProtocolTests",
            dependencies: ["DNSProtocol", "MailModel", "TestKit", buffer],
            swiftSettings: house
        ),
        .testTarget(
            name: "MessageFormatTests",
            dependencies: ["MessageFormat", "MailModel", "TestKit", buffer],
            swiftSettings: house
        ),
        .testTarget(
            name: "PostfixQueueTests",
            dependencies: ["PostfixQueue", "MailModel", "TestKit", buffer],
            swiftSettings: house
        ),
        .testTarget(
            name: "DeliveryTests",
            dependencies: ["Delivery", "MailModel", "TestKit", buffer, logging],
            swiftSettings: house
        ),
        .testTarget(
            name: "SMTPServerTests",
            dependencies: [
                "SMTPServer", "SMTPProtocol", "MessageFormat", "MailModel", "TestKit", buffer, posix, tls, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "SMTPClientTests",
            dependencies: [
                "SMTPClient", "SMTPProtocol", "DNSProtocol", "Delivery", "MailModel", "TestKit", buffer, embedded,
                posix,
                tls, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "HTTPTransportTests",
            dependencies: ["HTTPTransport", "DNSProtocol", "MailModel", "TestKit", buffer, posix, tls, logging],
            swiftSettings: house
        ),
        .testTarget(
            name: "DNSResolverTests",
            dependencies: ["DNSResolver", "DNSProtocol", "MailModel", "TestKit", buffer, posix, tls, logging],
            swiftSettings: house
        ),
        .testTarget(
            name: "SQLiteStoreTests",
            dependencies: [
                "SQLiteStore", "Delivery", "DNSProtocol", "MailModel", "TestKit", buffer, grdb, sqlite, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "DirectMXTests",
            dependencies: [
                "DirectMX", "SMTPClient", "Delivery", "DNSProtocol", "SMTPProtocol", "HTTPTransport", "MailModel",
                "TestKit", buffer, posix, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "SmarthostTests",
            dependencies: [
                "Smarthost", "SMTPClient", "Delivery", "DNSProtocol", "SMTPProtocol", "MailModel", "TestKit", buffer,
                posix, tls, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "HTTPAPITests",
            dependencies: [
                "HTTPAPI", "HTTPTransport", "MessageFormat", "Delivery", "DNSProtocol", "MailModel", "TestKit", buffer,
                logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "InteropTests",
            dependencies: [
                "DNSResolver", "DNSProtocol", "HTTPTransport", "SMTPClient", "SMTPServer", "SMTPProtocol", "Delivery",
                "DirectMX", "SQLiteStore", "MailModel", "TestKit", buffer, posix, tls, logging,
            ],
            swiftSettings: house
        ),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "Delivery", "DNSProtocol", "DNSResolver", "SQLiteStore", "SMTPServer", "SMTPProtocol",
                "MessageFormat",
                "PostfixQueue", "MailModel", "TestKit", buffer, posix, tls, logging,
            ],
            swiftSettings: house
        ),
    ]
)

// `make microbench`: on a benchmark package that nobody needs who builds or tests.
if Context.environment["HIKYAKU_MICROBENCH"] != nil {
    // Without its traits: those replace the allocator and the runtime's reference counting.
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []))
    package.targets.append(
        .executableTarget(
            name: "MicroBenchmarks",
            dependencies: [
                "MailModel", "SMTPProtocol", "DNSProtocol", "Delivery", "SQLiteStore", "TestKit", buffer, logging,
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Tests/Benchmarks/Micro",
            swiftSettings: house,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
        )
    )
}
