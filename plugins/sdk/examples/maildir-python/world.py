#!/usr/bin/python3 -BSE
"""The world outside of a Maildir, for `postern plugins test`: it delivers,
marks, moves and removes messages as other programs do, and tells the truth.

usage: world.py MAILDIR init | deliver FOLDER | keywords ID KEYWORDS |
                move ID FOLDER | remove ID | truth | replace
"""

import json
import os
import sys
import time

LETTERS = {"$draft": "D", "$flagged": "F", "$forwarded": "P", "$answered": "R", "$seen": "S"}


def folder(maildir, name):
    return maildir if name in ("", "INBOX") else os.path.join(maildir, "." + name)


def make(path):
    for part in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(path, part), exist_ok=True)


def files(maildir):
    """Folder, part, and name of every message."""
    for entry in ["INBOX"] + [d[1:] for d in os.listdir(maildir) if d.startswith(".")]:
        for part in ("new", "cur"):
            for name in os.listdir(os.path.join(folder(maildir, entry), part)):
                yield entry, part, name


def find(maildir, message):
    for entry, part, name in files(maildir):
        if name.partition(":")[0] == message:
            return os.path.join(folder(maildir, entry), part, name), name
    sys.exit(f"there is no message {message}")


def truth(maildir):
    import hashlib  # each takes a while to load, and most calls need neither

    out = []
    for entry, part, name in files(maildir):
        with open(os.path.join(folder(maildir, entry), part, name), "rb") as f:
            raw = f.read()
        flags = name.partition(":2,")[2]
        out.append({
            "id": name.partition(":")[0], "mailboxes": [entry], "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest(),
            "keywords": sorted(k for k, letter in LETTERS.items() if letter in flags),
        })
    return out


def main(maildir, command, *rest):
    if command == "init":
        for name in ("", "Archive", "Sent", "Trash", "Work", "Work.Big"):
            make(folder(maildir, name))
    elif command == "deliver":
        name = f"{int(time.time())}.{os.urandom(8).hex()}.example"
        tmp = os.path.join(folder(maildir, *rest), "tmp", name)
        with open(tmp, "wb") as f:
            f.write(sys.stdin.buffer.read())
        os.rename(tmp, os.path.join(folder(maildir, *rest), "new", name))
    elif command == "keywords":
        path, name = find(maildir, rest[0])
        flags = "".join(sorted(LETTERS[k] for k in rest[1].split(",") if k))
        box = os.path.dirname(os.path.dirname(path))
        os.rename(path, os.path.join(box, "cur", f"{name.partition(':')[0]}:2,{flags}"))
    elif command == "move":
        path, name = find(maildir, rest[0])
        os.rename(path, os.path.join(folder(maildir, rest[1]), "cur", name if ":2," in name else name + ":2,"))
    elif command == "remove":
        os.remove(find(maildir, rest[0])[0])
    elif command == "replace":  # as a restored backup would
        import shutil

        former = f"{maildir}.former-{os.urandom(4).hex()}"
        os.rename(maildir, former)
        shutil.copytree(former, maildir)
    elif command == "truth":
        json.dump(truth(maildir), sys.stdout)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
