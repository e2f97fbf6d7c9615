package imapd

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// loggedIn is how most transcripts begin.
const loggedIn = `
	S: * OK *
	C: l LOGIN ann@example.com rosebud
	S: l OK *
`

const selected = loggedIn + `
	C: s SELECT INBOX
	S: ...
	S: s OK *
`

// defects are those of the library's server that show on the wire. Each is a
// transcript that the library fails and we pass.
var defects = []struct {
	name, script string
	messages     []string // in INBOX beforehand; nil means three letters
	keyword      string   // of the first of them, at the provider
	backend      bool     // the library's trouble takes another backend than its own
	fails        string   // how the library strays: it has to be for this defect
}{
	{name: "a literal that is refused runs as commands", fails: `a BAD Non-synchronizing`, script: loggedIn + `
		C: a APPEND INBOX {8193+}
		B: ` + strconv.Quote("zz9 CREATE injected\r\n"+strings.Repeat("zz8 NOOP  \r\n", 681)) + `
		C:
		S: a NO [TOOBIG] *
		N: zz*
		C: b NOOP
		S: b OK *`},
	{name: "a literal over 4096 that was not waited for runs as commands", fails: `EOF`, script: loggedIn + `
		C: a LIST "" {5000+}
		B: ` + strconv.Quote("zz9 CREATE injected\r\n"+strings.Repeat("x", 5000-21)) + `
		C:
		N: zz9 *
		S: a *
		C: b NOOP
		S: b OK *`},
	{name: "IDLE loses what came before it", fails: `i/o timeout`, script: selected + `
		M: 1
		C: a IDLE
		S: + *
		S: * 4 EXISTS
		C: DONE
		S: ...
		S: a OK *`},
	{name: "COPY of nothing breaks the stream", fails: `COPYUID`, script: loggedIn + `
		C: m CREATE Elsewhere
		S: m OK *
		C: s SELECT INBOX
		S: ...
		S: s OK *
		C: a UID COPY 999 Elsewhere
		N: *[COPYUID*
		S: a OK *
		C: b NOOP
		S: b OK *`},
	{name: "an unknown command of a stranger closes", fails: `* BYE Unknown command`, script: `
		S: * OK *
		C: a XYZZY
		S: a BAD *
		C: b LOGIN ann@example.com rosebud
		S: b OK *`},
	{name: "ID of a stranger closes", fails: `a BAD Unknown command`, script: `
		S: * OK *
		C: a ID ("name" "test")
		S: * ID (*
		S: a OK *
		C: b LOGIN ann@example.com rosebud
		S: b OK *`},
	{name: "an empty line closes", fails: `EOF`, script: loggedIn + `
		C:
		S: * BAD *
		C: b NOOP
		S: b OK *`},
	{name: "a long set of UIDs is too long", fails: `SERVERBUG`, script: selected + `
		C: a UID FETCH ` + scattered(10000) + ` (UID)
		S: * 1 FETCH (UID 1)
		S: * 3 FETCH (UID 3)
		S: a OK *
		C: b NOOP
		S: b OK *`},
	{name: "an unknown SEARCH key is an internal error", fails: `SERVERBUG`, script: selected + `
		C: a SEARCH X-GM-RAW x
		S: a BAD *`},
	{name: "a name that is no UTF-7 is an internal error", fails: `SERVERBUG`, script: loggedIn + `
		C: a LIST "" "&xyz"
		S: a BAD *
		C: b SELECT "&xyz"
		S: b BAD *`},
	{name: "SEARCH RETURN (SAVE) tells the result as well", fails: `ALL 1:3`, script: selected + `
		C: a SEARCH RETURN (SAVE) ALL
		N: *ALL 1:3*
		S: a OK *
		C: b FETCH $ (UID)
		S: * 1 FETCH (UID 1)
		S: * 2 FETCH (UID 2)
		S: * 3 FETCH (UID 3)
		S: b OK *`},
	{name: "a part of BINARY comes without its origin", fails: `BINARY[1] ~{7}`, script: selected + `
		C: a FETCH 2 BINARY.PEEK[1]<5.7>
		S: * 2 FETCH (*BINARY[1]<5> *is lett*)
		S: a OK *`},
	{name: "STATUS of what the backend has not closes", fails: `EOF`, script: loggedIn + `
		C: a STATUS INBOX (DELETED-STORAGE)
		S: a BAD *
		C: b NOOP
		S: b OK *`},
	{name: "an ampersand in a name is escaped where names are UTF-8", fails: `SERVERBUG`, script: loggedIn + `
		C: e ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT
		S: e OK *
		C: a CREATE "a&b"
		S: a OK *
		C: b LIST "" "a*"
		S: * LIST (*) "/" *a&b*
		S: b OK *`},
	{name: "a multipart without parts closes", fails: `EOF`, messages: []string{"Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing\r\n"}, script: selected + `
		C: a FETCH 1 (BODYSTRUCTURE)
		S: * 1 FETCH (*BODYSTRUCTURE (*
		S: a OK *
		C: b NOOP
		S: b OK *`},
	{name: "a body has other bytes than arrived", fails: `BODY[] {0}`, messages: []string{"abc\r\n"}, script: selected + `
		C: a FETCH 1 (BODY.PEEK[])
		S: * 1 FETCH (*BODY[] {5}\r\nabc\r\n)
		S: a OK *`},
	{name: "one bad address costs all of them", fails: `NIL NIL NIL NIL NIL))`, messages: []string{"From: Ann <ann@example.com>\r\nTo: bob@example.org, Nobody <>, eve@example.org\r\nSubject: x\r\n\r\nx\r\n"}, script: selected + `
		C: h FETCH 1 (BODY.PEEK[HEADER])
		S: ...
		S: h OK *
		C: a FETCH 1 (ENVELOPE)
		S: * 1 FETCH (*ENVELOPE (*"bob" "example.org"*"eve" "example.org"*
		S: a OK *`},
	{name: "a group of addresses is lost", fails: `((NIL NIL \"bob\"`, messages: []string{"From: Ann <ann@example.com>\r\nTo: Friends: bob@example.org, eve@example.org;\r\nSubject: x\r\n\r\nx\r\n"}, script: selected + `
		C: h FETCH 1 (BODY.PEEK[HEADER])
		S: ...
		S: h OK *
		C: a FETCH 1 (ENVELOPE)
		S: * 1 FETCH (*((NIL NIL "Friends" NIL)(NIL NIL "bob" "example.org")(NIL NIL "eve" "example.org")(NIL NIL NIL NIL))*
		S: a OK *`},
	{name: "EXAMINE lets one write", fails: `FLAGS (`, script: loggedIn + `
		C: s EXAMINE INBOX
		S: ...
		S: s OK [READ-ONLY] *
		C: a STORE 1 +FLAGS (\Seen)
		S: a NO *`},
	{name: "CLOSE after EXAMINE expunges", fails: `MESSAGES 2`, script: selected + `
		C: a STORE 1 +FLAGS.SILENT (\Deleted)
		S: a OK *
		C: b EXAMINE INBOX
		S: ...
		S: b OK *
		C: c CLOSE
		S: c OK *
		C: d STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 3)
		S: d OK *`},
	{name: "MOVE expunges another number", fails: `got "* 3 EXPUNGE"`, script: loggedIn + `
		C: m CREATE Elsewhere
		S: m OK *
		C: s SELECT INBOX
		S: ...
		S: s OK *
		C: a MOVE 2 Elsewhere
		S: * OK [COPYUID * 2 1] *
		S: * 2 EXPUNGE
		S: a OK *`},
	{name: "messages that were not told of have numbers", backend: true, fails: `got "* 4 FETCH`, script: selected + `
		M: 5
		C: a UID FETCH 4:8 (UID)
		S: * 8 EXISTS
		S: ...
		S: a OK *`},
	{name: "a flag with a space breaks the stream", backend: true, keyword: "two words", fails: `SERVERBUG`, script: selected + `
		C: a UID FETCH 1 (FLAGS)
		S: * 1 FETCH (UID 1 FLAGS (*two*words*))
		S: a OK *
		N: *two words*
		C: b NOOP
		S: b OK *`},
	{name: "system flags are written small", fails: `\\seen`, script: selected + `
		C: a STORE 1 +FLAGS (\Seen)
		S: * 1 FETCH (*FLAGS (\Seen)*
		S: a OK *`},
}

func scattered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",%d", 2*i+1)
	}
	return b.String()[1:]
}

// TestDefects plays every transcript against the library as it is and against
// ours.
func TestDefects(t *testing.T) {
	for _, d := range defects {
		t.Run(strings.ReplaceAll(d.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			err := run(bare(t, d.messages, d.script, d.backend))
			switch {
			case err == nil:
				t.Error("the library passes: either it was mended or the transcript tests nothing")
			case d.fails == "EOF" && ended(err):
			case !strings.Contains(err.Error(), d.fails) || d.fails == "":
				t.Errorf("the library strays elsewhere than it is known to: %s", clip(err.Error()))
			}
			w := newWorld(t, func(_ *world, o *Options) {
				o.Largest = func(context.Context, string) (int64, error) { return 8192, nil }
			})
			w.run()
			if d.keyword != "" {
				w.Deliver("inbox", letter(1), d.keyword)
			}
			if d.messages == nil {
				w.letters(3 - w.Delivered())
			}
			for _, m := range d.messages {
				w.deliver([]byte(m))
			}
			if err := run(w.dial(), d.script, w.letters); err != nil {
				t.Error("ours:", clip(err.Error()))
			}
		})
	}
}

func clip(s string) string { return s[:min(len(s), 600)] }

// bare is the library's own server with its own backend.
func bare(t *testing.T, messages []string, script string, other bool) (net.Conn, string, func(int)) {
	t.Helper()
	user := imapmemserver.NewUser(ann, secret)
	n := 0
	deliver := func(raw []byte) {
		n++
		if _, err := user.Append("INBOX", literal{strings.NewReader(string(raw)), int64(len(raw))}, &imap.AppendOptions{}); err != nil {
			t.Error(err)
		}
	}
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	letters := func(k int) {
		for range k {
			deliver(letter(n + 1))
		}
	}
	if messages == nil {
		letters(3)
	}
	for _, m := range messages {
		deliver([]byte(m))
	}
	backend := imapmemserver.New()
	backend.AddUser(user)
	track := imapserver.NewMailboxTracker(3)
	if other {
		letters = func(k int) { track.QueueNumMessages(uint32(3 + k)) }
	}
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			if other {
				return &tracked{SessionIMAP4rev2: backend.NewSession().(imapserver.SessionIMAP4rev2), track: track}, nil, nil
			}
			return backend.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapBinary: {}, imap.CapSearchRes: {},
			imap.CapESearch: {}, imap.CapUIDPlus: {}, imap.CapMove: {}, imap.CapStatusSize: {}},
		InsecureAuth: true,
		Logger:       log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// What the library never says has to be waited for.
	c.SetDeadline(time.Now().Add(3 * time.Second))
	return c, script, letters
}

// tracked is a backend that uses the library's tracker as its documentation says:
// a mailbox of three messages, more of which may come at once, with a flag of
// two words.
type tracked struct {
	imapserver.SessionIMAP4rev2
	track *imapserver.MailboxTracker
	mine  *imapserver.SessionTracker
}

func (s *tracked) Select(string, *imap.SelectOptions) (*imap.SelectData, error) {
	s.mine = s.track.NewSession()
	return &imap.SelectData{NumMessages: 3, UIDNext: 4, UIDValidity: 1}, nil
}

func (s *tracked) Unselect() error {
	s.mine.Close()
	return nil
}

func (s *tracked) Poll(w *imapserver.UpdateWriter, expunge bool) error {
	if s.mine == nil {
		return nil
	}
	return s.mine.Poll(w, expunge)
}

func (s *tracked) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	for uid := uint32(1); uid <= 8; uid++ {
		seq := s.mine.EncodeSeqNum(uid)
		if uids, ok := set.(imap.UIDSet); seq == 0 || ok && !uids.Contains(imap.UID(uid)) {
			continue
		}
		m := w.CreateMessage(seq)
		m.WriteUID(imap.UID(uid))
		if o.Flags {
			m.WriteFlags([]imap.Flag{"two words"})
		}
		if err := m.Close(); err != nil {
			return err
		}
	}
	return nil
}

type literal struct {
	io.Reader
	size int64
}

func (l literal) Size() int64 { return l.size }
