package imapd

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/google/go-cmp/cmp"
)

// TestGoClient lets the library's own client go through everything that it can.
func TestGoClient(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.letters(5)
	exists := make(chan uint32, 10)
	c, err := imapclient.DialStartTLS(w.address, &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: w.roots, ServerName: "localhost"},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				exists <- *d.NumMessages
			}
		}},
	})
	w.must(err)
	defer c.Close()
	if err := c.Login(ann, "wrong").Wait(); err == nil {
		t.Error("a wrong password is taken")
	}
	w.must(c.Login(ann, secret).Wait())
	for _, name := range []imap.Cap{imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapMove, imap.CapUIDPlus, imap.CapESearch, imap.CapLiteralMinus} {
		if !c.Caps().Has(name) {
			t.Errorf("capability %s is missing", name)
		}
	}
	if c.Caps().Has(imap.CapLiteralPlus) {
		t.Error("LITERAL+ is offered")
	}
	if id, err := c.ID(&imap.IDData{Name: "test"}).Wait(); err != nil || id.Name != "Postern" {
		t.Errorf("ID: %v, %v", id, err)
	}
	if ns, err := c.Namespace().Wait(); err != nil || len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("NAMESPACE: %v, %v", ns, err)
	}
	if on, err := c.Enable(imap.CapIMAP4rev2).Wait(); err != nil || !on.Caps.Has(imap.CapIMAP4rev2) {
		t.Errorf("ENABLE: %v, %v", on, err)
	}
	w.must(c.Create("Projekt Ä & Co", nil).Wait())
	list, err := c.List("", "*", &imap.ListOptions{ReturnSpecialUse: true, ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	w.must(err)
	at := slices.IndexFunc(list, func(d *imap.ListData) bool { return d.Mailbox == "Projekt Ä & Co" })
	if at < 0 || list[at].Status == nil || list[at].Delim != '/' {
		t.Errorf("LIST: %v", list)
	}
	sel, err := c.Select("INBOX", nil).Wait()
	w.must(err)
	if sel.NumMessages != 5 || sel.UIDNext != 6 || sel.UIDValidity == 0 {
		t.Errorf("SELECT: %+v", sel)
	}

	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "etter 4"}}}, nil).Wait()
	w.must(err)
	if d := cmp.Diff([]imap.UID{4}, found.AllUIDs()); d != "" {
		t.Errorf("SEARCH: %s", d)
	}
	body := &imap.FetchItemBodySection{Peek: true}
	got, err := c.Fetch(imap.UIDSetNum(2, 3), &imap.FetchOptions{UID: true, Flags: true, Envelope: true, RFC822Size: true, InternalDate: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
	w.must(err)
	if len(got) != 2 {
		t.Fatalf("FETCH gives %d messages", len(got))
	}
	for _, m := range got {
		raw := m.FindBodySection(body)
		if want := letter(int(m.UID)); string(raw) != string(want) || m.RFC822Size != int64(len(want)) || m.Envelope.Subject != fmt.Sprintf("Letter %d", m.UID) || m.InternalDate.IsZero() || m.BodyStructure.MediaType() != "text/plain" {
			t.Errorf("FETCH of %d: %+v %q", m.UID, m, raw)
		}
	}
	flagged, err := c.Store(imap.UIDSetNum(1, 2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, "$Label1"}}, nil).Collect()
	w.must(err)
	if len(flagged) != 2 || !slices.Contains(flagged[0].Flags, imap.FlagSeen) || !slices.Contains(flagged[1].Flags, "$label1") && !slices.Contains(flagged[1].Flags, "$Label1") {
		t.Errorf("STORE: %v", flagged)
	}
	text := "Subject: appended\r\n\r\n" + strings.Repeat("x", 8000) + "\r\n"
	app := c.Append("Projekt Ä & Co", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	_, err = io.WriteString(app, text)
	w.must(err)
	w.must(app.Close())
	if d, err := app.Wait(); err != nil || d.UID != 1 {
		t.Errorf("APPEND: %+v, %v", d, err)
	}
	if d, err := c.Copy(imap.UIDSetNum(1), "Projekt Ä & Co").Wait(); err != nil || d.DestUIDs.String() != "2" {
		t.Errorf("COPY: %+v, %v", d, err)
	}
	if d, err := c.Move(imap.UIDSetNum(2), "Projekt Ä & Co").Wait(); err != nil || d.DestUIDs.String() != "3" {
		t.Errorf("MOVE: %+v, %v", d, err)
	}
	_, err = c.Store(imap.UIDSetNum(5), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect()
	w.must(err)
	if gone, err := c.Expunge().Collect(); err != nil || !slices.Equal(gone, []uint32{4}) {
		t.Errorf("EXPUNGE: %v, %v", gone, err)
	}
	if s, err := c.Status("Projekt Ä & Co", &imap.StatusOptions{NumMessages: true, UIDNext: true, NumUnseen: true, Size: true}).Wait(); err != nil || *s.NumMessages != 3 || s.UIDNext != 4 {
		t.Errorf("STATUS: %+v, %v", s, err)
	}
	for len(exists) > 0 {
		<-exists
	}
	idle, err := c.Idle()
	w.must(err)
	w.letters(1)
	if n := <-exists; n != 4 {
		t.Errorf("IDLE tells of %d messages, want 4", n)
	}
	w.must(idle.Close())
	w.must(idle.Wait())
	w.must(c.Unselect().Wait())
	w.must(c.Rename("Projekt Ä & Co", "Projekt", nil).Wait())
	w.must(c.Delete("Projekt").Wait())
	w.must(c.Logout().Wait())
}
