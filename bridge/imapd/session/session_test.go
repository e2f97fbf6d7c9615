package session

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// kind checks what an error is to a mail program.
func code(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want NO [%s]", want)
	}
	if got := Answer(err); got.Status != No || got.Code != want {
		t.Errorf("%s [%s] %s, want NO [%s]", got.Status, got.Code, got.Text, want)
	}
}

func TestSelect(t *testing.T) {
	w := newWorld(t, memory.Options{})
	for range 3 {
		w.deliver("inbox", mail.Seen)
	}
	w.deliver("inbox", "work", mail.Flagged)
	c := w.client()
	_, err := c.s.Select(t.Context(), "INBOX", false)
	code(t, err, "UNAVAILABLE") // nothing was listed yet
	w.sync()
	sel := c.open("inbox")
	want := &Selected{
		List:           ListEntry{Attrs: []string{`\HasNoChildren`}, Name: "INBOX", Delimiter: '/'},
		Flags:          []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`, "work"},
		PermanentFlags: []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, "work", `\*`},
		Exists:         4, FirstUnseen: 4, UIDNext: 5, UIDValidity: sel.UIDValidity, HighestModSeq: sel.HighestModSeq,
	}
	if d := cmp.Diff(want, sel); d != "" {
		t.Errorf("select (-want +got):\n%s", d)
	}
	if sel.UIDValidity == 0 || sel.HighestModSeq == 0 {
		t.Errorf("UIDVALIDITY %d, HIGHESTMODSEQ %d", sel.UIDValidity, sel.HighestModSeq)
	}
	if _, err := c.s.Select(t.Context(), "nowhere", false); err == nil || c.s.sel != nil {
		t.Errorf("a failed SELECT: %v, still selected: %v", err, c.s.sel != nil)
	}
	c.says("STORE 1 +FLAGS (x)", "BAD")
}

func TestReadOnly(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.deliver("inbox")
	w.sync()
	c := w.client()
	c.open("INBOX")
	c.says(`STORE 1 +FLAGS.SILENT (\Deleted)`, "OK")
	sel, err := c.s.Select(t.Context(), "INBOX", true)
	w.must(err)
	if !sel.ReadOnly || len(sel.PermanentFlags) != 0 {
		t.Errorf("EXAMINE: read only %v, permanent flags %v", sel.ReadOnly, sel.PermanentFlags)
	}
	for _, command := range []string{`STORE 1 +FLAGS (\Seen)`, "EXPUNGE", "UID EXPUNGE 1", "MOVE 1 Archive"} {
		c.says(command, "NO [CANNOT]")
	}
	w.must(c.s.CloseMailbox(t.Context()))
	if got := w.table("inbox"); len(got) != 1 {
		t.Errorf("after CLOSE of what was examined: %v", got)
	}

	reader := w.clientAs("read")
	if sel := reader.open("INBOX"); !sel.ReadOnly {
		t.Error("SELECT with a password that may only read is not READ-ONLY")
	}
	for _, command := range []string{`STORE 1 +FLAGS (\Seen)`, "EXPUNGE", "MOVE 1 Archive", "COPY 1 Archive"} {
		reader.says(command, "NO [NOPERM]")
	}
	ctx := t.Context()
	_, err = reader.s.Append(ctx, "INBOX", AppendRequest{}, nil)
	for _, err := range []error{err, reader.s.Create(ctx, "x"), reader.s.Delete(ctx, "Archive"), reader.s.Rename(ctx, "Archive", "x"), reader.s.Subscribe(ctx, "Archive")} {
		code(t, err, "NOPERM")
	}
	w.must(reader.s.CloseMailbox(ctx))
	if got := w.table("inbox"); len(got) != 1 {
		t.Errorf("after CLOSE by a reader: %v", got)
	}
}

func TestStore(t *testing.T) {
	w := newWorld(t, memory.Options{Keywords: []string{mail.Seen, mail.Flagged, mail.Draft}})
	for range 3 {
		w.deliver("inbox")
	}
	w.sync()
	c, other := w.client(), w.client()
	c.open("INBOX")
	other.open("INBOX")
	c.says(`STORE 1:2 +FLAGS (\Seen)`, `
* 1 FETCH (UID 1 FLAGS (\Seen))
* 2 FETCH (UID 2 FLAGS (\Seen))
OK`)
	// What the provider cannot hold stays with us, and a new keyword is told.
	c.says(`UID STORE 2,7 FLAGS ($Forwarded Work \Answered \Draft)`, `
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded work)
* 2 FETCH (UID 2 FLAGS (\Answered $Forwarded work))
OK`)
	c.says(`UID STORE 3 +FLAGS.SILENT (\Deleted \Flagged)`, "OK")
	c.hears("")
	other.hears(`
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Forwarded work)
* 1 FETCH (UID 1 FLAGS (\Seen))
* 2 FETCH (UID 2 FLAGS (\Answered $Forwarded work))
* 3 FETCH (UID 3 FLAGS (\Flagged \Deleted))`)
	c.says(`STORE 3 -FLAGS (\Deleted)`, `
* 3 FETCH (UID 3 FLAGS (\Flagged))
OK`)
	c.says(`STORE 3 FLAGS ()`, `
* 3 FETCH (UID 3 FLAGS ())
OK`)
	c.says(`STORE 4 +FLAGS (\Seen)`, "BAD")
	c.says(`STORE 0 +FLAGS (\Seen)`, "BAD")
	c.says(`STORE 1 +FLAGS (\Odd)`, "BAD")
	c.says(`UID STORE 9 +FLAGS (\Seen)`, "OK")
	want := map[uint32]string{1: "$seen", 2: "$answered $forwarded work", 3: ""}
	if d := cmp.Diff(want, w.table("inbox")); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
}

// What another one changed is told although the own command was silent.
func TestSilentStoreTellsWhatOthersDid(t *testing.T) {
	w := newWorld(t, memory.Options{})
	id := w.deliver("inbox")
	w.deliver("inbox")
	w.sync()
	c := w.client()
	c.open("INBOX")
	w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
	w.sync()
	c.says(`STORE 1:2 +FLAGS.SILENT (\Seen)`, `
* 1 FETCH (UID 1 FLAGS (\Flagged))
OK`)
	// Between the command's look and its end.
	w.cloud.OnCall(func(ctx context.Context, verb, _ string) error {
		if verb != "modify" {
			return nil
		}
		w.cloud.OnCall(nil)
		other := w.client()
		other.open("INBOX")
		if got := other.do(`STORE 2 +FLAGS (late)`); got == "" {
			t.Error("no answer")
		}
		return nil
	})
	c.says(`STORE 2 +FLAGS.SILENT (mine)`, `
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft late mine)
* 2 FETCH (UID 2 FLAGS (\Seen late mine))
OK`)
}

// "*" is the last message that the client knew of when it gave the command: what
// came meanwhile is told, and not changed unseen.
func TestStoreChangesNothingUnseen(t *testing.T) {
	for _, command := range []string{"STORE 1:*", "STORE *:1", "UID STORE 1:*", "UID STORE *", "UID STORE 7:*", "STORE *"} {
		w := newWorld(t, memory.Options{})
		c := w.client()
		w.deliver("inbox")
		w.sync()
		c.open("INBOX")
		w.deliver("inbox")
		w.sync()
		c.says(command+` +FLAGS.SILENT (\Deleted)`, "* 2 EXISTS\nOK")
		if d := cmp.Diff(map[uint32]string{1: `\Deleted`, 2: ""}, w.table("inbox")); d != "" {
			t.Errorf("%s (-want +got):\n%s", command, d)
		}
	}
	w := newWorld(t, memory.Options{})
	w.sync()
	c := w.client()
	c.open("INBOX")
	w.deliver("inbox")
	w.sync()
	c.says(`UID STORE 1:* +FLAGS.SILENT (\Deleted)`, "* 1 EXISTS\nOK")
	c.says(`STORE 1:* +FLAGS.SILENT (\Seen)`, "OK")
	if d := cmp.Diff(map[uint32]string{1: "$seen"}, w.table("inbox")); d != "" {
		t.Errorf("of an empty mailbox (-want +got):\n%s", d)
	}
}

func TestExpunge(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		for range 5 {
			w.deliver("inbox")
		}
		w.sync()
		c, other := w.client(), w.client()
		c.open("INBOX")
		other.open("INBOX")
		c.says(`STORE 2,4,5 +FLAGS.SILENT (\Deleted)`, "OK")
		c.says("UID EXPUNGE 1:3", "* 2 EXPUNGE\nOK")
		// No EXPUNGE while numbers are being used, and they keep their meaning.
		other.says(`STORE 3 +FLAGS.SILENT (\Seen)`, `
* 4 FETCH (UID 4 FLAGS (\Deleted))
* 5 FETCH (UID 5 FLAGS (\Deleted))
OK`)
		other.says(`STORE 2 +FLAGS.SILENT (\Seen)`, "NO [EXPUNGEISSUED]")
		other.says(`UID STORE 2:3 +FLAGS.SILENT (\Answered)`, "* 2 EXPUNGE\nOK")
		w.deliver("inbox")
		w.sync()
		c.says("EXPUNGE", `
* 4 EXPUNGE
* 3 EXPUNGE
* 3 EXISTS
* 2 FETCH (UID 3 FLAGS (\Answered \Seen))
OK`)
		other.hears("* 4 EXPUNGE\n* 3 EXPUNGE\n* 3 EXISTS")
		w.sync()
		if got := w.table("inbox"); len(got) != 3 {
			t.Errorf("inbox: %v", got)
		}
		c.says("EXPUNGE", "OK")
	})
}

func TestCopyAndMove(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		for range 4 {
			w.deliver("inbox", mail.Seen)
		}
		w.deliver("archive")
		w.sync()
		c := w.client()
		archive, err := c.s.Status(t.Context(), "Archive", StatusItems{UIDValidity: true})
		w.must(err)
		validity := decimal(archive.UIDValidity)
		c.open("INBOX")
		c.says("COPY 1:2 Archive", "OK [COPYUID "+validity+" 1:2 2:3]")
		c.says("UID COPY 77 Archive", "OK")
		c.says("UID MOVE 77 Archive", "OK")
		c.says("COPY 1 Nowhere", "NO [TRYCREATE]")
		c.says("MOVE 1 Nowhere", "NO [TRYCREATE]")
		c.says("MOVE 1 INBOX", "NO [CANNOT]")
		c.says("UID MOVE 3:4 Archive", "* OK [COPYUID "+validity+" 3:4 4:5] Moved\n* 4 EXPUNGE\n* 3 EXPUNGE\nOK")
		w.sync()
		if got := w.table("archive"); len(got) != 5 || got[2] != "$seen" {
			t.Errorf("archive: %v", got)
		}
		if got := w.table("inbox"); len(got) != 2 {
			t.Errorf("inbox: %v", got)
		}
		c.hears("")
	})
}

// Also where nobody has listed a mailbox yet, say because it was made a moment
// ago, those who put messages into it are told their UIDs, which stay.
func TestCopyIntoANewMailbox(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		for range 5 {
			w.deliver("inbox", mail.Seen)
		}
		w.sync()
		made, err := w.mirror.CreateMailbox(t.Context(), account, "", "New")
		w.must(err)
		if made.UIDListed {
			t.Fatal("it is listed already")
		}
		validity := decimal(made.UIDValidity)
		c := w.client()
		c.open("INBOX")
		c.says("COPY 3,1 New", "OK [COPYUID "+validity+" 1,3 1:2]")
		c.says("UID MOVE 4:5 New", "* OK [COPYUID "+validity+" 4:5 3:4] Moved\n* 5 EXPUNGE\n* 4 EXPUNGE\nOK")
		w.sync()
		subject := func(uid uint32) (subject string) {
			w.must(w.store.View(t.Context(), func(tx store.Tx) error {
				rows, err := tx.UIDs(made.ID, uid, uid, 1)
				if err != nil || len(rows) != 1 {
					return fmt.Errorf("rows %v: %w", rows, err)
				}
				m, err := tx.Message(rows[0].Message)
				if err == nil {
					subject = m.Subject
				}
				return err
			}))
			return subject
		}
		for i, want := range []string{"Letter 1", "Letter 3", "Letter 4", "Letter 5"} {
			if got := subject(uint32(i + 1)); got != want {
				t.Errorf("UID %d is %q, was %q", i+1, got, want)
			}
		}
		c.open("New")
		c.says("UID SEARCH ALL", "* SEARCH 1 2 3 4\nOK")
	})
}

// What fails for some is told, done for the others, and destroys nothing.
func TestPartialFailure(t *testing.T) {
	w := newWorld(t, memory.Options{})
	gone := w.deliver("inbox")
	w.deliver("inbox")
	w.sync()
	c := w.client()
	c.open("INBOX")
	w.must(w.cloud.Remove(ann, gone)) // not mirrored yet
	w.cloud.FailNext("modify", mail.KindUnavailable)
	c.says(`STORE 1:2 +FLAGS (\Seen)`, `
* 1 FETCH (UID 1 FLAGS ())
* 2 FETCH (UID 2 FLAGS ())
NO [UNAVAILABLE]`)
	c.says(`STORE 1:2 +FLAGS (\Seen)`, `
* 1 FETCH (UID 1 FLAGS ())
* 2 FETCH (UID 2 FLAGS (\Seen))
NO [EXPUNGEISSUED]`)
	w.cloud.FailNext("modify", mail.KindOverQuota)
	c.says("UID MOVE 2 Archive", "NO [OVERQUOTA]")
	w.cloud.FailNext("copy", mail.KindThrottled)
	c.says("UID COPY 2 Archive", "NO [UNAVAILABLE]")
	c.says(`STORE 2 +FLAGS.SILENT (\Deleted)`, "OK")
	w.cloud.FailNext("delete", mail.KindOutcomeUnknown)
	c.says("EXPUNGE", "NO [UNAVAILABLE]")
	w.sync()
	c.hears("* 2 EXPUNGE\n* 1 EXPUNGE") // the provider has done it, and the feeds tell
	if got := w.table("inbox"); len(got) != 0 {
		t.Errorf("inbox: %v", got)
	}
	if got := w.table("trash"); len(got) != 1 {
		t.Errorf("trash: %v", got)
	}
}
