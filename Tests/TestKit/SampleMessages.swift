/// Messages as applications send them, with CRLF line ends and without the final dot.
package enum SampleMessages {
    /// Lines joined as they go over the wire.
    package static func lines(_ lines: String...) -> String {
        lines.joined(separator: "\r\n") + "\r\n"
    }

    /// What `send_mail` of Django 5 sends: plain text in Japanese.
    package static let djangoText = lines(
        "Content-Type: text/plain; charset=\"utf-8\"",
        "MIME-Version: 1.0",
        "Content-Transfer-Encoding: 8bit",
        "Subject: =?utf-8?b?56K66KqN44Kz44O844OJ?=",
        "From: Example App <noreply@app.example.com>",
        "To: user@gmail.com",
        "Date: Tue, 24 Nov 2026 10:17:03 -0000",
        "Message-ID: <176397582312.7.1234@web-1>",
        "",
        "あなたの確認コードは 123456 です。"
    )

    /// `EmailMultiAlternatives` of Django 6 with an attachment, Cc and a header of the application's own.
    package static let djangoAlternatives = lines(
        "Subject: =?utf-8?b?44GU5rOo5paH44GC44KK44GM44Go44GG?=",
        " =?utf-8?b?44GU44GW44GE44G+44GZ?=",
        "From: =?utf-8?b?44K344On44OD44OX?= <shop@app.example.com>",
        "To: \"Yamada, Taro\" <taro@example.jp>, hanako@example.jp",
        "Cc: boss@example.jp",
        "Reply-To: help@app.example.com",
        "Date: Tue, 24 Nov 2026 10:17:03 +0000",
        "Message-ID: <176397582312.7.5678@web-1>",
        "X-Gateway-Tag: order",
        "X-Order: 42",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=\"===============111==\"",
        "",
        "--===============111==",
        "Content-Type: multipart/alternative; boundary=\"===============222==\"",
        "MIME-Version: 1.0",
        "",
        "--===============222==",
        "Content-Type: text/plain; charset=\"utf-8\"",
        "Content-Transfer-Encoding: 8bit",
        "",
        "ありがとうございます。",
        "--===============222==",
        "Content-Type: text/html; charset=\"utf-8\"",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "<p>=E3=81=82=E3=82=8A=E3=81=8C=E3=81=A8=E3=81=86<img src=3D\"cid:logo@app\"></p>",
        "--===============222==--",
        "",
        "--===============111==",
        "Content-Type: image/png",
        "Content-Transfer-Encoding: base64",
        "Content-ID: <logo@app>",
        "Content-Disposition: inline; filename=\"logo.png\"",
        "",
        "iVBORw0KGgo=",
        "--===============111==",
        "Content-Type: application/pdf",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment; filename*=utf-8''%E8%AB%8B%E6%B1%82%E6%9B%B8.pdf",
        "",
        "JVBERi0xLjQ=",
        "--===============111==--"
    )

    /// What `headers={"Bcc": ...}` of Django 4.2 to 6.0 sends: a real Bcc field.
    package static let djangoBlindCopy = lines(
        "Content-Type: text/plain; charset=\"utf-8\"",
        "MIME-Version: 1.0",
        "Content-Transfer-Encoding: 7bit",
        "Subject: report",
        "From: app@app.example.com",
        "To: user@example.org",
        "Bcc: secret-one@example.net,",
        " secret-two@example.net",
        "Date: Tue, 24 Nov 2026 10:17:03 -0000",
        "Message-ID: <176397582312.7.9@web-1>",
        "",
        "body"
    )

    /// Every sample, for properties that hold of any message.
    package static let all = [djangoText, djangoAlternatives, djangoBlindCopy]
}
