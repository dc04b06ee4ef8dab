"""Mail by SMTP (RFC 5321), one connection for each letter: there are few, and none is in a hurry."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from safehold.ports.mail import Letter, MailFailed

TIMEOUT_SECONDS = 30.0
#: Replies of this class and above are for good (RFC 5321 section 4.2.1).
_FOR_GOOD = 500


@dataclass(frozen=True)
class SmtpServer:
    """Where letters go. `tls` is starttls, tls or none; `password` is asked for each letter, so that it may change."""

    host: str
    port: int
    tls: str
    user: str
    sender: str
    password: Callable[[], str]


class SmtpMailer:
    """`ports.mail.Mailer`. The certificate of the server is checked, unless `context` says otherwise."""

    def __init__(self, server: SmtpServer, context: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._context = context

    def send(self, letter: Letter) -> None:
        server = self._server
        try:
            with self._connect() as connection:
                if server.tls == "starttls":
                    connection.starttls(context=self._context or ssl.create_default_context())
                if server.user:
                    connection.login(server.user, server.password())
                connection.send_message(_message(letter, server.sender), server.sender, [letter.to])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()), (0, b""))
            raise MailFailed(_said(code, text), for_good=code >= _FOR_GOOD) from error
        except smtplib.SMTPAuthenticationError as error:  # the operator can mend that
            raise MailFailed(
                f"signing in failed: {_said(error.smtp_code, error.smtp_error)}", for_good=False
            ) from error
        except smtplib.SMTPResponseException as error:
            of_letter = isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused)
            for_good = of_letter and error.smtp_code >= _FOR_GOOD
            raise MailFailed(_said(error.smtp_code, error.smtp_error), for_good=for_good) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise MailFailed(f"{server.host}:{server.port}: {why}", for_good=False) from error

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "tls":
            context = self._context or ssl.create_default_context()
            return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
        return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)


def _message(letter: Letter, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Safehold <{sender}>"
    message["To"] = letter.to
    message["Subject"] = " ".join(letter.subject.split())
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    message.set_content(letter.text)
    return message


def _said(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"the mail server answered {code} {' '.join(said.split())[:200]}"
