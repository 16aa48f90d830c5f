import Foundation
import Gateway
import Testing

@Suite("The configuration files that are shipped")
struct ConfigurationFilesTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Config").path

    /// Paths below `Config/` of everything in YAML that is no compose file.
    static let files: [String] = {
        let names = FileManager.default.enumerator(atPath: Self.folder)?.compactMap { $0 as? String } ?? []
        return names.filter { ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) && !$0.hasPrefix("compose") }.sorted()
    }()

    @Test("there are some")
    func findsThem() {
        #expect(Self.files.contains("hikyaku.yaml"))
        #expect(Self.files.filter { $0.hasPrefix("samples/") }.count >= 3)
    }

    @Test("each loads without an error, and gives a way out and a listener", arguments: files)
    func loads(_ file: String) throws {
        let configuration = try ConfigurationLoader.load(path: "\(Self.folder)/\(file)", environment: [:])
        #expect(!configuration.chain.isEmpty)
        #expect(!configuration.listeners.isEmpty)
        #expect(configuration.warnings.allSatisfy { $0.message.contains("is left out of the chain until") })
    }

    @Test("each loads with all credentials in the environment, and then nothing is left out", arguments: files)
    func loadsWithCredentials(_ file: String) throws {
        let environment = [
            "GMAIL_USERNAME": "a@example.com", "GMAIL_PASSWORD": "x", "SENDGRID_API_KEY": "x", "MAILGUN_API_KEY": "x",
        ]
        let configuration = try ConfigurationLoader.load(path: "\(Self.folder)/\(file)", environment: environment)
        #expect(configuration.warnings.isEmpty, "\(configuration.warnings)")
    }

    /// `hikyaku.yaml` promises every key: those that stand there as comments must be keys, with their defaults.
    @Test("the documented default shows keys that exist, and their true defaults")
    func documentsTrueDefaults() throws {
        let text = try String(contentsOfFile: "\(Self.folder)/hikyaku.yaml", encoding: .utf8)
        let sections: Set = ["dns", "retry", "limits", "log"]
        var lines: [Substring] = []
        var isWanted = false
        for line in text.split(separator: "\n") where line.hasPrefix("# ") {
            let bare = line.dropFirst(2)
            if !bare.hasPrefix(" ") {
                isWanted = sections.contains(String(bare.prefix { $0 != ":" }))
            }
            if isWanted, !bare.contains("hosts: {") {
                lines.append(bare)
            }
        }
        #expect(lines.count > 25)
        let written = try ConfigurationLoader.parse(
            lines.joined(separator: "\n"),
            source: "hikyaku.yaml",
            environment: ["HIKYAKU_HOSTNAME": "a"]
        )
        let usual = try ConfigurationLoader.parse(nil, source: "environment", environment: ["HIKYAKU_HOSTNAME": "a"])
        #expect(written.effectiveText == usual.effectiveText)
    }
}
