"""The verbs of the contract on a Maildir: those that read. What is not here
is answered with "unsupported", as Describe says by its capabilities."""

import email
import os
import threading
import time
import urllib.parse

import maildir_store
from postern_plugin import Refused

KEYWORDS, MAILBOXES, ENVELOPE = 1, 2, 32  # bits of Field
METADATA = KEYWORDS | MAILBOXES | ENVELOPE
BATCH = 100
CHUNK = 256 << 10
LOOK_EVERY = 1.0  # seconds between two looks for new mail
ROLES = {
    "sent": "sent", "sent items": "sent", "drafts": "drafts", "trash": "trash", "deleted items": "trash",
    "junk": "junk", "spam": "junk", "archive": "archive",
}


class Provider:
    def __init__(self, plugin):
        self.plugin, self.pb = plugin, plugin.pb
        self.maildir, self.address = None, ""
        self.told = None  # the Maildir, and its last number that was hinted at
        self.open = set()
        self.used = set()  # states of consents that are finished
        threading.Thread(target=self.look, daemon=True).start()

    # ------------------------------------------- describing, configuring

    def Describe(self, request, context):
        setting = self.pb.Setting
        return self.pb.DescribeResponse(
            name="maildir", title="Maildir", version="1", sign_in="none",
            settings=[
                setting(name="path", doc="the Maildir: a folder with cur, new and tmp", required=True),
                setting(name="address", doc="the address whose mail it is", required=True),
            ],
            capabilities=["connect", "exact_bytes"],
            keywords=sorted(maildir_store.FLAGS.values()),
            scope="account",
            limits=self.pb.Limits(fetch_batch=BATCH),
        )

    def Configure(self, request, context):
        settings = dict(request.settings)
        path, address = settings.pop("path", ""), settings.pop("address", "")
        if settings:
            raise Refused("misconfigured", f"there is no setting {min(settings)!r}")
        if not os.path.isdir(os.path.join(path, "cur")) or not os.access(os.path.join(path, "cur"), os.R_OK | os.X_OK):
            raise Refused("misconfigured", f"path {path!r} is no Maildir that can be read: it has no folder cur")
        if "@" not in address:
            raise Refused("misconfigured", "address is none")
        if self.maildir is None or self.maildir.path != path:
            self.maildir = maildir_store.Maildir(path)
            self.told = self.maildir, self.maildir.refresh()
        self.address = address
        return self.pb.ConfigureResponse()

    def look(self):
        """Hints at what happens in the folder, for as long as the process lives."""
        while not self.plugin.ended.wait(LOOK_EVERY):
            if self.told is None:
                continue
            maildir, last = self.told
            try:
                now = maildir.refresh()
            except OSError:
                continue  # whoever asks gets the error
            if now != last and self.told[0] is maildir:
                self.told = maildir, now
                for account in list(self.open):
                    self.plugin.hint(account)

    # -------------------------------------------------------- connecting

    # The settings say whose mail this is, so there is nobody to ask: the
    # owner's browser is sent straight back.

    def BeginConnect(self, request, context):
        mark = "&" if "?" in request.redirect_url else "?"
        query = urllib.parse.urlencode({"state": request.state, "code": "maildir"})
        return self.pb.BeginConnectResponse(url=request.redirect_url + mark + query, pending=b"maildir:" + request.state.encode())

    def FinishConnect(self, request, context):
        def given(name):
            return next(iter(request.params[name].values), "") if name in request.params else ""

        state = given("state")
        if not state or request.pending != b"maildir:" + state.encode() or given("code") != "maildir":
            raise Refused("invalid", "this connection was not begun here")
        if state in self.used:
            raise Refused("invalid", "this connection is finished already")
        self.used.add(state)
        account = self.pb.ConnectedAccount(subject=self.address.lower(), address=self.address)
        return self.pb.FinishConnectResponse(accounts=[account], granted=["read"], grant=b"maildir")

    def Open(self, request, context):
        if request.address.lower() != self.address.lower():
            raise Refused("grant_expired", f"the Maildir is {self.address}'s now")
        self.open.add(request.account)
        return self.pb.OpenResponse()

    def Close(self, request, context):
        self.open.discard(request.account)
        return self.pb.CloseResponse()

    def opened(self, request):
        """The Maildir of an account that is open."""
        if request.call.account not in self.open:
            raise Refused("unavailable", "the account is not open", code="not_open")
        return self.maildir

    # ----------------------------------------------------------- reading

    def Mailboxes(self, request, context):
        maildir = self.opened(request)
        held = maildir.listing()
        names, roles, out = maildir.folders(), set(), []
        for folder in names:  # sorted, so that parents come first
            parent = folder.rpartition(".")[0]
            while parent and parent not in names:
                parent = parent.rpartition(".")[0]
            name = maildir_store.folder_name(folder[len(parent) + 1:] if parent else folder)
            role = "inbox" if folder == maildir_store.INBOX else ROLES.get(name.lower(), "") if not parent else ""
            if role in roles:
                role = ""
            roles.add(role)
            mine = [e for _, e in held if e.folder == folder]
            out.append(self.pb.Mailbox(
                id=folder, parent_id=parent, name=name, role=role, kind="folder", total=len(mine),
                unread=sum("$seen" not in e.keywords for e in mine),
            ))
        return self.pb.MailboxesResponse(mailboxes=out)

    def Enumerate(self, request, context):
        maildir = self.opened(request)
        if request.mailbox not in maildir.folders():
            raise Refused("not_found", "there is no such mailbox")
        listing = maildir.listing(request.mailbox)
        for at in range(0, len(listing), BATCH):
            yield self.pb.EnumerateResponse(
                messages=[self.placed(i, e) for i, e in listing[at:at + BATCH]], fields=KEYWORDS | MAILBOXES)

    def Changes(self, request, context):
        maildir = self.opened(request)
        as_of = int(time.time())
        if not request.cursor:
            batches = [([], maildir.cursor())]
        else:
            try:
                those = maildir.since(request.cursor)
            except maildir_store.CursorExpired:
                raise Refused("cursor_expired", "the cursor is of another life of this plugin") from None
            parts = [those[at:at + BATCH] for at in range(0, len(those), BATCH)]
            batches = [(part, part[-1][2]) for part in parts] or [([], request.cursor)]
        for n, (part, cursor) in enumerate(batches):
            items = [self.item(maildir, i, entry) for i, entry, _ in part]
            response = self.pb.ChangesResponse(items=items, next=cursor, done=n == len(batches) - 1)
            response.as_of.seconds = as_of
            yield response

    def item(self, maildir, message, entry):
        if entry is not None:
            try:
                return self.pb.Item(kind="present", fields=METADATA, message=self.described(maildir, message))
            except KeyError:
                pass  # gone since
        return self.pb.Item(kind="gone", message=self.pb.Message(provider_id=message))

    def Fetch(self, request, context):
        maildir = self.opened(request)
        for message in request.ids:
            try:
                if request.mode == 0:
                    yield self.pb.FetchResponse(message=self.described(maildir, message))
                    continue
                raw, _ = maildir.read(message)
            except KeyError:
                gone = Refused("not_found", "the message is gone", op="fetch")
                yield self.pb.FetchResponse(failed=self.pb.FetchFailure(provider_id=message, error=gone.detail(self.pb)))
                continue
            for at in range(0, max(len(raw), 1), CHUNK):
                yield self.pb.FetchResponse(raw=self.pb.RawChunk(
                    provider_id=message if at == 0 else "", data=raw[at:at + CHUNK], last=at + CHUNK >= len(raw)))

    def placed(self, message, entry):
        return self.pb.Message(provider_id=message, mailboxes=[entry.folder], keywords=entry.keywords)

    def described(self, maildir, message):
        """Everything about a message but its bytes."""
        raw, entry = maildir.read(message)
        parsed = email.message_from_bytes(raw)
        out = self.placed(message, entry)
        out.subject = maildir_store.header(parsed, "Subject")
        for field in ("from", "sender", "to", "cc", "bcc", "reply_to"):
            people = maildir_store.addresses(parsed, field.replace("_", "-"))
            getattr(out, field).extend(self.pb.Address(name=n, email=a) for n, a in people)
        out.message_id = next(iter(maildir_store.message_ids(parsed, "Message-ID")), "")
        out.in_reply_to.extend(maildir_store.message_ids(parsed, "In-Reply-To"))
        out.references.extend(maildir_store.message_ids(parsed, "References"))
        out.preview = maildir_store.preview(parsed)
        out.has_attachments = maildir_store.has_attachments(parsed)
        out.size = len(raw)
        out.received_at.seconds = entry.received
        sent = maildir_store.sent_at(parsed)
        if sent is not None:
            out.sent_at.seconds = sent
        return out
