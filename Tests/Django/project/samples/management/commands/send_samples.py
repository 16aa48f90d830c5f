"""Sends what web applications send: text, HTML in Japanese with an attachment, blind copies, mass mail."""
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail, send_mass_mail
from django.core.management.base import BaseCommand

SUBJECT = "ご登録ありがとうございます。メールアドレスの確認をお願いいたします"
TEXT = "こんにちは。\n下のリンクを開いてください。\nhttps://app.test/verify/abc.def\n.\n..dots at the start of a line\n"
HTML = "<p>こんにちは。<b>下のリンク</b>を開いてください。</p>" + "<p>とても長い行</p>" * 200
ATTACHMENT = bytes(range(256)) * 40
MASS = 5


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser):
        parser.add_argument("kinds", nargs="*", default=["text", "html", "bcc", "mass"])

    def handle(self, *, kinds, **options):
        for kind in kinds:
            getattr(self, kind)()

    def text(self):
        body = "Your order has shipped.\n.\nA line with one dot is above.\n"
        sent = send_mail("Order 1001", body, None, ["user@shop.test"])
        assert sent == 1, sent

    def html(self):
        message = EmailMultiAlternatives(SUBJECT, TEXT, to=["花子 <hanako@shop.test>"], reply_to=["help@app.test"])
        message.attach_alternative(HTML, "text/html")
        message.attach("請求書.bin", ATTACHMENT, "application/octet-stream")
        assert message.send() == 1

    def bcc(self):
        message = EmailMessage(
            "With blind copies", "Who else reads this?", to=["to@shop.test"], cc=["cc@shop.test"],
            bcc=["secret-one@shop.test", "secret-two@other.test"])
        assert message.send() == 1

    def mass(self):
        messages = [
            (f"Newsletter {number}", f"Issue {number}\n" * 100, None, [f"reader{number}@shop.test"])
            for number in range(MASS)
        ]
        assert send_mass_mail(messages) == MASS
