import SMTPProtocol
import Testing

struct ClientAuthenticationTests {
    private func login(_ secret: String, user: String = "tim") -> ClientLogin {
        ClientLogin(username: user, secret: secret, mechanisms: ClientMechanism.allCases) { key, message in
            key + message
        }
    }

    @Test("XOAUTH2 is written as Google documents it, and an error challenge gets an empty line")
    func xoauth2() {
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
        let login = self.login(token, user: "someuser@example.com")
        var authentication = ClientAuthentication(mechanism: .xoauth2, login: login)
        let expected =
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        #expect(authentication.command == .auth(mechanism: "XOAUTH2", initialResponse: expected))
        #expect(authentication.respond(to: "eyJzdGF0dXMiOiI0MDEifQ==") == .authResponse(""))
        #expect(authentication.respond(to: "") == nil)
    }

    @Test("PLAIN and LOGIN send name and password (RFC 4616)")
    func passwords() {
        let plain = ClientAuthentication(mechanism: .plain, login: self.login("tanstaaftanstaaf"))
        #expect(plain.command == .auth(mechanism: "PLAIN", initialResponse: "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"))
        var login = ClientAuthentication(mechanism: .login, login: self.login("pass"))
        #expect(login.command == .auth(mechanism: "LOGIN", initialResponse: nil))
        #expect(login.respond(to: "VXNlcm5hbWU6") == .authResponse("dGlt"))
        #expect(login.respond(to: "UGFzc3dvcmQ6") == .authResponse("cGFzcw=="))
        #expect(login.respond(to: "more?") == nil)
    }

    @Test("CRAM-MD5 hashes the decoded challenge, and cancels what is not base64 (RFC 2195)")
    func cram() {
        var good = ClientAuthentication(mechanism: .cramMD5, login: self.login("k"))
        // The hash in this test is key and message side by side: "kAB" is 6b4142.
        #expect(good.respond(to: "QUI=") == .authResponse("dGltIDZiNDE0Mg=="))
        var bad = ClientAuthentication(mechanism: .cramMD5, login: self.login("k"))
        #expect(bad.respond(to: "not base64!") == nil)
    }

    @Test("a login does not print its secret")
    func redaction() {
        let login = self.login("hunter2")
        var dumped = ""
        dump(login, to: &dumped)
        #expect(!"\(login) \(String(reflecting: login)) \(dumped)".contains("hunter2"))
    }
}
