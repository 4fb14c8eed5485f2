"""An SMTP server for the tests (aiosmtpd). A line of JSON on stdout for "listening" and for each mail that it has taken.

smtpd.py [--tls CERT KEY] [--password NAME PASSWORD] [--port PORT]

It refuses recipients: "poison@…" for good (550), "later@…" for now (451)."""
import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def tell(what):
  sys.stdout.write(json.dumps(what) + '\n')
  sys.stdout.flush()


class Handler:
  async def handle_RCPT(self, server, session, envelope, address, options):
    if address.startswith('poison'):
      return '550 5.1.1 there is no such mailbox'
    if address.startswith('later'):
      return '451 4.3.0 try again later'
    envelope.rcpt_tos.append(address)
    return '250 OK'

  async def handle_DATA(self, server, session, envelope):
    tell({
      'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'tls': session.ssl is not None,
      'user': session.auth_data.login.decode() if session.auth_data else None,
      'data': envelope.original_content.decode('utf-8', 'replace'),
    })
    return '250 taken'


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('--tls', nargs=2)
  parser.add_argument('--password', nargs=2)
  parser.add_argument('--port', type=int, default=0)
  args = parser.parse_args()
  options = {'enable_SMTPUTF8': True}
  if args.tls:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*args.tls)
    options.update(tls_context=context, require_starttls=True)
  if args.password:
    wanted = tuple(s.encode() for s in args.password)

    def check(server, session, envelope, mechanism, data):
      return AuthResult(success=(data.login, data.password) == wanted, auth_data=data)

    options.update(authenticator=check, auth_required=True)

  async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), **options), '127.0.0.1', args.port)
    tell({'port': server.sockets[0].getsockname()[1]})
    await server.serve_forever()

  asyncio.run(serve())


main()
