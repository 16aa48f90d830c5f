package import Foundation

/// Keys, certificates and digests that the openssl program made: an oracle beside our own code.
///
/// `leaf`, `wrong-name` and `expired` are issued by `intermediate`, that by `root`; `selfsigned` by itself. `leaf` and
/// `selfsigned` bear `mx.example.test`; so does `forged`, issued by `impostor`, a namesake of `intermediate`.
package struct TLSMaterial: Sendable {
    /// What one run of openssl made for all tests of a process.
    package static let shared = Result { try TLSMaterial() }

    private let files: [String: [UInt8]]

    package struct Trouble: Error, CustomStringConvertible {
        package var description: String
    }

    /// Makes everything anew, which takes a moment.
    private init() throws {
        self.files = try Self.made(by: Self.script)
    }

    /// The octets of a file: NAME.pem, NAME.key, NAME.cert.der, NAME.spki.der, each of these also as .sha256 and .sha512.
    package func octets(_ name: String) throws -> [UInt8] {
        guard let octets = self.files[name] else {
            throw Trouble(description: "there is no \(name)")
        }
        return octets
    }

    /// Certificates in PEM form, the server's own first.
    package func chain(_ names: String...) throws -> String {
        try names.map { String(decoding: try self.octets("\($0).pem"), as: UTF8.self) }.joined()
    }

    package func key(_ name: String) throws -> String {
        String(decoding: try self.octets("\(name).key"), as: UTF8.self)
    }

    /// Writes certificates to a file for as long as the body runs.
    package func withFile(_ names: String..., body: (String) async throws -> Void) async throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("roots-\(UUID().uuidString).pem")
        let text = try names.map { String(decoding: try self.octets("\($0).pem"), as: UTF8.self) }.joined()
        try Data(text.utf8).write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        try await body(url.path)
    }

    /// Runs a script in a folder of its own; gives the files that it left there.
    private static func made(by script: String) throws -> [String: [UInt8]] {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try self.shell(script, in: folder)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        return try Dictionary(
            uniqueKeysWithValues: names.map { ($0, Array(try Data(contentsOf: folder.appendingPathComponent($0)))) }
        )
    }

    /// Runs a script in a folder and waits for its end.
    package static func shell(_ script: String, in folder: URL) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let log = folder.appendingPathComponent("script.log").path
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let arguments = ["/bin/sh", "-euc", "cd '\(folder.path)'\n\(script)"]
        let words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var child: pid_t = 0
        var status: Int32 = -1
        guard posix_spawn(&child, "/bin/sh", &actions, nil, words, environ) == 0, waitpid(child, &status, 0) == child,
            status == 0
        else {
            let said = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            throw Trouble(description: "the script failed with \(status): \(said)")
        }
    }

    private static let script = """
        key() {
            case "$1" in
                root) openssl genrsa -out "$1.key" 2048 ;;
                *) openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" ;;
            esac
        }
        authority() { # NAME SUBJECT
            printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign,cRLSign\\n' > "$1.ext"
            key "$1"; openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
        }
        server() { # NAME HOST ISSUER DAYS
            printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:%s\\nextendedKeyUsage=serverAuth\\n' "$2" > "$1.ext"
            key "$1"; openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
            if [ "$3" = - ]; then
                openssl x509 -req -in "$1.csr" -signkey "$1.key" -days "$4" -extfile "$1.ext" -out "$1.pem"
            else
                openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial -days "$4" \\
                    -extfile "$1.ext" -out "$1.pem"
            fi
        }
        for name in root stranger; do
            authority $name "Test root $name"
            openssl x509 -req -in $name.csr -signkey $name.key -days 90 -extfile $name.ext -out $name.pem
        done
        for pair in intermediate:root impostor:stranger; do
            name=${pair%:*} issuer=${pair#*:}
            authority $name "Test intermediate"
            openssl x509 -req -in $name.csr -CA $issuer.pem -CAkey $issuer.key -CAcreateserial -days 90 \\
                -extfile $name.ext -out $name.pem
        done
        server leaf mx.example.test intermediate 90
        server wrong-name other.example.test intermediate 90
        server expired mx.example.test intermediate -1
        server forged mx.example.test impostor 90
        server selfsigned mx.example.test - 90
        for name in root intermediate leaf expired selfsigned; do
            openssl x509 -in $name.pem -outform DER -out $name.cert.der
            openssl x509 -in $name.pem -noout -pubkey | openssl pkey -pubin -outform DER -out $name.spki.der
            for form in cert spki; do
                for hash in sha256 sha512; do
                    openssl dgst -$hash -binary -out $name.$form.$hash $name.$form.der
                done
            done
        done
        for name in wrong-name forged impostor; do openssl x509 -in $name.pem -outform DER -out $name.cert.der; done
        """
}
