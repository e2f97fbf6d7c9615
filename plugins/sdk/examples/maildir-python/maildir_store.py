"""A Maildir as something to list and to follow.

Kept true: a message's id is the part of its file's name that stays when its
flags change or it moves (https://cr.yp.to/proto/maildir.html); every change
that a look at the folder finds gets a number of its own, and a cursor is the
last number that was told. The numbers live as long as the process and the
folder: a cursor of another process or another folder is too old, and whoever
follows lists everything anew.
"""

import base64
import email
import email.header
import email.utils
import os
import re
import secrets
import threading
from dataclasses import dataclass

INBOX = "INBOX"
FLAGS = {"S": "$seen", "R": "$answered", "F": "$flagged", "D": "$draft", "P": "$forwarded"}


@dataclass(frozen=True)
class Entry:
    """Where a message is, and its state."""

    folder: str
    path: str
    keywords: tuple
    received: int
    size: int


class CursorExpired(Exception):
    pass


class Maildir:
    def __init__(self, path):
        self.path = path
        self._lock = threading.Lock()
        self._root = None
        self._begin()

    def _begin(self):
        """Forgets everything: a new life, whose cursors are no others'."""
        self._life = secrets.token_hex(8)
        self._entries, self._changed, self._last = {}, {}, 0

    def folders(self):
        """The ids of all folders and where they are: INBOX is the Maildir
        itself, "Archive.2024" its folder ".Archive.2024" (Maildir++)."""
        found = {INBOX: self.path}
        with os.scandir(self.path) as there:
            for d in there:
                if d.name.startswith(".") and d.name.strip(".") and os.path.isdir(os.path.join(d.path, "cur")):
                    found[name_of(d.name[1:])] = d.path
        return dict(sorted(found.items(), key=lambda f: (f[0] != INBOX, f[0])))

    def refresh(self):
        """Looks at the folder and numbers what is new since the last look.
        It gives the last number."""
        with self._lock:
            root = os.stat(self.path)
            if self._root != (root.st_dev, root.st_ino):  # another Maildir in the old one's place
                if self._root is not None:
                    self._begin()
                self._root = (root.st_dev, root.st_ino)
            now = self._scan()
            missing = self._entries.keys() - now.keys()
            if missing:
                # A message that moved from a folder not yet read to one read
                # already is in neither: look again before calling it gone.
                again = self._scan()
                now.update({i: again[i] for i in missing & again.keys()})
            for i in self._entries.keys() | now.keys():
                if self._state(self._entries.get(i)) != self._state(now.get(i)):
                    self._last += 1
                    self._changed[i] = self._last
            self._entries = now
            return self._last

    @staticmethod
    def _state(entry):
        return entry and (entry.folder, entry.keywords)

    def _scan(self):
        found = {}
        for folder, path in self.folders().items():
            for part in ("new", "cur"):
                try:
                    with os.scandir(os.path.join(path, part)) as there:
                        for f in there:
                            if not f.name.startswith("."):
                                self._take(found, folder, f)
                except FileNotFoundError:
                    pass  # the folder went meanwhile
        return found

    @staticmethod
    def _take(found, folder, f):
        name, _, info = f.name.partition(":2,")
        try:
            stat = f.stat()
        except FileNotFoundError:
            return  # moved meanwhile: it is found under its new name
        stamp = re.match(r"\d{9,10}(?=\.)", name)
        keywords = tuple(sorted(FLAGS[c] for c in set(info) if c in FLAGS))
        received = int(stamp[0]) if stamp else int(stat.st_mtime)
        found[name_of(name)] = Entry(folder, f.path, keywords, received, stat.st_size)

    def listing(self, folder=None):
        """Ids and entries of a folder, or of all, newest first."""
        self.refresh()
        with self._lock:
            those = [(i, e) for i, e in self._entries.items() if folder in (None, e.folder)]
        return sorted(those, key=lambda m: (-m[1].received, m[0]))

    def cursor(self):
        last = self.refresh()
        return f"{self._life}:{last}".encode()

    def since(self, cursor):
        """What changed after a cursor, oldest change first: ids, their
        entries or None for what is gone, and the cursor after each."""
        last = self.refresh()
        with self._lock:
            life, _, number = cursor.decode("ascii", "replace").partition(":")
            if life != self._life or not number.isdecimal() or int(number) > last:
                raise CursorExpired
            those = sorted((n, i) for i, n in self._changed.items() if n > int(number))
            return [(i, self._entries.get(i), f"{life}:{n}".encode()) for n, i in those]

    def read(self, message):
        """The bytes of a message and its entry; KeyError where it is gone."""
        for _ in range(3):
            with self._lock:
                entry = self._entries.get(message)
            if entry is not None:
                try:
                    with open(entry.path, "rb") as f:
                        return f.read(), entry
                except FileNotFoundError:
                    pass  # it has got other flags, or moved
            self.refresh()
        raise KeyError(message)


def name_of(file_name):
    """A file's name as text, whatever bytes it has."""
    return os.fsencode(file_name).decode("utf-8", "backslashreplace")


def folder_name(part):
    """A folder's name for people: Maildir++ writes it as IMAP does, in
    modified UTF-7 (RFC 3501, 5.1.3)."""

    def decode(match):
        if not match[1]:
            return "&"
        return base64.b64decode(match[1].replace(",", "/") + "===").decode("utf-16-be")

    try:
        return re.sub("&([^-]*)-", decode, part)
    except (ValueError, UnicodeDecodeError):
        return part


def header(message, name):
    """A header field's text, decoded (RFC 2047)."""
    value = message.get(name)
    if value is None:
        return ""
    text = re.sub(r"\r?\n[ \t]*", " ", str(value))
    try:
        text = str(email.header.make_header(email.header.decode_header(text)))
    except (ValueError, LookupError, UnicodeError):
        pass  # as it stands
    return text.encode("utf-8", "replace").decode().strip()


def addresses(message, name):
    """The names and addresses of a header field."""
    fields = [re.sub(r"\r?\n[ \t]*", " ", str(v)) for v in message.get_all(name, [])]
    out = []
    for who, address in email.utils.getaddresses(fields):
        if who or address:
            one = email.message.Message()
            one["Name"] = who
            out.append((header(one, "Name"), address.encode("utf-8", "replace").decode()))
    return out


def message_ids(message, name):
    return re.findall(r"<([^<>\s]+)>", str(message.get(name, "")))


def sent_at(message):
    """The Date header in seconds since 1970, or None."""
    try:
        return int(email.utils.parsedate_to_datetime(str(message.get("Date"))).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def preview(message):
    """The first 256 characters of the first text."""
    for part in message.walk():
        if part.get_content_type() == "text/plain" and part.get_content_disposition() != "attachment":
            raw = part.get_payload(decode=True) or b""
            try:
                text = raw.decode(part.get_content_charset() or "utf-8", "replace")
            except LookupError:
                text = raw.decode("utf-8", "replace")
            return " ".join(text.split())[:256].encode("utf-8", "replace").decode()
    return ""


def has_attachments(message):
    return any(part.get_content_disposition() == "attachment" for part in message.walk())
