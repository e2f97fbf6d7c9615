package imapd

import (
	"strings"
	"testing"
)

func play(t *testing.T, w *world, script string) {
	t.Helper()
	if err := run(w.dial(), script, w.letters); err != nil {
		t.Error(err)
	}
}

func TestConversation(t *testing.T) {
	w := newWorld(t)
	w.letters(3)
	play(t, w, `
		S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=OAUTHBEARER AUTH=XOAUTH2] Postern is ready
		C: a0 CAPABILITY
		S: * CAPABILITY IMAP4rev1 *
		S: a0 OK CAPABILITY completed
		C: a1 ID NIL
		S: * ID ("name" "Postern" "version" "1.2.3")
		S: a1 OK ID completed
		C: a2 LOGIN ann@example.com wrong
		S: a2 NO [AUTHENTICATIONFAILED] *
		C: a3 LOGIN ann@example.com rosebud
		S: a3 OK [CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR LITERAL- ID ENABLE IDLE UNSELECT UIDPLUS MOVE NAMESPACE SPECIAL-USE CHILDREN LIST-EXTENDED LIST-STATUS STATUS=SIZE ESEARCH SEARCHRES WITHIN BINARY PREVIEW UTF8=ACCEPT APPENDLIMIT=1048576] Logged in
		C: a4 NAMESPACE
		S: * NAMESPACE (("" "/")) NIL NIL
		S: a4 OK NAMESPACE completed
		C: a45 CHECK
		S: a45 BAD *
		C: a5 SELECT inbox
		S: * 3 EXISTS
		S: * 0 RECENT
		S: * OK [UNSEEN 1] *
		S: * OK [UIDVALIDITY *
		S: * OK [UIDNEXT 4] *
		S: * FLAGS (*
		S: * OK [PERMANENTFLAGS (*
		S: a5 OK [READ-WRITE] SELECT completed
		C: a6 UID FETCH 1:* (FLAGS)
		S: * 1 FETCH (UID 1 FLAGS ())
		S: * 2 FETCH (UID 2 FLAGS ())
		S: * 3 FETCH (UID 3 FLAGS ())
		S: a6 OK *
		C: a7 FETCH 2 BODY.PEEK[TEXT]
		S: * 2 FETCH (BODY[TEXT] {19}\r\nThis is letter 2.\r\n)
		S: a7 OK *
		C: a8 STATUS INBOX (MESSAGES UIDNEXT SIZE)
		S: * STATUS INBOX (MESSAGES 3 UIDNEXT 4 SIZE *)
		S: a8 OK *
		C: a9 IDLE
		S: + idling
		M: 1
		S: * 4 EXISTS
		C: DONE
		S: a9 OK IDLE completed
		C: b1 CLOSE
		S: b1 OK CLOSE completed
		C: b2 FETCH 1 FLAGS
		S: b2 BAD *
		C: b3 LOGOUT
		S: * BYE *
		S: b3 OK LOGOUT completed
		X:
	`)
}

func TestSecured(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.Cleartext = false })
	p := w.dial()
	if line := p.until("* OK")[0]; !strings.Contains(line, "LOGINDISABLED") || !strings.Contains(line, "STARTTLS") || strings.Contains(line, "AUTH=") {
		t.Errorf("in the clear it says %q", line)
	}
	if got := p.do("a LOGIN " + ann + " " + secret); !strings.HasPrefix(got[0], "a NO [PRIVACYREQUIRED]") {
		t.Errorf("LOGIN in the clear: %q", got)
	}
	p.ok("b STARTTLS")
	p.secure(w.roots)
	if caps := p.ok("c CAPABILITY")[0]; strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") {
		t.Errorf("under TLS it says %q", caps)
	}
	p.ok("d LOGIN " + ann + " " + secret)
	p.ok("e SELECT INBOX")
}

// TestThunderbird plays what that program was seen to send to a new account.
func TestThunderbird(t *testing.T) {
	w := newWorld(t)
	w.letters(2)
	play(t, w, `
		S: * OK *
		C: 1 AUTHENTICATE PLAIN
		S: + *
		C: AGFubkBleGFtcGxlLmNvbQByb3NlYnVk
		S: 1 OK [CAPABILITY *
		C: 2 NAMESPACE
		S: * NAMESPACE *
		S: 2 OK *
		C: 3 ID ("name" "Thunderbird" "version" "140.0")
		S: * ID (*
		S: 3 OK *
		C: 4 ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT
		S: 4 OK *
		C: 5 LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)
		S: ...
		S: * LIST (*\Trash*) "/" *
		S: ...
		S: 5 OK *
		C: 6 LIST "" "INBOX"
		S: * LIST (*) "/" INBOX
		S: 6 OK *
		C: 7 select "INBOX"
		S: * 2 EXISTS
		S: ...
		S: 7 OK [READ-WRITE] *
		C: 8 UID fetch 1:* (FLAGS)
		S: * 1 FETCH (UID 1 FLAGS ())
		S: * 2 FETCH (UID 2 FLAGS ())
		S: 8 OK *
		C: 9 UID fetch 1:2 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])
		S: * 1 FETCH (UID 1 RFC822.SIZE 113 FLAGS () BODY[HEADER.FIELDS (*)] {94}\r\nFrom: bob@example.org\r\nTo: ann@example.com\r\nSubject: Letter 1\r\nMessage-ID: <1@example.org>\r\n\r\n)
		S: * 2 FETCH (UID 2 *)
		S: 9 OK *
		C: 10 UID fetch 1:2 (UID RFC822.SIZE BODY.PEEK[])
		S: * 1 FETCH (UID 1 RFC822.SIZE 113 BODY[] {113}\r\n*This is letter 1.\r\n)
		S: * 2 FETCH (UID 2 *)
		S: 10 OK *
		C: 11 UID fetch 2 (UID BODY.PEEK[TEXT]<0.2048>)
		S: * 2 FETCH (UID 2 BODY[TEXT]<0> {19}\r\nThis is letter 2.\r\n)
		S: 11 OK *
		C: 12 uid store 1 +Flags (\Seen)
		S: * 1 FETCH (*\Seen*
		S: 12 OK *
		C: 13 IDLE
		S: + *
		M: 1
		S: * 3 EXISTS
		B: "DONE\r\n14 noop\r\n15 logout\r\n"
		S: 13 OK *
		S: 14 OK *
		S: * BYE *
		S: 15 OK *
		X:
	`)
}
